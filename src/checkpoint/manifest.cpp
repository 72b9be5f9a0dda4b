#include "src/checkpoint/manifest.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "src/checkpoint/names.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/json_guard.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
constexpr std::string_view kFormat = "tokenwerk checkpoint";
constexpr size_t kLimit = size_t(1) << 26;     // bytes of a MANIFEST; 1 TB of tensors needs some 9 MB
constexpr int64_t kLargest = int64_t(1) << 53;  // of any count or extent: exact in every JSON reader
constexpr int kDepth = 8;

// The end of the text; the sum is of all bytes before it.
constexpr std::string_view kSumBegin = ",\n \"crc32c\": \"", kSumEnd = "\"\n}\n";
constexpr size_t kSumSize = kSumBegin.size() + 8 + kSumEnd.size();

Json shape_json(const Shape& shape) {
  Json dims = Json::array();
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

Json file_json(const StoredFile& file) {
  std::string sums;
  for (uint32_t crc : file.blocks) sums += fmt::format("{:08x}", crc);
  Json json = {{"file", file.file}, {"bytes", file.bytes}, {"crc32c", sums}};
  Json pieces = Json::array();
  for (const StoredPiece& p : file.pieces)
    pieces.push_back({{"tensor", p.name}, {"slot", p.slot}, {"shape", shape_json(p.shape)}, {"begin", p.begin},
                      {"end", p.end}, {"offset", p.offset}, {"xxh3", hex(p.xxh3)}});
  json["pieces"] = std::move(pieces);
  return json;
}

// Typed access that names the field in its errors.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    TW_CHECK(json.is_object(), data, "{} is not an object", where_);
  }
  const Json& at(const char* key) const {
    const auto found = json_.find(key);
    TW_CHECK(found != json_.end(), data, "{} has no \"{}\"", where_, key);
    return *found;
  }
  int64_t integer(const char* key) const { return integer(at(key), fmt::format("{}: \"{}\"", where_, key)); }
  std::string text(const char* key) const {
    const Json& value = at(key);
    TW_CHECK(value.is_string(), data, "{}: \"{}\" is not a text", where_, key);
    return value.get<std::string>();
  }
  const Json& array(const char* key) const {
    const Json& value = at(key);
    TW_CHECK(value.is_array(), data, "{}: \"{}\" is not an array", where_, key);
    return value;
  }
  Shape shape(const char* key) const {
    const Json& value = array(key);
    TW_CHECK(value.size() <= size_t(Shape::kMaxRank), data, "{}: \"{}\" has {} extents, more than {}", where_, key,
             value.size(), Shape::kMaxRank);
    int64_t dims[Shape::kMaxRank] = {}, count = 1;
    for (size_t i = 0; i < value.size(); ++i) {
      dims[i] = integer(value[i], fmt::format("{}: \"{}\"", where_, key));
      TW_CHECK(!__builtin_mul_overflow(count, dims[i], &count) && count <= kLargest, data, "{}: \"{}\" is too large",
               where_, key);
    }
    switch (value.size()) {
      case 0: return {};
      case 1: return {dims[0]};
      case 2: return {dims[0], dims[1]};
      case 3: return {dims[0], dims[1], dims[2]};
      default: return {dims[0], dims[1], dims[2], dims[3]};
    }
  }
  template <class Integer>
  static Integer from_hex(std::string_view digits, const std::string& what) {
    Integer value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    TW_CHECK(error == std::errc() && end == digits.data() + digits.size() && digits.size() == 2 * sizeof value, data,
             "{} is not {} hexadecimal digits", what, 2 * sizeof value);
    return value;
  }

 private:
  static int64_t integer(const Json& value, const std::string& what) {
    TW_CHECK(value.is_number_integer(), data, "{} is not a whole number", what);
    TW_CHECK(!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t(kLargest), data, "{} is too large", what);
    const int64_t n = value.get<int64_t>();
    TW_CHECK(n >= 0 && n <= kLargest, data, "{} = {} is out of range", what, n);
    return n;
  }
  const Json& json_;
  std::string where_;
};

void check_name(const std::string& name, const std::string& where) {
  // Escaped: what a stranger wrote goes to no terminal as it is.
  TW_CHECK(is_plain_name(name), data, "{}: {} is not a plain name (letters, digits and . _ -)", where,
           Json(name.substr(0, 100)).dump(-1, ' ', true, Json::error_handler_t::replace));
}

