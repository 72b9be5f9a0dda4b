#include "src/meter/baselines.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <zlib.h>

#include "src/core/error.h"

namespace tw {

struct GzipBaseline::Stream {
  z_stream z{};
  std::array<unsigned char, 1 << 16> out;
};

GzipBaseline::GzipBaseline() : stream_(std::make_unique<Stream>()) {
  // 16 + 15: a gzip frame around a window of 32 KiB; memory level 8 as gzip and zlib take it.
  const int code = deflateInit2(&stream_->z, 9, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY);
  TW_CHECK(code == Z_OK, bug, "zlib cannot start: code {}", code);
}

GzipBaseline::~GzipBaseline() { deflateEnd(&stream_->z); }

void GzipBaseline::deflate_input(int flush) {
  z_stream& z = stream_->z;
  do {
    z.next_out = stream_->out.data();
    z.avail_out = unsigned(stream_->out.size());
    const int code = deflate(&z, flush);
    TW_CHECK(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR, bug, "zlib stopped with code {}", code);
    out_ += int64_t(stream_->out.size() - z.avail_out);
  } while (z.avail_out == 0);
}

void GzipBaseline::feed(std::string_view bytes) {
  TW_CHECK(!ended_, bug, "gzip baseline: fed after its end");
  in_ += int64_t(bytes.size());
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), size_t(1) << 30);  // zlib counts in 32 bits
    stream_->z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_->z.avail_in = unsigned(n);
    deflate_input(Z_NO_FLUSH);
    bytes.remove_prefix(n);
  }
}

int64_t GzipBaseline::compressed_bytes() {
  if (!ended_) deflate_input(Z_FINISH);
  ended_ = true;
  return out_;
}

double GzipBaseline::bits_per_byte() {
  return in_ > 0 ? 8 * double(compressed_bytes()) / double(in_) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace tw
