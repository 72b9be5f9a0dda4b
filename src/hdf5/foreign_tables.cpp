#include "src/hdf5/foreign_tables.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "src/core/utf8.h"
#include "src/hdf5/foreign_elements.h"
#include "src/hdf5/foreign_file.h"

namespace tw::h5 {
namespace {

constexpr size_t kMostObjects = 100'000, kNamed = 3, kLongestText = 256;
constexpr size_t kBlock = size_t(32) << 20;        // bytes of numbers read at once
constexpr uint64_t kChunks = uint64_t(512) << 20;  // bytes of chunks that are kept unpacked
constexpr int64_t kMostBlockRows = 1 << 16, kMostTextRows = 1 << 12;
constexpr size_t kPiece = size_t(256) << 10;
constexpr int kDeepestGroup = 64, kMostDecimals = 9;

// What comes out of the sandbox: messages of a head and its bytes.
enum class Message : uint32_t { table = 1, rows, left_out, own };
struct MessageHead {
  uint32_t kind = 0, bytes = 0;
};

void send(const SandboxWrite& write, Message kind, std::string_view body) {
  const MessageHead head{uint32_t(kind), uint32_t(body.size())};
  std::string message(reinterpret_cast<const char*>(&head), sizeof head);
  write(message += body);
}

// A dataset that is columns of a table.
struct Source {
  std::string path, group, name;
  int64_t rows = 0;
  size_t width = 1;   // elements of a row
  bool flat = true;   // of one dimension
  size_t bytes = 0;   // of an element in memory
  Datatype memory;
  std::vector<Leaf> leaves;
  uint64_t band = 0;  // bytes of the chunks that a row goes through
  uint64_t chunks = 1;  // how many they are
  std::vector<std::string> names;  // of its columns
  // Of packed numbers.
  bool packed = false;
  double scale = 1, offset = 0;
  int decimals = -1;
  std::optional<double> missing[2];

  bool records() const noexcept { return leaves.size() != 1 || !leaves[0].name.empty(); }
  bool words() const noexcept { return std::all_of(leaves.begin(), leaves.end(), [](const Leaf& l) { return l.words(); }); }
  size_t columns() const noexcept { return width * leaves.size(); }
};

int decimals_of(double value) {
  double power = 1;
  for (int d = 0; d <= kMostDecimals; ++d, power *= 10)
    if (std::round(value * power) / power == value) return d;
  return -1;
}

void append_real(std::string& out, double value, bool single) {
  if (std::isnan(value)) {
    out += "nan";
    return;
  }
  char text[64];
  const double size = std::abs(value);
  const bool fixed = size == 0 || (size >= 1e-9 && size < 1e15);  // few decimals are seen as few
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = single ? std::to_chars(text, text + sizeof text, float(value), format).ptr : std::to_chars(text, text + sizeof text, value, format).ptr;
  out.append(text, end);
}

void append_text(std::string& out, std::string_view text) {
  const bool bare = !text.empty() && text.find_first_of(",\"\n\r") == text.npos;
  if (bare) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  out += '"';
}

// The datasets of a file, what of it is left out, and whose it is.
class Contents {
 public:
  explicit Contents(const OpenForeign& file) : file_(file) {
    // As src/data/token_file_format.h has it.
    if (text_attribute(file.get(), "format") == std::vector<std::string>{"tokenwerk token file"}) own = "a token file";
    if (own.empty()) list(file.get(), "/", 0);
  }
  void leave_out(const std::string& path, const std::string& reason) {
    if (++left_out_ <= kNamed) said_ += fmt::format("{}{}: {}", said_.empty() ? "" : "; ", shown(path), reason.substr(0, kLongestName));
  }
  std::string left_out() const {
    if (left_out_ == 0) return "";
    return fmt::format("{} {} left out: {}{}", left_out_, left_out_ == 1 ? "dataset is" : "datasets are", said_, left_out_ > kNamed ? "; …" : "");
  }
  std::vector<Source> sources;
  std::string own;

