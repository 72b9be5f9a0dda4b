#include "src/meter/baselines.h"

#include <algorithm>
#include <bit>
#include <string>

#include <lzma.h>
#include <zlib.h>

#include "src/core/error.h"

namespace tw {

struct GzipText::Stream {
  z_stream z{};
  std::array<unsigned char, 1 << 16> out;
};

GzipText::GzipText() : stream_(std::make_unique<Stream>()) {
  // 16 + 15: a gzip frame around a window of 32 KiB; memory level 8 as gzip and zlib take it.
  const int code = deflateInit2(&stream_->z, 9, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY);
  TW_CHECK(code == Z_OK, bug, "zlib cannot start: code {}", code);
}

GzipText::~GzipText() { deflateEnd(&stream_->z); }

void GzipText::deflate_input(int flush) {
  z_stream& z = stream_->z;
  do {
    z.next_out = stream_->out.data();
    z.avail_out = unsigned(stream_->out.size());
    const int code = deflate(&z, flush);
    TW_CHECK(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR, bug, "zlib stopped with code {}", code);
    out_ += int64_t(stream_->out.size() - z.avail_out);
  } while (z.avail_out == 0);
}

void GzipText::feed(std::string_view bytes) {
  TW_CHECK(!ended_, bug, "gzip baseline: fed after its end");
  bytes_ += int64_t(bytes.size());
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), size_t(1) << 30);  // zlib counts in 32 bits
    stream_->z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_->z.avail_in = unsigned(n);
    deflate_input(Z_NO_FLUSH);
    bytes.remove_prefix(n);
  }
}

double GzipText::bits() {
  if (!ended_) deflate_input(Z_FINISH);
  ended_ = true;
  return 8 * double(out_);
}

struct XzText::Stream {
  lzma_stream z = LZMA_STREAM_INIT;
  std::array<unsigned char, 1 << 16> out;
};

XzText::XzText(int64_t largest) : stream_(std::make_unique<Stream>()) {
  lzma_options_lzma options;
  TW_CHECK(!lzma_lzma_preset(&options, 9), bug, "liblzma has no preset 9");
  // What does not fill the dictionary is coded alike with a smaller one.
  const auto wanted = std::bit_ceil(uint64_t(std::clamp<int64_t>(largest, LZMA_DICT_SIZE_MIN, options.dict_size)));
  options.dict_size = uint32_t(std::min<uint64_t>(wanted, options.dict_size));
  const lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
  const lzma_ret code = lzma_stream_encoder(&stream_->z, filters, LZMA_CHECK_CRC64);
  TW_CHECK(code == LZMA_OK, bug, "liblzma cannot start: code {}", int(code));
}

XzText::~XzText() { lzma_end(&stream_->z); }

void XzText::encode_input(bool end) {
  lzma_stream& z = stream_->z;
  for (;;) {
    z.next_out = stream_->out.data();
    z.avail_out = stream_->out.size();
    const lzma_ret code = lzma_code(&z, end ? LZMA_FINISH : LZMA_RUN);
    TW_CHECK(code == LZMA_OK || code == LZMA_STREAM_END, bug, "liblzma stopped with code {}", int(code));
    out_ += int64_t(stream_->out.size() - z.avail_out);
    if (end ? code == LZMA_STREAM_END : z.avail_in == 0 && z.avail_out > 0) return;
  }
}

void XzText::feed(std::string_view bytes) {
  TW_CHECK(!ended_, bug, "xz baseline: fed after its end");
  if (bytes.empty()) return;
  bytes_ += int64_t(bytes.size());
  stream_->z.next_in = reinterpret_cast<const uint8_t*>(bytes.data());
  stream_->z.avail_in = bytes.size();
  encode_input(false);
}

double XzText::bits() {
  if (!ended_) encode_input(true);
  ended_ = true;
  return 8 * double(out_);
}

namespace {

class Gzip final : public Baseline {
 public:
  std::string_view name() const noexcept override { return "gzip -9"; }
  std::unique_ptr<HeldOutText> held_out() const override { return std::make_unique<GzipText>(); }
};

class Xz final : public Baseline {
 public:
  explicit Xz(int64_t largest) : largest_(largest) {}
  std::string_view name() const noexcept override { return "xz -9"; }
  std::unique_ptr<HeldOutText> held_out() const override { return std::make_unique<XzText>(largest_); }

 private:
  int64_t largest_;
};

class Ngram final : public Baseline {
 public:
  explicit Ngram(int order) : name_("order-" + std::to_string(order) + " n-gram"), model_(order) {}
  std::string_view name() const noexcept override { return name_; }
  bool learns() const noexcept override { return true; }
  void train(std::string_view bytes) override { model_.train(bytes); }
  void end_document() override { model_.end_document(); }
  std::unique_ptr<HeldOutText> held_out() const override { return std::make_unique<NgramBaseline::Score>(model_); }

 private:
  std::string name_;
  NgramBaseline model_;
};

}  // namespace

std::vector<std::unique_ptr<Baseline>> all_baselines(int64_t largest) {
  std::vector<std::unique_ptr<Baseline>> all;
  all.push_back(std::make_unique<Gzip>());
  all.push_back(std::make_unique<Xz>(largest));
  all.push_back(std::make_unique<Ngram>(3));
  all.push_back(std::make_unique<Ngram>(5));
  return all;
}

}  // namespace tw