StoredPiece parse_piece(const Json& json, const std::string& where) {
  const Reader r(json, where);
  StoredPiece p;
  p.name = r.text("tensor"), p.slot = r.text("slot"), p.shape = r.shape("shape");
  check_name(p.name, where), check_name(p.slot, where);
  p.begin = r.integer("begin"), p.end = r.integer("end"), p.offset = r.integer("offset");
  p.xxh3 = Reader::from_hex<uint64_t>(r.text("xxh3"), where + ": \"xxh3\"");
  TW_CHECK(p.begin < p.end && p.end <= p.shape.count(), data, "{}: [{}, {}) is not a range of {}, a tensor {}", where,
           p.begin, p.end, p.name, p.shape.str());
  return p;
}

StoredFile parse_file(const Json& json, const std::string& where) {
  const Reader r(json, where);
  StoredFile f;
  f.file = r.text("file");
  check_name(f.file, where);
  f.bytes = r.integer("bytes");
  const std::string sums = r.text("crc32c");
  const int64_t blocks = f.bytes / kBlockBytes + (f.bytes % kBlockBytes != 0);
  TW_CHECK(int64_t(sums.size() / 8) == blocks && sums.size() % 8 == 0, data,
           "{}: \"crc32c\" has {} digits, {} bytes in blocks of {} need {}", where, sums.size(), f.bytes, kBlockBytes,
           8 * blocks);
  f.blocks.reserve(size_t(blocks));
  for (size_t i = 0; i < sums.size(); i += 8)
    f.blocks.push_back(Reader::from_hex<uint32_t>(std::string_view(sums).substr(i, 8), where + ": \"crc32c\""));
  int64_t end = 0;
  for (const Json& piece : r.array("pieces")) {
    const StoredPiece& p = f.pieces.emplace_back(parse_piece(piece, fmt::format("{}, {}", where, f.file)));
    TW_CHECK(p.offset >= end && p.bytes() <= f.bytes - p.offset, data,
             "{}, {}: the piece of {} at byte {} overlaps another or the file's end", where, f.file, p.name, p.offset);
    end = p.offset + p.bytes();
  }
  return f;
}

Json parse_json(std::string_view text, const std::string& where) {
  // Ours take more than 8 bytes for each comma or bracket even where every name and number is short.
  check_json_structure(text, {.depth = kDepth, .values = 1000 + text.size() / 7}, where);
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    TW_FAIL(data, "{} is not JSON: {}", where, e.what());
  }
}

}  // namespace

std::string to_text(const Manifest& m) {
  const CheckpointInfo& i = m.info;
  Json json = {{"format", kFormat},
               {"version", i.adapter_json.empty() ? 1 : kCheckpointVersion},
               {"step", i.step},
               {"samples", i.samples},
               {"tokens", i.tokens},
               {"joules", std::isfinite(i.joules) ? i.joules : -1.0},
               {"validation_loss", std::isfinite(i.validation_loss) ? Json(i.validation_loss) : Json()},
               {"attempt", m.attempt},
               {"written", m.written},
               {"build", m.build},
               {"tokenizer_hash", i.tokenizer_hash},
               {"data_fingerprint", i.data_fingerprint},
               {"model", i.model_json},
               {"config", i.config_toml},
               {"trainer", i.trainer_json},
               {"block_bytes", kBlockBytes}};
  if (!i.adapter_json.empty()) json["adapter"] = i.adapter_json, json["base"] = i.base_hash;
  Json shards = Json::array();
  for (const StoredFile& shard : m.shards) shards.push_back(file_json(shard));
  json["shards"] = std::move(shards);
  json["view"] = file_json(m.view);
  std::string text;
  try {
    text = json.dump(1);
  } catch (const Json::exception& e) {
    TW_FAIL(bug, "the checkpoint's information cannot be written as JSON: {}", e.what());
  }
  TW_CHECK(text.size() + kSumSize <= kLimit, bug, "a MANIFEST of {} bytes could not be read back: limit {}", text.size(),
           kLimit);
  text.resize(text.size() - 2);  // "\n}"
  const uint32_t sum = crc32c(text.data(), text.size());
  return text + std::string(kSumBegin) + fmt::format("{:08x}", sum) + std::string(kSumEnd);
}

