#include "src/data/scan_cache.h"

#include <unistd.h>

#include <cstring>

#include "src/core/error.h"
#include "src/core/hash.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kMagic = "tokenwerk scan 7\n";  // to be raised when what is read of a file changes
constexpr size_t kBuffer = size_t(1) << 18;
constexpr size_t kMaxCache = size_t(8) << 30;

void put(std::string& out, int64_t v) { out.append(reinterpret_cast<const char*>(&v), sizeof v); }
void put(std::string& out, const std::string& text) {
  put(out, int64_t(text.size()));
  out += text;
}

// Reads what put() wrote; good() is false from the first field on that is not there whole.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}
  int64_t number() {
    int64_t v = 0;
    if (const std::string_view bytes = take(sizeof v); good_) std::memcpy(&v, bytes.data(), sizeof v);
    return v;
  }
  std::string text() {
    const int64_t size = number();
    good_ = good_ && size >= 0;
    return good_ ? std::string(take(size_t(size))) : "";
  }
  std::string_view take(size_t bytes) {
    good_ = good_ && bytes <= rest_.size();
    if (!good_) return {};
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  bool good() const noexcept { return good_; }
  bool done() const noexcept { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

std::string record_of(const KnownFile& k) {
  std::string body;
  const ScannedFile& f = k.file;
  for (const std::string* text : {&f.path, &f.reason, &f.note, &f.kind, &f.sha256, &f.encoding, &f.content, &f.language, &f.quality, &f.licence, &f.source}) put(body, *text);
  for (const int64_t v : {int64_t(f.state), f.bytes, f.mtime_ns, f.text_bytes, f.turns}) put(body, v);
  for (const int64_t count : f.findings) put(body, count);
  put(body, int64_t(f.links.size()));
  for (const std::string& link : f.links) put(body, link);
  body.append(reinterpret_cast<const char*>(k.signature.data()), sizeof k.signature);
  std::string out;
  put(out, int64_t(body.size()));
  put(out, int64_t(xxh3(body.data(), body.size())));
  return out + body;
}

bool read_record(std::string_view body, KnownFile& k) {
  Fields fields(body);
  ScannedFile& f = k.file;
  for (std::string* text : {&f.path, &f.reason, &f.note, &f.kind, &f.sha256, &f.encoding, &f.content, &f.language, &f.quality, &f.licence, &f.source}) *text = fields.text();
  const int64_t state = fields.number();
  f.state = FileState(state);
  f.bytes = fields.number(), f.mtime_ns = fields.number(), f.text_bytes = fields.number(), f.turns = fields.number();
  for (int64_t& count : f.findings) count = fields.number();
  f.links.clear();
  for (int64_t n = fields.number(); n > 0 && fields.good(); --n) f.links.push_back(fields.text());
  const std::string_view signature = fields.take(sizeof k.signature);
  if (!fields.good() || !fields.done()) return false;
  std::memcpy(k.signature.data(), signature.data(), sizeof k.signature);
  const bool digits = f.sha256.size() == 64 && f.sha256.find_first_not_of("0123456789abcdef") == f.sha256.npos;
  const bool known = state == int64_t(FileState::used) || state == int64_t(FileState::broken) || state == int64_t(FileState::skipped);
  return known && digits && f.bytes >= 0 && f.text_bytes >= 0 && f.turns >= 0 && f.text_bytes < int64_t(1) << 62;
}

std::string header_of(const fs::path& folder) {
  std::string out(kMagic);
  put(out, folder.string());
  return out;
}

}  // namespace

ScanCache::ScanCache(const fs::path& path, const fs::path& folder) : path_(path), folder_(folder) {
  const std::string header = header_of(folder);
  std::error_code absent;
  if (fs::is_regular_file(path, absent) && fs::file_size(path, absent) <= kMaxCache) {
    const MappedFile map(path);
    const std::string_view bytes(reinterpret_cast<const char*>(map.data()), map.size());
    if (bytes.starts_with(header)) {
      size_t good = header.size();
      for (Fields fields(bytes.substr(good)); !fields.done();) {
        const int64_t size = fields.number();
        const auto sum = uint64_t(fields.number());
        const std::string_view body = fields.take(size < 0 ? bytes.size() : size_t(size));
        KnownFile k;
        if (!fields.good() || xxh3(body.data(), body.size()) != sum || !read_record(body, k)) break;
        good += 2 * sizeof(int64_t);
        known_[xxh3(k.file.path.data(), k.file.path.size())] = {int64_t(good), size};
        good += body.size();
        ++records_;
      }
      at_ = int64_t(good);
    }
  }
  if (at_ == 0) {
    write_file_atomically(path, header);
    at_ = int64_t(header.size());
  } else {
    fs::resize_file(path, uintmax_t(at_));
  }
  fd_ = open_to_update(path);
}

ScanCache::~ScanCache() {
  try {
    flush();
  } catch (const Error&) {  // the next scan reads these again
  }
}

std::optional<KnownFile> ScanCache::take(const ScannedFile& file) {
  const auto found = known_.find(xxh3(file.path.data(), file.path.size()));
  if (found == known_.end()) return std::nullopt;
  std::string body(size_t(found->second.bytes), '\0');
  read_exactly(fd_.get(), body.data(), body.size(), found->second.at, path_);
  known_.erase(found);
  KnownFile known;
  if (!read_record(body, known)) return std::nullopt;
  const ScannedFile& f = known.file;
  if (f.path != file.path || f.bytes != file.bytes || f.mtime_ns != file.mtime_ns || f.kind != file.kind) return std::nullopt;
  return known;
}

void ScanCache::add(const KnownFile& known) {
  waiting_ += record_of(known);
  ++records_;
  if (waiting_.size() >= kBuffer) flush();
}

void ScanCache::flush() {
  if (waiting_.empty()) return;
  write_exactly(fd_.get(), waiting_.data(), waiting_.size(), at_, path_);
  at_ += int64_t(waiting_.size());
  waiting_.clear();
}

void ScanCache::keep(size_t files, const std::function<KnownFile(size_t)>& file) {
  known_.clear();
  flush();
  if (records_ <= 2 * files) return;
  AtomicFile out(path_);
  out.write(header_of(folder_));
  for (size_t i = 0; i < files; ++i) out.write(record_of(file(i)));
  at_ = out.bytes();
  out.commit();
  records_ = files;
  fd_ = open_to_update(path_);
}

}  // namespace tw