 private:
  // Every object of a group and those within, each once.
  void list(hid_t group, const std::string& path, int depth) {
    struct Level {
      Contents& self;
      const std::string& path;
      int depth;
    } level{*this, path, depth};
    const auto visit = [](hid_t at, const char* name, const H5L_info_t* info, void* data) -> herr_t {
      const auto& l = *static_cast<Level*>(data);
      return l.self.look(at, name, l.path + name, *info, l.depth);
    };
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &level) < 0) leave_out(path, "a group that cannot be listed: " + last_message());
  }
  herr_t look(hid_t group, const char* name, const std::string& path, const H5L_info_t& info, int depth) {
    if (++seen_ > kMostObjects) {
      if (seen_ == kMostObjects + 1) leave_out(path, fmt::format("the file has more than {} objects, and what follows is not looked at", kMostObjects));
      return 1;
    }
    if (info.type != H5L_TYPE_HARD) {
      leave_out(path, "a link to another place, which is not followed");
      return 0;
    }
    const hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    if (object < 0) {
      leave_out(path, "damaged: " + last_message());
      return 0;
    }
    if (H5Iget_type(object) == H5I_DATASET) {
      const Dataset dataset(object);
      try {
        take(dataset.get(), path);
      } catch (const Error& e) {
        leave_out(path, e.what());
      }
      return own.empty() ? 0 : 1;
    }
    H5O_info_t about;
    const bool is_group = H5Iget_type(object) == H5I_GROUP && H5Oget_info2(object, &about, H5O_INFO_BASIC) >= 0;
    const bool index = std::string_view(name).starts_with("_i_");  // of PyTables, over a table beside it
    if (is_group && !index && visited_.insert(about.addr).second) {
      if (depth < kDeepestGroup) list(object, path + "/", depth + 1);
      else leave_out(path, fmt::format("more than {} groups within each other", kDeepestGroup));
    }
    H5Oclose(object);
    return own.empty() ? 0 : 1;
  }
  void take(hid_t dataset, const std::string& path) {
    const Datatype type(check(H5Dget_type(dataset), "type"));
    const Dataspace space(check(H5Dget_space(dataset), "extent"));
    const PropertyList create(check(H5Dget_create_plist(dataset), "storage"));
    if (is_piece_of_a_checkpoint(dataset, create.get())) {
      own = "part of a checkpoint";
      return;
    }
    const int rank = H5Sget_simple_extent_ndims(space.get());
    hsize_t sides[H5S_MAX_RANK] = {};
    TW_CHECK(rank > 0 && H5Sget_simple_extent_dims(space.get(), sides, nullptr) == rank, data, "a single value");
    TW_CHECK(rank <= 2, data, "{} dimensions", rank);
    Source s;
    s.path = path;
    s.group = path.substr(0, std::max<size_t>(path.rfind('/'), 1));
    s.name = shown(path.substr(path.rfind('/') + 1));
    s.flat = rank == 1;
    TW_CHECK(sides[0] > 0, data, "no rows");
    TW_CHECK(sides[0] < uint64_t(1) << 48, data, "{} rows", sides[0]);
    TW_CHECK(rank == 1 || (sides[1] > 0 && sides[1] <= kMostTableColumns), data, "{} x {} numbers: at most {} columns are read", sides[0], sides[1], kMostTableColumns);
    s.rows = int64_t(sides[0]);
    s.width = rank == 2 ? size_t(sides[1]) : 1;
    s.memory = memory_type(type.get(), "", 0, 0, s.leaves);
    TW_CHECK(s.memory && !s.leaves.empty(), data, "elements that are neither numbers nor texts, or too large");
    s.bytes = H5Tget_size(s.memory.get());
    TW_CHECK(s.columns() <= kMostTableColumns && s.bytes * s.width <= kMostMessage / 4, data, "{} columns of {} bytes in all: at most {} are read", s.columns(),
             s.bytes * s.width, kMostTableColumns);
    TW_CHECK(rank == 1 || !s.records(), data, "records in 2 dimensions");
    const size_t stored = H5Tget_size(type.get());
    const Chunk chunk = check_storage(dataset, rank, s.rows * int64_t(s.width), stored, "it");
    if (!chunk.empty()) {
      s.chunks = rank == 2 ? (s.width + chunk[1] - 1) / chunk[1] : 1;
      s.band = s.chunks * chunk[0] * (rank == 2 ? chunk[1] : 1) * stored;
    }
    if (!s.records() && !s.words()) {
      const auto scale = number_attribute(dataset, "scale_factor", true), offset = number_attribute(dataset, "add_offset", true);
      s.packed = scale || offset;
      s.scale = scale.value_or(1), s.offset = offset.value_or(0);
      const int a = decimals_of(s.scale), b = decimals_of(s.offset);
      s.decimals = a < 0 || b < 0 ? -1 : std::max(a, b);
      s.missing[0] = number_attribute(dataset, "_FillValue"), s.missing[1] = number_attribute(dataset, "missing_value");
    }
    if (rank == 2)
      for (const char* attribute : {"columns", "column_names", "names", "channels", "channel_names", "labels", "fields", "header"})
        if (std::vector<std::string> texts = text_attribute(dataset, attribute); texts.size() == s.width) {
          s.names = std::move(texts);
          break;
        }
    sources.push_back(std::move(s));
  }
  // As src/checkpoint/layout.cpp writes them: of shards, and the view of a model that leads to shards.
  static bool is_piece_of_a_checkpoint(hid_t dataset, hid_t create) {
    if (H5Pget_layout(create) == H5D_VIRTUAL) {
      std::string from(kLongestName, '\0');
      const ssize_t n = H5Pget_virtual_filename(create, 0, from.data(), from.size());
      return n > 0 && from.starts_with("shard-") && from.find("-of-") != from.npos;
    }
    const auto whole = [&](const char* name) { return H5Aexists(dataset, name) > 0; };
    return whole("begin") && whole("end") && whole("shape") && number_attribute(dataset, "begin") && number_attribute(dataset, "end");
  }

