#include "src/checkpoint/shard.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include "src/checkpoint/names.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/fault.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/hash.h"

namespace tw {
namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "tensors are stored as they lie in memory");
namespace {

constexpr size_t kSentences = 8;  // of damage, for one file
constexpr int64_t kWriteback = 8 * kBlockBytes;

// XXH3 of each piece while the file goes by in order.
class PieceSums {
 public:
  explicit PieceSums(const std::vector<StoredPiece>& pieces) : pieces_(pieces) {}
  void feed(int64_t at, const char* data, int64_t n) {
    while (next_ < pieces_.size()) {
      const StoredPiece& p = pieces_[next_];
      const int64_t begin = std::max(at, p.offset), end = std::min(at + n, p.offset + p.bytes());
      if (begin >= at + n) return;
      if (!sum_) sum_.emplace();
      if (end > begin) sum_->update(data + (begin - at), size_t(end - begin));
      if (end < p.offset + p.bytes()) return;
      sums.push_back(sum_->value());
      sum_.reset();
      ++next_;
    }
  }
  std::vector<uint64_t> sums;

 private:
  const std::vector<StoredPiece>& pieces_;
  size_t next_ = 0;
  std::optional<Xxh3> sum_;
};

// The bytes of a file that is about to be written, block by block.
class Content {
 public:
  Content(const FileLayout& layout, const StoredFile& file, const std::vector<const void*>& data)
      : layout_(layout), pieces_(file.pieces), data_(data), buffer_(size_t(kBlockBytes), '\0') {}
  // Blocks are asked for in order.
  const char* block(int64_t at, int64_t n) {
    while (first_ < pieces_.size() && pieces_[first_].offset + pieces_[first_].bytes() <= at) ++first_;
    if (first_ < pieces_.size() && pieces_[first_].offset <= at &&
        pieces_[first_].offset + pieces_[first_].bytes() >= at + n)
      return static_cast<const char*>(data_[first_]) + (at - pieces_[first_].offset);
    std::fill_n(buffer_.begin(), n, '\0');
    overlay(at, n, 0, layout_.image.data(), int64_t(layout_.image.size()));
    for (size_t i = first_; i < pieces_.size() && pieces_[i].offset < at + n; ++i)
      overlay(at, n, pieces_[i].offset, static_cast<const char*>(data_[i]), pieces_[i].bytes());
    return buffer_.data();
  }

 private:
  void overlay(int64_t at, int64_t n, int64_t offset, const char* data, int64_t bytes) {
    const int64_t begin = std::max(at, offset), end = std::min(at + n, offset + bytes);
    if (begin < end) std::memcpy(buffer_.data() + (begin - at), data + (begin - offset), size_t(end - begin));
  }
  const FileLayout& layout_;
  const std::vector<StoredPiece>& pieces_;
  const std::vector<const void*>& data_;
  std::string buffer_;
  size_t first_ = 0;  // first piece that ends behind the block
};

// All space at once, so that a full disk is found before a byte is written.
void reserve_space(int fd, int64_t bytes, const fs::path& path) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0)
    TW_CHECK(limit.rlim_cur == RLIM_INFINITY || uint64_t(bytes) <= limit.rlim_cur, io,
             "{} needs {} bytes, but this process may only write files of {} (ulimit -f): {} bytes are missing",
             path.string(), bytes, limit.rlim_cur, uint64_t(bytes) - limit.rlim_cur);
  int error = EINTR;
  while (error == EINTR) error = ::posix_fallocate(fd, 0, bytes);
  if (error == 0) return;
  if (error == EOPNOTSUPP || error == ENOSYS || error == EINVAL) {
    TW_CHECK(::ftruncate(fd, bytes) == 0, io, "cannot give {} its size of {} bytes: {}", path.string(), bytes,
             std::strerror(errno));
    return;
  }
  // Give back what was taken before counting what is free.
  if (::ftruncate(fd, 0) != 0) error = error ? error : errno;
  struct statvfs disk {};
  const bool known = ::fstatvfs(fd, &disk) == 0;
  const int64_t available = known ? int64_t(disk.f_bavail) * int64_t(disk.f_frsize) : 0;
  TW_CHECK(!known || available >= bytes, io, "no space for {}: it needs {} bytes ({}), {} are free, {} are missing",
           path.string(), bytes, human_bytes(double(bytes)), available, bytes - available);
  TW_FAIL(io, "no space for {}, which needs {} bytes ({}): {}", path.string(), bytes, human_bytes(double(bytes)),
          std::strerror(error));
}

