// Loops over elements in short vectors, with the rest at the end.
#pragma once
#include "kernels/cpu/vector_math.h"  // load and store of fp16 must be known before get and put
#include "src/core/thread_team.h"

TW_SIMD_BEGIN

// How many elements a step of a loop handles: a type, so that the step is compiled for each.
struct Whole {};            // kLanes
struct Part { int64_t n; }; // the n < kLanes at the end

template <class T>
TW_INLINE Vf get(const T* p, Whole, float = 0) { return load(p); }
template <class T>
TW_INLINE Vf get(const T* p, Part part, float rest = 0) { return load_some(p, part.n, rest); }
template <class T>
TW_INLINE void put(T* p, Whole, Vf v) { store(p, v); }
template <class T>
TW_INLINE void put(T* p, Part part, Vf v) { store_some(p, part.n, v); }

#define TW_STEP __attribute__((always_inline))  // of the lambdas below

// step(i, Whole or Part) for elements [0, count).
template <class Step>
TW_INLINE void for_vectors(int64_t count, Step step) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) step(i, Whole{});
  if (i < count) step(i, Part{count - i});
}

// The same with a slot 0 .. 3 in turn: four running sums hide the time one addition takes.
template <class Step>
TW_INLINE void for_vectors_in_slots(int64_t count, Step step) {
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    step(i, Whole{}, 0);
    step(i + kLanes, Whole{}, 1);
    step(i + 2 * kLanes, Whole{}, 2);
    step(i + 3 * kLanes, Whole{}, 3);
  }
  for (; i + kLanes <= count; i += kLanes) step(i, Whole{}, 0);
  if (i < count) step(i, Part{count - i}, 0);
}
struct Slots {
  Vf v[4] = {};
  TW_INLINE float total() const { return sum((v[0] + v[1]) + (v[2] + v[3])); }
};

// Element-wise over the team: step(i, Whole or Part).
template <class Step>
TW_INLINE void for_elements(const Stream& stream, int64_t count, Step step) {
  constexpr int64_t kGrain = 1 << 14;
  parallel_blocks(stream, count, kGrain, [&](int64_t begin, int64_t end, int) {
    const Step mine = step;  // a copy: the compiler need not fear that a store changes it
    for_vectors(end - begin, [&](int64_t i, auto n) TW_STEP { mine(begin + i, n); });
  });
}

// to[c] += the sum over r of rows[r * stride + c], r in order.
TW_INLINE void add_rows_in_order(const Stream& stream, const float* rows, int64_t count, int64_t stride,
                                 int64_t C, float* to) {
  parallel_blocks(stream, C, 256, [=](int64_t begin, int64_t end, int) {
    for (int64_t r = 0; r < count; ++r) {
      const float* from = rows + r * stride;
      for_vectors(end - begin, [=](int64_t i, auto n) TW_STEP {
        const int64_t c = begin + i;
        put(to + c, n, get(static_cast<const float*>(to) + c, n) + get(from + c, n));
      });
    }
  });
}

TW_SIMD_END