  const OpenForeign& file_;
  size_t seen_ = 0, left_out_ = 0;
  std::set<haddr_t> visited_;  // groups
  std::string said_;
};

// The texts of a dataset of one dimension that is not long.
std::vector<std::string> texts_of(const OpenForeign& file, const Source& s) {
  std::vector<std::string> texts;
  const Dataset dataset(check(H5Dopen2(file.get(), s.path.c_str(), H5P_DEFAULT), s.path));
  std::vector<char> bytes(size_t(s.rows) * s.bytes);
  if (H5Dread(dataset.get(), s.memory.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) < 0) return texts;
  for (int64_t r = 0; r < s.rows; ++r) {
    const char* at = bytes.data() + size_t(r) * s.bytes;
    size_t most = s.bytes;
    if (s.leaves[0].kind == Leaf::Kind::pointer) std::memcpy(&at, at, sizeof at), most = kLongestName;
    texts.emplace_back(at ? std::string(at, ::strnlen(at, most)) : "");
  }
  return texts;  // what the library allocated ends with this process
}

class Tables {
 public:
  Tables(const OpenForeign& file, Contents& contents, const SandboxWrite& write) : file_(file), contents_(contents), write_(write) {
    std::map<std::string, std::vector<Source*>> groups;
    for (Source& s : contents.sources) groups[s.group].push_back(&s);
    for (auto& [group, sources] : groups) {
      std::map<int64_t, std::vector<Source*>> by_rows;
      std::vector<std::vector<Source*>> tables;
      const std::vector<const Source*> names = name_columns(sources);
      for (Source* s : sources) {
        if (s->records()) tables.push_back({s});
        else if (std::find(names.begin(), names.end(), s) == names.end()) by_rows[s->rows].push_back(s);
      }
      for (auto& [rows, some] : by_rows) tables.push_back(std::move(some));
      for (const auto& table : tables) give(table);
    }
  }

