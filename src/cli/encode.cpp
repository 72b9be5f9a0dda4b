// Text to token ids, as a filter: memory does not grow with the text.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "src/cli/arguments.h"
#include "src/cli/artefacts.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/codec/kinds.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/utf8.h"
#include "src/data/coded_file.h"
#include "src/data/document_text.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kPart = size_t(1) << 18, kRound = size_t(4) << 20;  // bytes, of a worker's piece and of a round for each thread
constexpr size_t kLongestLine = size_t(1) << 30;

// Where ids go: text on standard output, raw little-endian ids in a file, or nowhere (--count).
class IdsOut {
 public:
  IdsOut(const std::string& path, int32_t vocab_size) : path_(path) {
    if (path.empty()) return;
    bits_ = path.ends_with(".u16") ? 16 : path.ends_with(".u32") ? 32 : 0;
    TW_CHECK(bits_, config, "--out {}: the name must end in .u16 or .u32", path);
    TW_CHECK(bits_ == 32 || vocab_size <= 65536, config, "ids below {} do not fit in 16 bits: --out {}.u32", vocab_size,
             path.substr(0, path.size() - 4));
    fd_ = open_to_write(path);
  }
  // In a worker: what an id row's part looks like when written.
  void format(const std::vector<int32_t>& ids, bool first, std::string& out) const {
    if (bits_ == 16) {
      for (const int32_t id : ids) out += char(id & 255), out += char(id >> 8);
    } else if (bits_ == 32) {
      for (const int32_t id : ids)
        for (int shift = 0; shift < 32; shift += 8) out += char(uint32_t(id) >> shift & 255);
    } else {
      for (const int32_t id : ids) {
        if (!first) out += ' ';
        char text[16];
        out.append(text, std::to_chars(text, text + sizeof text, id).ptr), first = false;
      }
    }
  }
  void end_row(std::string& out) const {
    if (bits_ == 0) out += '\n';
  }
  void write(const std::string& bytes) {
    if (!path_.empty()) {
      write_exactly(fd_.get(), bytes.data(), bytes.size(), at_, path_);
      at_ += int64_t(bytes.size());
    } else {
      print(bytes);
    }
  }

 private:
  std::string path_;
  int bits_ = 0;
  FileDescriptor fd_;
  int64_t at_ = 0;
};

struct Totals {
  int64_t rows = 0, bytes = 0, tokens = 0;
};

class Encoding {
 public:
  // end: byte that ends each text ('\n', '\0'); none = a file is one text.
  Encoding(const TextTokenizer& tokenizer, const EncodeOptions& options, std::optional<char> end, IdsOut* out, int threads)
      : tokenizer_(tokenizer), options_(options), end_(end), out_(out), team_(threads) {}

