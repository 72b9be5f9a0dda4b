#include "src/data/formats/packed.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "src/core/error.h"
#include "src/core/format.h"
#include "src/core/utf8.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = size_t(64) << 10;
constexpr int64_t kFree = int64_t(64) << 20, kRatio = 200;
constexpr int kWindowLog = 27;  // 128 MiB
constexpr uint64_t kMemory = uint64_t(1) << kWindowLog;

// What the three have in common. A decoder turns bytes of in_ into bytes at `data`.
class Unpacker : public ByteReader {
 public:
  explicit Unpacker(ByteReader& packed) : packed_(packed), block_(kBlock) {}
  size_t read(char* data, size_t bytes) final {
    size_t made = 0;
    while (made == 0 && !end_) {
      if (in_.empty() && !packed_end_) {
        const size_t n = packed_.read(block_.data(), block_.size());
        in_ = {block_.data(), n};
        packed_end_ = n == 0;
        taken_ += int64_t(n);
      }
      made = decode(data, bytes);
    }
    given_ += int64_t(made);
    check_unpacked(given_, taken_);
    return made;
  }

 protected:
  // Takes from in_, returns the bytes made; sets end_ behind the last member.
  virtual size_t decode(char* data, size_t bytes) = 0;
  [[noreturn]] static void cut_off() { TW_FAIL(data, "the packed file is cut off"); }
  [[noreturn]] static void damaged(std::string_view what, const char* why) {
    TW_FAIL(data, "the packed file is damaged or no {} file{}{}", what, why ? ": " : "", why ? why : "");
  }
  std::string_view in_;
  bool packed_end_ = false, end_ = false;

 private:
  ByteReader& packed_;
  std::vector<char> block_;
  int64_t taken_ = 0, given_ = 0;
};

class Gunzip final : public Unpacker {
 public:
  explicit Gunzip(ByteReader& packed) : Unpacker(packed) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Gunzip() override { inflateEnd(&stream_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

 private:
  size_t decode(char* data, size_t bytes) override {
    if (between_) {  // zeros may fill up a tape's block (gzip(1))
      in_.remove_prefix(std::min(in_.find_first_not_of('\0'), in_.size()));
      if (in_.empty()) return end_ = packed_end_, 0;
      inflateReset(&stream_);
      between_ = false;
    }
    if (in_.empty() && packed_end_) cut_off();
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in_.data()));
    stream_.avail_in = uInt(in_.size());
    stream_.next_out = reinterpret_cast<Bytef*>(data);
    stream_.avail_out = uInt(std::min(bytes, size_t(1) << 30));
    const uInt room = stream_.avail_out;
    const int result = inflate(&stream_, Z_NO_FLUSH);
    in_.remove_prefix(in_.size() - stream_.avail_in);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_STREAM_END) between_ = true;
    else if (result != Z_OK && result != Z_BUF_ERROR) damaged("gzip", stream_.msg);
    return room - stream_.avail_out;
  }
  z_stream stream_{};
  bool between_ = false;
};

class Unxz final : public Unpacker {
 public:
  explicit Unxz(ByteReader& packed) : Unpacker(packed) {
    if (lzma_stream_decoder(&stream_, kMemory, LZMA_CONCATENATED) != LZMA_OK) throw std::bad_alloc();
  }
  ~Unxz() override { lzma_end(&stream_); }
  Unxz(const Unxz&) = delete;
  Unxz& operator=(const Unxz&) = delete;

 private:
  size_t decode(char* data, size_t bytes) override {
    stream_.next_in = reinterpret_cast<const uint8_t*>(in_.data());
    stream_.avail_in = in_.size();
    stream_.next_out = reinterpret_cast<uint8_t*>(data);
    stream_.avail_out = bytes;
    const lzma_ret result = lzma_code(&stream_, packed_end_ ? LZMA_FINISH : LZMA_RUN);
    in_.remove_prefix(in_.size() - stream_.avail_in);
    const size_t made = bytes - stream_.avail_out;
    switch (result) {
      case LZMA_STREAM_END: end_ = true; break;
      case LZMA_OK: break;
      case LZMA_BUF_ERROR:
        if (packed_end_ && made == 0) cut_off();
        break;
      case LZMA_MEMLIMIT_ERROR: TW_FAIL(data, "unpacking it takes more than {}: pack it with a smaller dictionary", human_bytes(double(kMemory)));
      case LZMA_MEM_ERROR: throw std::bad_alloc();
      default: damaged("xz", nullptr);
    }
    return made;
  }
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class Unzstd final : public Unpacker {
 public:
  explicit Unzstd(ByteReader& packed) : Unpacker(packed), stream_(ZSTD_createDStream()) {
    if (!stream_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kWindowLog);
  }
  ~Unzstd() override { ZSTD_freeDStream(stream_); }
  Unzstd(const Unzstd&) = delete;
  Unzstd& operator=(const Unzstd&) = delete;

 private:
  size_t decode(char* data, size_t bytes) override {
    const bool last = in_.empty() && packed_end_;
    if (last && between_) return end_ = true, 0;
    ZSTD_inBuffer in{in_.data(), in_.size(), 0};
    ZSTD_outBuffer out{data, bytes, 0};
    const size_t result = ZSTD_decompressStream(stream_, &out, &in);
    in_.remove_prefix(in.pos);
    if (ZSTD_isError(result)) damaged("Zstandard", ZSTD_getErrorName(result));
    between_ = result == 0;
    if (last && out.pos == 0 && !between_) cut_off();
    return out.pos;
  }
  ZSTD_DStream* stream_;
  bool between_ = false;
};

}  // namespace

void check_unpacked(int64_t out, int64_t in) {
  TW_CHECK(out <= kFree + kRatio * in, data, "more than {} times its packed size would come out: a decompression bomb?", kRatio);
}

fs::path unpacked_name(const fs::path& path) {
  const std::string ending = ascii_lower(path.extension().string());
  return ending == ".gz" || ending == ".zst" || ending == ".xz" ? fs::path(path).replace_extension() : path;
}

std::unique_ptr<ByteReader> unpack(const fs::path& path, ByteReader& packed) {
  const std::string ending = ascii_lower(path.extension().string());
  if (ending == ".gz") return std::make_unique<Gunzip>(packed);
  if (ending == ".xz") return std::make_unique<Unxz>(packed);
  if (ending == ".zst") return std::make_unique<Unzstd>(packed);
  return nullptr;
}

}  // namespace tw