// The disk begins to write bytes [begin, end) while the next are summed: fsync finds little left. Advice only: what goes wrong
// is told by fsync.
void start_writeback(int fd, int64_t begin, int64_t end) {
  [[maybe_unused]] const int ignored = ::sync_file_range(fd, begin, end - begin, SYNC_FILE_RANGE_WRITE);
}

// Another host may see a new folder a little later (network file systems).
FileDescriptor create(const fs::path& path) {
  for (int attempt = 0;; ++attempt) {
    try {
      return open_to_write(path);
    } catch (const Error& e) {
      std::error_code ignored;
      if (fs::exists(path.parent_path(), ignored)) throw;
      if (attempt == 2)
        TW_FAIL(cannot_create, "{} (the folder must be on a file system that all ranks share)", e.what());
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

std::string elements(const StoredPiece& p, int64_t begin, int64_t end) {
  const int64_t first = std::max(begin, p.offset) - p.offset, last = std::min(end, p.offset + p.bytes()) - p.offset - 1;
  return fmt::format("tensor {} ({}), elements {} to {}", p.name, p.slot, p.begin + first / 4, p.begin + last / 4);
}

void cannot_read(const StoredFile& file, const std::string& why, FileDamage& damage) {
  damage.sentences.push_back(fmt::format("{} cannot be read: {}", file.file, why));
  for (const StoredPiece& p : file.pieces) damage.tensors.emplace_back(p.name, p.slot);
}

void compare_size(const StoredFile& file, int64_t found, FileDamage& damage) {
  std::string text = fmt::format("{} has {} bytes instead of {}", file.file, found, file.bytes);
  if (found < file.bytes) text += fmt::format(": it is cut off in block {}", found / kBlockBytes);
  bool named = false;
  for (const StoredPiece& p : file.pieces) {
    if (found < file.bytes && p.offset + p.bytes() <= found) continue;
    damage.tensors.emplace_back(p.name, p.slot);
    if (found < file.bytes && !named) text += fmt::format(", tensor {} ({})", p.name, p.slot), named = true;
  }
  damage.sentences.push_back(std::move(text));
}

void compare_content(const fs::path& path, const StoredFile& file, bool fresh, FileDamage& damage) {
  PieceSums sums(file.pieces);
  std::vector<int64_t> bad;  // blocks
  const FileDescriptor fd = open_to_read(path);
  ::posix_fadvise(fd.get(), 0, 0, fresh ? POSIX_FADV_DONTNEED : POSIX_FADV_SEQUENTIAL);
  std::vector<char> block(static_cast<size_t>(std::min(kBlockBytes, file.bytes)));
  for (size_t b = 0; b < file.blocks.size(); ++b) {
    const int64_t at = int64_t(b) * kBlockBytes, n = std::min(kBlockBytes, file.bytes - at);
    read_exactly(fd.get(), block.data(), size_t(n), at, path);
    if (crc32c(block.data(), size_t(n)) != file.blocks[b]) bad.push_back(int64_t(b));
    sums.feed(at, block.data(), n);
  }
  std::vector<const StoredPiece*> wrong;
  for (size_t i = 0; i < file.pieces.size(); ++i)
    if (sums.sums.at(i) != file.pieces[i].xxh3) wrong.push_back(&file.pieces[i]);
  for (const StoredPiece* p : wrong) damage.tensors.emplace_back(p->name, p->slot);

  if (bad.size() > 1 && bad.size() == file.blocks.size())
    damage.sentences.push_back(
        fmt::format("{}: all {} blocks differ; it may be a file of another checkpoint", file.file, bad.size()));
  for (const int64_t b : bad) {
    if (damage.sentences.size() == kSentences) {
      damage.sentences.push_back(fmt::format("{}: {} blocks are damaged in all", file.file, bad.size()));
      break;
    }
    const int64_t begin = b * kBlockBytes, end = std::min(begin + kBlockBytes, file.bytes);
    std::string what;
    for (const StoredPiece* p : wrong)
      if (p->offset < end && p->offset + p->bytes() > begin && what.size() < 400)
        what += (what.empty() ? "" : "; ") + elements(*p, begin, end);
    damage.sentences.push_back(fmt::format("{}: block {} (bytes {} to {}) is damaged: {}", file.file, b, begin, end - 1,
                                           what.empty() ? "HDF5's own data, no tensor" : what));
  }
  // Damage that leaves every CRC as it was.
  if (bad.empty())
    for (const StoredPiece* p : wrong)
      damage.sentences.push_back(fmt::format("{}: tensor {} ({}) is damaged", file.file, p->name, p->slot));
}

}  // namespace

void write_stored_file(const fs::path& folder, StoredFile& file, const FileLayout& layout,
                       const std::vector<const void*>& data, SaveWatch* watch) {
  const fs::path path = folder / file.file, temporary = path.string() + std::string(kTemporaryEnd);
  file.bytes = layout.bytes;
  file.blocks.clear();
  const double begin = now_seconds();
  FileDescriptor fd = create(temporary);
  try {
    reserve_space(fd.get(), file.bytes, temporary);
    fault_point("checkpoint.after_layout");
    Content content(layout, file, data);
    PieceSums sums(file.pieces);
    for (int64_t at = 0; at < file.bytes; at += kBlockBytes) {
      const int64_t n = std::min(kBlockBytes, file.bytes - at);
      TW_CHECK(!watch || !watch->given_up, peer_lost, "the save was given up");
      if (at <= file.bytes / 2 && file.bytes / 2 < at + n) fault_point("checkpoint.mid_data");
      const char* block = content.block(at, n);
      file.blocks.push_back(crc32c(block, size_t(n)));
      sums.feed(at, block, n);
      write_exactly(fd.get(), block, size_t(n), at, temporary);
      if ((at + n) % kWriteback == 0) start_writeback(fd.get(), at + n - kWriteback, at + n);
    }
    for (size_t i = 0; i < file.pieces.size(); ++i) file.pieces[i].xxh3 = sums.sums.at(i);
    fault_point("checkpoint.before_fsync");
    // A flush that failed may have dropped the data, and the next one would report success: this file is lost.
    flush_to_disk(fd.get(), temporary);
    fd.reset();
    const double written_at = now_seconds();
    fault_point("checkpoint.after_fsync");
    StoredFile written = file;
    written.file += kTemporaryEnd;
    const FileDamage damage = verify_stored_file(folder, written, true, true);
    TW_CHECK(damage.sentences.empty(), io, "{} was written but reads back differently (a fault of disk or memory): {}",
             temporary.string(), damage.sentences[0]);
    if (watch) watch->write_seconds = written_at - begin, watch->read_back_seconds = now_seconds() - written_at;
    fault_point("checkpoint.before_rename");
    rename_file(temporary, path);
    fault_point("checkpoint.after_rename");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

StoredFile write_stored_file(const fs::path& folder, const std::string& name, std::string content) {
  StoredFile file;
  file.file = name;
  FileLayout layout;
  layout.bytes = int64_t(content.size());
  layout.image = std::move(content);
  write_stored_file(folder, file, layout, {});
  return file;
}

FileDamage verify_stored_file(const fs::path& folder, const StoredFile& file, bool read_data, bool fresh) {
  FileDamage damage;
  const fs::path path = folder / file.file;
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) {
    cannot_read(file, std::strerror(errno), damage);
  } else if (!S_ISREG(s.st_mode)) {
    cannot_read(file, "not a file", damage);
  } else if (s.st_size != file.bytes) {
    compare_size(file, s.st_size, damage);
  } else if (read_data) {
    try {
      compare_content(path, file, fresh, damage);
    } catch (const Error& e) {
      cannot_read(file, e.what(), damage);
    }
  }
  std::sort(damage.tensors.begin(), damage.tensors.end());
  damage.tensors.erase(std::unique(damage.tensors.begin(), damage.tensors.end()), damage.tensors.end());
  return damage;
}

}  // namespace tw
