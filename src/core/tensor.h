// Tensor owns memory; View and ConstView look at it. Views go into signatures, Tensors into members.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "src/core/device.h"
#include "src/core/dtype.h"
#include "src/core/error.h"

namespace tw {

// Up to four extents, row-major. Shape{} is a scalar of one element.
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() noexcept = default;
  Shape(std::initializer_list<int64_t> dims);  // throws Error(bug) beyond rank 4 or for a negative extent
  int rank() const noexcept { return rank_; }
  int64_t operator[](int i) const noexcept { return dims_[size_t(i)]; }
  int64_t count() const noexcept;
  std::string str() const;  // "(4, 8)"
  bool operator==(const Shape& other) const noexcept;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// A contiguous, non-owning, trivially copyable look at typed memory on a device.
template <class Void>
struct BasicView {
  Void* data = nullptr;
  DType dtype = DType::fp32;
  Shape shape;
  Device device;

  BasicView() noexcept = default;
  BasicView(Void* data, DType dtype, Shape shape, Device device = {}) noexcept
      : data(data), dtype(dtype), shape(shape), device(device) {}
  // View converts to ConstView.
  template <class Other>
    requires(std::is_const_v<Void> && !std::is_const_v<Other>)
  BasicView(const BasicView<Other>& v) noexcept
      : data(v.data), dtype(v.dtype), shape(v.shape), device(v.device) {}

  explicit operator bool() const noexcept { return data != nullptr; }  // an empty view = "not given"
  int rank() const noexcept { return shape.rank(); }
  int64_t dim(int i) const noexcept { return shape[i]; }
  int64_t count() const noexcept { return data ? shape.count() : 0; }
  size_t bytes() const noexcept { return size_t(count()) * size_of(dtype); }

  // Typed pointer; throws Error(bug) where T is not the dtype.
  template <class T>
  auto* as() const {
    using Pointer = std::conditional_t<std::is_const_v<Void>, const T, T>*;
    TW_CHECK(dtype == DTypeOf<T>::value, bug, "view of {} {} read as {}", name_of(dtype),
             shape.str(), name_of(DTypeOf<T>::value));
    return static_cast<Pointer>(data);
  }
  BasicView reshape(Shape s) const {
    TW_CHECK(s.count() == shape.count(), bug, "cannot reshape {} to {}", shape.str(), s.str());
    return {data, dtype, s, device};
  }
  // Rows [begin, end) of the first dimension.
  BasicView rows(int64_t begin, int64_t end) const;
  // Elements [begin, end) of the flattened view, shape (end - begin).
  BasicView flat(int64_t begin, int64_t end) const;
};

using View = BasicView<void>;
using ConstView = BasicView<const void>;

extern template struct BasicView<void>;
extern template struct BasicView<const void>;

// to := from, between host and device or within either; as many elements, one dtype. On a GPU's stream in its order: host
// memory is read or written until synchronize(). On the CPU's it is done.
void copy(ConstView from, View to, const Stream& stream);
void synchronize(const Stream& stream);  // all before it is done; on the CPU it always is

class Tensor {
 public:
  Tensor() noexcept = default;
  Tensor(Shape shape, DType dtype, Device device = {});  // zero-initialised; see Memory
  // On the host, for copies from and to the device of `stream`: see Memory::pinned. Of the CPU, plain memory.
  static Tensor beside(const Stream& stream, Shape shape, DType dtype);
  View view() noexcept { return {memory_.data(), dtype_, shape_, memory_.device()}; }
  ConstView view() const noexcept { return {memory_.data(), dtype_, shape_, memory_.device()}; }
  template <class T> T* as() { return view().as<T>(); }
  template <class T> const T* as() const { return view().as<T>(); }
  const Shape& shape() const noexcept { return shape_; }
  DType dtype() const noexcept { return dtype_; }
  int64_t count() const noexcept { return memory_.data() ? shape_.count() : 0; }

 private:
  Memory memory_;
  Shape shape_;
  DType dtype_ = DType::fp32;
};

}  // namespace tw