  void file(const std::string& path) {
    const bool standard = path == "-";
    const FileDescriptor opened = standard ? FileDescriptor() : open_to_read(path);
    const int fd = standard ? STDIN_FILENO : opened.get();
    const std::string name = standard ? "standard input" : path;
    TextParts parts(options_.parse_special ? Cuts::none : cuts_of(tokenizer_), kPart);
    row_begins_ = true;
    std::string text, ahead;
    bool last = !read(fd, text, name);
    for (;;) {
      const size_t whole = last ? text.size() : end_ ? text.rfind(*end_) + 1 : whole_characters(text);  // npos + 1 = 0
      TW_CHECK(text.size() - whole <= kLongestLine, data, "{}: a text of more than 1 GiB", name);
      if (whole == 0 && !last) {
        last = !read(fd, text, name);
        continue;
      }
      ahead.assign(text, whole);
      text.resize(whole);
      pieces_.clear();
      if (end_) cut_rows(text);
      else cut_parts(text, parts, last);
      const bool was_last = last;
      // The next texts are read while these are encoded.
      if (slots_.size() < pieces_.size()) slots_.resize(pieces_.size());
      team_.run(int64_t(pieces_.size()) + !last, [&](int64_t i, int) {
        if (i == int64_t(pieces_.size())) last = !read(fd, ahead, name);
        else encode(pieces_[size_t(i)], i == 0, slots_[size_t(i)]);
      });
      for (size_t i = 0; i < pieces_.size(); ++i) {
        totals_.tokens += slots_[i].tokens, totals_.rows += slots_[i].rows;
        if (out_) out_->write(slots_[i].text);
      }
      if (!pieces_.empty()) row_begins_ = false;
      stop_if_asked();
      if (was_last) break;
      std::swap(text, ahead);
    }
    if (!end_) {
      ++totals_.rows;
      std::string row_end;
      if (out_) out_->end_row(row_end), out_->write(row_end);
    }
  }
  // A file of a codec's kind: a row for each of its documents, markers included.
  void coded(const std::string& path, const Codec& codec, const CodecRange& range) {
    const MappedFile map(path);
    bool begins = true;
    std::string text;
    const CodedFile file = encode_file(codec, range, {map.text(), path}, {}, [&](const std::vector<int32_t>& block) {
      text.clear();
      for (size_t begin = 0; begin < block.size();) {
        const auto end = std::find(block.begin() + std::ptrdiff_t(begin), block.end(), range.end);
        const size_t stop = size_t(end - block.begin()) + (end != block.end());
        if (out_) out_->format({block.begin() + std::ptrdiff_t(begin), block.begin() + std::ptrdiff_t(stop)}, begins, text);
        begins = end != block.end();
        if (begins && out_) out_->end_row(text);
        begin = stop;
      }
      if (out_) out_->write(text);
    });
    totals_.rows += file.documents, totals_.tokens += file.tokens, totals_.bytes += int64_t(map.size());
    if (!file.note.empty()) log_warning("{}: {}", path, file.note);
  }
  const Totals& totals() const noexcept { return totals_; }

 private:
  // What a worker fills again and again: memory that is asked for and given back costs every thread of the process.
  struct Slot {
    std::vector<int32_t> ids;
    std::string text;
    int64_t tokens = 0, rows = 0;
  };