 private:
  // Gives two-dimensional datasets the texts beside them for names; returns what served as such.
  std::vector<const Source*> name_columns(const std::vector<Source*>& sources) {
    std::vector<const Source*> used;
    for (Source* s : sources) {
      if (s->flat || !s->names.empty()) continue;
      const std::string items = s->name.ends_with("_values") ? s->name.substr(0, s->name.size() - 6) + "items" : "";  // as pandas calls them
      std::vector<const Source*> fit;
      for (const Source* other : sources) {
        const bool texts = other->flat && !other->records() && (other->leaves[0].kind == Leaf::Kind::text || other->leaves[0].kind == Leaf::Kind::pointer);
        if (!texts || other->rows != int64_t(s->width) || other->rows == s->rows || (s->width < 2 && other->name != items)) continue;
        if (other->name == items) fit.clear();
        fit.push_back(other);
        if (other->name == items) break;
      }
      if (fit.size() != 1) continue;
      s->names = texts_of(file_, *fit[0]);
      used.push_back(fit[0]);
    }
    return used;
  }
  void give(const std::vector<Source*>& all) {
    std::vector<Source*> sources;
    size_t columns = 0;
    bool numbers = false;
    for (Source* s : all) {
      if (s->rows < kFewestRows) contents_.leave_out(s->path, fmt::format("{} rows, fewer than {}", s->rows, kFewestRows));
      else if (columns + s->columns() > kMostTableColumns) contents_.leave_out(s->path, fmt::format("more than {} columns of its group", kMostTableColumns));
      else columns += s->columns(), numbers = numbers || !s->words(), sources.push_back(s);
    }
    if (!numbers)
      for (const Source* s : sources) contents_.leave_out(s->path, "words without a number beside them");
    if (!numbers || sources.empty()) return;
    std::string head = shown(sources[0]->group) + '\0' + std::to_string(sources[0]->rows);
    for (const Source* s : sources)
      for (size_t w = 0; w < s->width; ++w)
        for (const Leaf& leaf : s->leaves) {
          std::string name = s->records() ? leaf.name : w < s->names.size() ? shown(s->names[w]) : "";
          if (name.empty()) name = s->width > 1 || s->records() ? fmt::format("{} {}", s->name, w + 1) : s->name;
          std::replace(name.begin(), name.end(), '\0', ' ');
          head += '\0' + name;
        }
    send(write_, Message::table, head);
    give_rows(sources);
  }
  void give_rows(const std::vector<Source*>& sources) {
    uint64_t chunks = 0;
    size_t row_bytes = 0;
    bool pointers = false;
    for (const Source* s : sources) {
      chunks += s->band, row_bytes += s->bytes * s->width;
      for (const Leaf& leaf : s->leaves) pointers = pointers || leaf.kind == Leaf::Kind::pointer;
    }
    std::vector<Dataset> open;
    for (const Source* s : sources) {
      const PropertyList access = make_property_list(H5P_DATASET_ACCESS);
      // Each chunk is unpacked once where they all fit.
      check(H5Pset_chunk_cache(access.get(), size_t(s->chunks * 16 + 1), chunks <= kChunks ? size_t(s->band) : 0, 1), "cache");
      open.emplace_back(check(H5Dopen2(file_.get(), s->path.c_str(), access.get()), s->path));
    }
    const int64_t rows = sources[0]->rows;
    const int64_t block = std::clamp<int64_t>(int64_t(kBlock / std::max<size_t>(row_bytes, 1)), 1, pointers ? kMostTextRows : kMostBlockRows);
    std::vector<std::vector<char>> values(sources.size());
    std::string out;
    for (int64_t at = 0; at < rows; at += block) {
      const int64_t n = std::min(block, rows - at);
      std::vector<Dataspace> memories;
      for (size_t i = 0; i < sources.size(); ++i) {
        const Source& s = *sources[i];
        const int rank = s.flat ? 1 : 2;
        const hsize_t start[2] = {hsize_t(at), 0}, count[2] = {hsize_t(n), hsize_t(s.width)};
        const Dataspace space(check(H5Dget_space(open[i].get()), "extent"));
        memories.emplace_back(check(H5Screate_simple(rank, count, nullptr), "block"));
        check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start, nullptr, count, nullptr), "block");
        values[i].assign(size_t(n) * s.width * s.bytes, 0);
        TW_CHECK(H5Dread(open[i].get(), s.memory.get(), memories[i].get(), space.get(), H5P_DEFAULT, values[i].data()) >= 0, data,
                 "{}: rows {} to {} cannot be read: {}", shown(s.path), at, at + n, last_message());
      }
      for (int64_t r = 0; r < n; ++r) {
        for (size_t i = 0; i < sources.size(); ++i) {
          const Source& s = *sources[i];
          const char* row = values[i].data() + size_t(r) * s.width * s.bytes;
          for (size_t w = 0; w < s.width; ++w)
            for (const Leaf& leaf : s.leaves) append(out, s, leaf, row + w * s.bytes + leaf.at), out += ',';
        }
        out.back() = '\n';
        if (out.size() >= kPiece) send(write_, Message::rows, out), out.clear();
      }
      for (size_t i = 0; pointers && i < sources.size(); ++i) H5Dvlen_reclaim(sources[i]->memory.get(), memories[i].get(), H5P_DEFAULT, values[i].data());
    }
    if (!out.empty()) send(write_, Message::rows, out);
  }
  static void append(std::string& out, const Source& s, const Leaf& leaf, const char* at) {
    const auto as = [&]<class T>(T) {
      T value;
      std::memcpy(&value, at, sizeof value);
      return value;
    };
    const auto number = [&](auto value) {
      if (s.packed || s.missing[0] || s.missing[1]) {
        const auto raw = double(value);
        if (raw == s.missing[0] || raw == s.missing[1]) return append_real(out, NAN, false);
        if (s.packed) {
          double real = raw * s.scale + s.offset;
          if (s.decimals >= 0) {
            const double power = std::pow(10.0, s.decimals), moved = real * power;
            if (std::abs(moved) < 1e15) real = std::round(moved) / power;
          }
          return append_real(out, real, false);
        }
      }
      if constexpr (std::is_integral_v<decltype(value)>) {
        char text[32];
        out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
      } else {
        append_real(out, value, leaf.kind == Leaf::Kind::real32);
      }
    };
    switch (leaf.kind) {
      case Leaf::Kind::whole: return number(as(int64_t()));
      case Leaf::Kind::natural: return number(as(uint64_t()));
      case Leaf::Kind::real32:
      case Leaf::Kind::real64: return number(as(double()));
      case Leaf::Kind::text: return append_text(out, {at, ::strnlen(at, std::min(leaf.bytes, kLongestText))});
      case Leaf::Kind::pointer: {
        const char* text = as(static_cast<const char*>(nullptr));
        return append_text(out, text ? std::string_view(text, ::strnlen(text, kLongestText)) : std::string_view());
      }
      case Leaf::Kind::choice: {
        uint64_t raw = 0;
        std::memcpy(&raw, at, leaf.bytes);
        const unsigned unused = unsigned(64 - 8 * leaf.bytes);
        const int64_t value = leaf.negative ? int64_t(raw << unused) >> unused : int64_t(raw);
        if (leaf.choices.empty()) return number(value);
        const auto found = std::lower_bound(leaf.choices.begin(), leaf.choices.end(), value, [](const auto& a, int64_t v) { return a.first < v; });
        return append_text(out, found != leaf.choices.end() && found->first == value ? std::string_view(found->second) : std::string_view());
      }
    }
  }

  const OpenForeign& file_;
  Contents& contents_;
  const SandboxWrite& write_;
};