Manifest parse_manifest(const std::string& text, const fs::path& path) {
  const std::string where = path.string();
  const std::string_view all = text;
  TW_CHECK(all.size() > kSumSize && all.size() <= kLimit && all.ends_with(kSumEnd) &&
               all.substr(all.size() - kSumSize).starts_with(kSumBegin),
           data, "{} is cut off or not a MANIFEST ({} bytes, its checksum line is missing)", where, all.size());
  const std::string_view stored = all.substr(all.size() - kSumSize + kSumBegin.size(), 8);
  const std::string found = fmt::format("{:08x}", crc32c(all.data(), all.size() - kSumSize));
  TW_CHECK(stored == found, data, "{} is damaged: its own checksum does not match its bytes", where);

  const Json json = parse_json(all, where);
  const Reader r(json, where);
  TW_CHECK(r.text("format") == kFormat, data, "{} is not a MANIFEST of Tokenwerk", where);
  const int64_t version = r.integer("version");
  TW_CHECK(version <= kCheckpointVersion, data,
           "{} has format version {}; this program reads up to version {}: use a newer Tokenwerk", where, version,
           kCheckpointVersion);
  TW_CHECK(version >= 1, data, "{} has format version {}", where, version);
  TW_CHECK(r.integer("block_bytes") == kBlockBytes, data, "{}: \"block_bytes\" is not {}", where, kBlockBytes);

  Manifest m;
  CheckpointInfo& i = m.info;
  i.step = r.integer("step"), i.samples = r.integer("samples"), i.tokens = r.integer("tokens");
  TW_CHECK(r.at("joules").is_number(), data, "{}: \"joules\" is not a number", where);
  i.joules = r.at("joules").get<double>();
  if (const auto loss = json.find("validation_loss"); loss != json.end() && !loss->is_null()) {  // older ones have none
    TW_CHECK(loss->is_number(), data, "{}: \"validation_loss\" is not a number", where);
    i.validation_loss = loss->get<double>();
  }
  m.attempt = r.integer("attempt"), m.written = r.text("written"), m.build = r.text("build");
  i.tokenizer_hash = r.text("tokenizer_hash"), i.data_fingerprint = r.text("data_fingerprint");
  i.model_json = r.text("model"), i.config_toml = r.text("config"), i.trainer_json = r.text("trainer");
  if (version >= 2) {
    i.adapter_json = r.text("adapter"), i.base_hash = r.text("base");
    TW_CHECK(!i.adapter_json.empty(), data, "{}: \"adapter\" is empty", where);
    TW_CHECK(i.base_hash.size() == 64 && i.base_hash.find_first_not_of("0123456789abcdef") == std::string::npos, data,
             "{}: \"base\" is not 64 hexadecimal digits", where);
  }
  std::set<std::string> files;
  for (const Json& shard : r.array("shards")) {
    m.shards.push_back(parse_file(shard, where));
    TW_CHECK(files.insert(m.shards.back().file).second, data, "{} names {} twice", where, m.shards.back().file);
  }
  m.view = parse_file(r.at("view"), where);
  TW_CHECK(m.view.pieces.empty() && !files.contains(m.view.file), data, "{}: \"view\" is not one", where);
  check_coverage(m.shards, where);
  return m;
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  std::error_code e;
  TW_CHECK(fs::exists(path, e), no_input, "{} has no {}: that checkpoint was never finished", folder.string(),
           kManifestName);
  TW_CHECK(fs::is_regular_file(path, e), data, "{} is not a file", path.string());
  return parse_manifest(read_file(path, kLimit), path);
}

std::string to_text(const StoredFile& file) { return file_json(file).dump(); }
StoredFile parse_stored_file(const std::string& text) { return parse_file(parse_json(text, "report of a rank"), "report of a rank"); }

void check_coverage(const std::vector<StoredFile>& shards, const std::string& what) {
  std::map<std::pair<std::string, std::string>, std::vector<const StoredPiece*>> tensors;
  for (const StoredFile& shard : shards)
    for (const StoredPiece& p : shard.pieces) tensors[{p.slot, p.name}].push_back(&p);
  for (auto& [key, pieces] : tensors) {
    std::sort(pieces.begin(), pieces.end(), [](const auto* a, const auto* b) { return a->begin < b->begin; });
    int64_t end = 0;
    for (const StoredPiece* p : pieces) {
      TW_CHECK(p->shape == pieces[0]->shape, data, "{}: pieces of {} ({}) have shapes {} and {}", what, p->name, p->slot,
               pieces[0]->shape.str(), p->shape.str());
      TW_CHECK(p->begin >= end, data, "{}: element {} of {} ({}) is there twice", what, p->begin, p->name, p->slot);
      TW_CHECK(p->begin == end, data, "{}: elements {} to {} of {} ({}) are missing", what, end, p->begin - 1, p->name,
               p->slot);
      end = p->end;
    }
    TW_CHECK(end == pieces[0]->shape.count(), data, "{}: elements {} to {} of {} ({}) are missing", what, end,
             pieces[0]->shape.count() - 1, key.second, key.first);
  }
}

}  // namespace tw