  // Adds the bytes of a round, fewer only at the end; false there.
  bool read(int fd, std::string& text, const std::string& name) {
    size_t have = text.size();
    const size_t want = have + size_t(team_.size()) * kRound;
    text.resize(want);
    bool more = true;
    while (more && have < want) {
      ssize_t n;
      do n = ::read(fd, text.data() + have, want - have);
      while (n < 0 && errno == EINTR);
      TW_CHECK(n >= 0, io, "{} cannot be read: {}", name, std::strerror(errno));
      have += size_t(n), totals_.bytes += n, more = n > 0;
    }
    text.resize(have);
    return more;
  }
  static size_t whole_characters(const std::string& text) {
    for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back)
      if (utf8_length(text.data() + text.size() - back, back) < 0) return text.size() - back;
    return text.size();
  }
  void cut_parts(std::string_view text, TextParts& parts, bool last) {
    parts.add(text);
    for (std::string_view part; parts.next(part, last);) pieces_.push_back(part);
  }
  // Pieces of whole rows.
  void cut_rows(std::string_view text) {
    while (!text.empty()) {
      const size_t end = text.size() <= kPart ? text.size() : std::min(text.find(*end_, kPart), text.size() - 1) + 1;
      pieces_.push_back(text.substr(0, end));
      text.remove_prefix(end);
    }
  }
  void encode(std::string_view piece, bool first, Slot& slot) const {
    slot.text.clear();
    slot.tokens = slot.rows = 0;
    if (!end_) {
      slot.ids.clear();
      tokenizer_.encode(piece, options_, slot.ids);
      slot.tokens = int64_t(slot.ids.size());
      if (out_) out_->format(slot.ids, row_begins_ && first, slot.text);
      return;
    }
    for (; !piece.empty(); ++slot.rows) {
      const size_t end = std::min(piece.find(*end_), piece.size());
      slot.ids.clear();
      tokenizer_.encode(piece.substr(0, end), options_, slot.ids);
      slot.tokens += int64_t(slot.ids.size());
      if (out_) out_->format(slot.ids, true, slot.text), out_->end_row(slot.text);
      piece.remove_prefix(std::min(end + 1, piece.size()));
    }
  }

  const TextTokenizer& tokenizer_;
  EncodeOptions options_;
  std::optional<char> end_;
  bool row_begins_ = true;
  IdsOut* out_;
  ThreadTeam team_;
  Totals totals_;
  std::vector<std::string_view> pieces_;  // of this round
  std::vector<Slot> slots_;
};

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("encode", "Turns text into token ids, a row for each file (or for each line), from files or a pipe; beside a run's tokenizer also sound,\n"
                      "pictures, tables and molecules.",
                      "echo 'The pump is running.' | tokenwerk encode runs/first/tokenizer.json\n"
                      "  tokenwerk encode tokenizer.json corpus.txt --out corpus.u16\n"
                      "  tokenwerk encode tokenizer.json corpus.txt --lines --count --json");
  std::string path, out;
  std::vector<std::string> files;
  bool lines = false, null = false, count = false, special = false, json = false;
  int64_t threads = 0;
  arguments.word("TOKENIZER", path, "tokenizer.json, SentencePiece .model, tiktoken file, or a folder with one");
  arguments.words("FILE", files, "Files of UTF-8 text, or of a kind whose codebook lies in codecs/ beside the tokenizer; none or - reads standard input");
  arguments.option("--out", out, "Write bare little-endian ids to this file (.u16 or .u32) instead of text");
  arguments.flag("--lines", lines, "Each line is a text of its own");
  arguments.flag("-0,--null", null, "A NUL byte ends each text, as find -print0 writes them");
  arguments.flag("--count", count, "Only count the tokens");
  arguments.flag("--special", special, "Texts of special tokens become those tokens");
  arguments.option("--threads", threads, "Threads; 0 = all cores");
  arguments.flag("--json", json, "Print bytes, tokens and seconds as JSON, not the ids");
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(world.size() == 1, config, "encode runs on one rank");
  TW_CHECK(threads >= 0 && threads <= 4096, config, "--threads {} is out of range", threads);
  TW_CHECK(!count || out.empty(), config, "--count writes no ids: leave out --out");
  TW_CHECK(!lines || !null, config, "--lines and --null exclude each other");
  const std::optional<char> end = lines ? std::optional('\n') : null ? std::optional('\0') : std::nullopt;
  if (files.empty()) files.push_back("-");
  const auto tokenizer = TextTokenizer::load(path);
  std::optional<IdsOut> ids;
  if (!out.empty() || (!count && !json)) ids.emplace(out, tokenizer->vocab_size());
  // Files of other kinds, where codebooks lie beside the tokenizer.
  std::optional<CodecSet> codecs;
  if (const fs::path folder = codecs_beside(path); !end && fs::is_directory(folder)) codecs.emplace(*tokenizer, folder);
  const auto range_of = [&](const std::string& file) -> const CodecRange* {
    const CodecKind* kind = codecs && file != "-" ? codec_kind_of(file) : nullptr;
    return kind ? codecs->range_named(kind->name) : nullptr;
  };
  Encoding encoding(*tokenizer, {.parse_special = special}, end, ids ? &*ids : nullptr, threads ? int(threads) : all_cores());
  const double start = now_seconds();
  for (const std::string& file : files) {
    if (const CodecRange* range = range_of(file)) encoding.coded(file, codecs->of(*range), *range);
    else encoding.file(file);
  }
  const double seconds = now_seconds() - start;
  const Totals& t = encoding.totals();
  if (json) {
    const nlohmann::json result = {{"tokenizer_hash", tokenizer->hash()}, {"rows", t.rows}, {"bytes", t.bytes}, {"tokens", t.tokens}, {"seconds", seconds}};
    print(result.dump() + "\n");
  } else if (count) {
    std::printf("%lld\n", static_cast<long long>(t.tokens));
  }
  log_info("{} of text, {} tokens, {:.2f} bytes a token, {}/s", human_bytes(double(t.bytes)), human_count(double(t.tokens)),
           t.tokens > 0 ? double(t.bytes) / double(t.tokens) : 0, human_bytes(double(t.bytes) / std::max(seconds, 1e-9)));
  return ExitCode::ok;
}

}  // namespace

const Command kEncode = {"encode", "text to token ids, from files or a pipe", run};

}  // namespace tw
