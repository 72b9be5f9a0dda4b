// Handle<Traits>: move-only owner of a C library's handle.
#pragma once
#include <utility>

namespace tw {

// Traits: `using type`, `static type invalid() noexcept`, `static void close(type) noexcept`.
// close must log, never throw: it runs in destructors.
template <class Traits>
class Handle {
 public:
  using type = typename Traits::type;
  Handle() noexcept : value_(Traits::invalid()) {}
  explicit Handle(type value) noexcept : value_(value) {}
  Handle(Handle&& other) noexcept : value_(std::exchange(other.value_, Traits::invalid())) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      value_ = std::exchange(other.value_, Traits::invalid());
    }
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  type get() const noexcept { return value_; }
  explicit operator bool() const noexcept { return value_ != Traits::invalid(); }
  type release() noexcept { return std::exchange(value_, Traits::invalid()); }
  void reset() noexcept {
    if (value_ != Traits::invalid()) Traits::close(std::exchange(value_, Traits::invalid()));
  }

 private:
  type value_;
};

}  // namespace tw
