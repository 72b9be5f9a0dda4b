#include "src/core/staging.h"

#include <algorithm>
#include <cstring>

namespace tw {
namespace {

View bytes(const View& v, int64_t begin, int64_t end) { return {static_cast<char*>(v.data) + begin, DType::u8, {end - begin}, v.device}; }
ConstView bytes(const ConstView& v, int64_t begin, int64_t end) {
  return {static_cast<const char*>(v.data) + begin, DType::u8, {end - begin}, v.device};
}

}  // namespace

Staging::Staging(const Stream& stream, size_t size) : stream_(stream) {
  if (stream.device().is_cpu()) return;
  for (Tensor& b : buffers_) b = Tensor::beside(stream, {int64_t(size)}, DType::u8);
}

void Staging::to_host(ConstView from, View to) {
  if (stream_.device().is_cpu()) return copy(from, to, stream_);
  const int64_t total = int64_t(from.bytes()), step = buffers_[0].count();
  gpu::Event arrived[2] = {gpu::Event(stream_.device()), gpu::Event(stream_.device())};
  const auto ask = [&](int64_t begin) {
    const int64_t end = std::min(begin + step, total);
    const size_t i = size_t(begin / step % 2);
    if (begin >= total) return;
    copy(bytes(from, begin, end), buffers_[i].view().flat(0, end - begin), stream_);
    arrived[i].record(stream_);
  };
  ask(0);
  for (int64_t begin = 0; begin < total; begin += step) {
    ask(begin + step);
    const int64_t end = std::min(begin + step, total);
    const size_t i = size_t(begin / step % 2);
    arrived[i].wait();
    std::memcpy(bytes(to, begin, end).data, buffers_[i].view().data, size_t(end - begin));
  }
}

void Staging::to_device(ConstView from, View to) {
  if (stream_.device().is_cpu()) return copy(from, to, stream_);
  const int64_t total = int64_t(from.bytes()), step = buffers_[0].count();
  gpu::Event left[2] = {gpu::Event(stream_.device()), gpu::Event(stream_.device())};
  for (int64_t begin = 0; begin < total; begin += step) {
    const int64_t end = std::min(begin + step, total);
    const size_t i = size_t(begin / step % 2);
    left[i].wait();
    std::memcpy(buffers_[i].view().data, bytes(from, begin, end).data, size_t(end - begin));
    copy(buffers_[i].view().flat(0, end - begin), bytes(to, begin, end), stream_);
    left[i].record(stream_);
  }
  synchronize(stream_);
}

}  // namespace tw