void send_tables(std::string_view bytes, const std::string& name, const SandboxWrite& write) {
  const OpenForeign file(bytes, name);
  Contents contents(file);
  if (!contents.own.empty()) return send(write, Message::own, contents.own);
  const Tables tables(file, contents, write);
  send(write, Message::left_out, contents.left_out());
}

}  // namespace

bool is_hdf5(std::string_view bytes) noexcept {
  constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  for (size_t at = 0; at < bytes.size(); at = at ? 2 * at : 512)
    if (bytes.substr(at).starts_with(kSignature)) return true;
  return false;
}

void ForeignTableStream::add(std::string_view piece) {
  waiting_ += piece;
  size_t at = 0;
  for (MessageHead head; waiting_.size() - at >= sizeof head;) {
    std::memcpy(&head, waiting_.data() + at, sizeof head);
    TW_CHECK(head.bytes <= kMostMessage, data, "its reader sent {} bytes at once", head.bytes);
    if (waiting_.size() - at - sizeof head < head.bytes) break;
    take(head.kind, std::string_view(waiting_).substr(at + sizeof head, head.bytes));
    at += sizeof head + head.bytes;
  }
  waiting_.erase(0, at);
}

void ForeignTableStream::take(uint32_t kind, std::string_view body) {
  switch (Message(kind)) {
    case Message::table: {
      ForeignTable table;
      size_t part = 0;
      for (size_t begin = 0; begin <= body.size(); ++part) {
        const size_t end = std::min(body.find('\0', begin), body.size());
        const std::string_view text = body.substr(begin, end - begin);
        begin = end + 1;
        if (part == 0) {
          table.group = shown(text);
        } else if (part == 1) {
          const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), table.rows);
          TW_CHECK(error == std::errc() && stop == text.data() + text.size() && table.rows >= kFewestRows, data, "its reader told of no number of rows");
        } else {
          TW_CHECK(!text.empty() && part - 2 < kMostTableColumns, data, "its reader told of more than {} columns, or one without a name", kMostTableColumns);
          table.columns.push_back(repaired_utf8(text.substr(0, 2 * kLongestName)));
        }
      }
      TW_CHECK(!table.columns.empty(), data, "its reader told of a table without columns");
      ++found_.tables;
      if (sink_.table) sink_.table(table);
      return;
    }
    case Message::rows:
      TW_CHECK(found_.tables > 0, data, "its reader gave rows of no table");
      if (sink_.rows) sink_.rows(body);
      return;
    case Message::left_out: found_.left_out = repaired_utf8(body.substr(0, 8 * kLongestName)); return;
    case Message::own: found_.own = shown(body); return;
  }
  TW_FAIL(data, "its reader said what is not known");
}

ForeignTables ForeignTableStream::finish() const {
  TW_CHECK(waiting_.empty(), data, "its reader was cut off");
  return found_;
}

ForeignTables read_foreign_tables(std::string_view bytes, const std::string& name, const ForeignTableSink& sink, const SandboxLimits& limits) {
  ForeignTableStream stream(sink);
  run_sandboxed(name, limits, [&](const SandboxWrite& write) { send_tables(bytes, name, write); },
                [&](std::string_view piece) { stream.add(piece); });
  return stream.finish();
}

}  // namespace tw::h5
