#include "src/core/tensor.h"

#include <algorithm>
#include <cstring>

#include "src/core/gpu.h"

namespace tw {

Shape::Shape(std::initializer_list<int64_t> dims) {
  TW_CHECK(dims.size() <= kMaxRank, bug, "a shape of rank {} was asked for; at most 4", dims.size());
  for (int64_t d : dims) {
    TW_CHECK(d >= 0, bug, "negative extent {} in a shape", d);
    dims_[size_t(rank_++)] = d;
  }
}

int64_t Shape::count() const noexcept {
  int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= dims_[size_t(i)];
  return n;
}

std::string Shape::str() const {
  std::string s = "(";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[size_t(i)]);
  return s + ")";
}

bool Shape::operator==(const Shape& other) const noexcept {
  return rank_ == other.rank_ && std::equal(dims_.begin(), dims_.begin() + rank_, other.dims_.begin());
}

template <class Void>
static BasicView<Void> part(const BasicView<Void>& v, int64_t first_element, Shape shape) {
  using Byte = std::conditional_t<std::is_const_v<Void>, const char, char>;
  return {static_cast<Byte*>(v.data) + first_element * int64_t(size_of(v.dtype)), v.dtype, shape, v.device};
}

template <class Void>
BasicView<Void> BasicView<Void>::rows(int64_t begin, int64_t end) const {
  TW_CHECK(rank() >= 1 && 0 <= begin && begin <= end && end <= dim(0), bug, "rows [{}, {}) of {}", begin,
           end, shape.str());
  const int64_t row = dim(0) ? shape.count() / dim(0) : 0, n = end - begin;
  Shape s = rank() == 1   ? Shape{n}
            : rank() == 2 ? Shape{n, dim(1)}
            : rank() == 3 ? Shape{n, dim(1), dim(2)}
                          : Shape{n, dim(1), dim(2), dim(3)};
  return part(*this, begin * row, s);
}

template <class Void>
BasicView<Void> BasicView<Void>::flat(int64_t begin, int64_t end) const {
  TW_CHECK(0 <= begin && begin <= end && end <= shape.count(), bug, "elements [{}, {}) of {}", begin, end,
           shape.str());
  return part(*this, begin, Shape{end - begin});
}

template struct BasicView<void>;
template struct BasicView<const void>;

void copy(ConstView from, View to, const Stream& stream) {
  TW_CHECK(from.dtype == to.dtype && from.count() == to.count(), bug, "{} {} cannot be copied to {} {}", name_of(from.dtype),
           from.shape.str(), name_of(to.dtype), to.shape.str());
  if (from.bytes() == 0) return;
  if (stream.device().is_cuda()) return gpu::copy(to.data, from.data, from.bytes(), stream);
  TW_CHECK(from.device.is_cpu() && to.device.is_cpu(), bug, "memory of a GPU is copied on a stream of the CPU");
  std::memcpy(to.data, from.data, from.bytes());
}

void synchronize(const Stream& stream) {
  if (stream.device().is_cuda()) gpu::synchronize(stream);
}

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : memory_(size_t(shape.count()) * size_of(dtype), device), shape_(shape), dtype_(dtype) {}

Tensor Tensor::beside(const Stream& stream, Shape shape, DType dtype) {
  if (stream.device().is_cpu()) return Tensor(shape, dtype);
  Tensor t;
  t.memory_ = Memory::pinned(size_t(shape.count()) * size_of(dtype));
  t.shape_ = shape, t.dtype_ = dtype;
  return t;
}

}  // namespace tw
