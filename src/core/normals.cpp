#include "src/core/normals.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

namespace tw {
namespace {

// Uniform numbers of a pair of words: radius from (0, 1], angle from [0, 2 pi).
inline float uniform(uint32_t word) { return (float(word >> 8) + 0.5f) * 0x1p-24f; }
inline float angle(uint32_t word) { return 2 * std::numbers::pi_v<float> * (float(word) * 0x1p-32f); }

#if defined(__x86_64__)
#define TW_INLINE inline __attribute__((always_inline))

// Logarithm, sine and cosine as the GNU C library does them for single precision (ARM's optimized routines, logf.c and
// sincosf.h, Szabolcs Nagy and Wilco Dijkstra): polynomials in double with FMA, without branches, so that a loop over them
// becomes vector code and its bits are the library's.
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kInverse[16] = {0x1.661ec79f8f3bep+0, 0x1.571ed4aaf883dp+0, 0x1.49539f0f010b0p+0, 0x1.3c995b0b80385p+0,
                                 0x1.30d190c8864a5p+0, 0x1.25e227b0b8ea0p+0, 0x1.1bb4a4a1a343fp+0, 0x1.12358f08ae5bap+0,
                                 0x1.0953f419900a7p+0, 0x1.0000000000000p+0, 0x1.e608cfd9a47acp-1, 0x1.ca4b31f026aa0p-1,
                                 0x1.b2036576afce6p-1, 0x1.9c2d163a1aa2dp-1, 0x1.886e6037841edp-1, 0x1.767dcf5534862p-1};
constexpr double kLog[16] = {-0x1.57bf7808caadep-2, -0x1.2bef0a7c06ddbp-2, -0x1.01eae7f513a67p-2, -0x1.b31d8a68224e9p-3,
                             -0x1.6574f0ac07758p-3, -0x1.1aa2bc79c8100p-3, -0x1.a4e76ce8c0e5ep-4, -0x1.1973c5a611cccp-4,
                             -0x1.252f438e10c1ep-5, 0,                     0x1.aa5aa5df25984p-5,  0x1.c5e53aa362eb4p-4,
                             0x1.526e57720db08p-3,  0x1.bc2860d224770p-3,  0x1.1058bc8a07ee1p-2,  0x1.4043057b6ee09p-2};

// x normal and positive.
TW_INLINE float log_of(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), from = bits - 0x3f330000u;
  const int64_t i = from >> 19 & 15;
  const double z = std::bit_cast<float>(bits - (from & 0xff800000u)), exponent = int32_t(from) >> 23;
  const double r = std::fma(z, kInverse[i], -1.0), whole = std::fma(exponent, kLn2, kLog[i]);
  double y = std::fma(0x1.5575b0be00b6ap-2, r, -0x1.ffffef20a4123p-2);
  y = std::fma(-0x1.00ea348b88334p-2, r * r, y);
  return float(std::fma(y, r * r, whole + r));
}

struct SineCosine {
  float sine, cosine;
};
// 0 <= x < 120.
TW_INLINE SineCosine sine_cosine(float x) {
  const int32_t quarter = (int32_t(double(x) * 0x1.45f306dc9c883p+23) + 0x800000) >> 24;
  const double rest = std::fma(-double(quarter), 0x1.921fb54442d18p+0, double(x)), x2 = rest * rest, x4 = x2 * x2;
  const double x3 = x2 * rest;
  double s = std::fma(x3, -0x1.555545995a603p-3, rest);
  s = std::fma(x3 * x2, std::fma(x2, -0x1.994eb3774cf24p-13, 0x1.1107605230bc4p-7), s);
  double c = std::fma(x2, -0x1.ffffffd0c621cp-2, 1.0);
  c = std::fma(x4, 0x1.55553e1068f19p-5, c);
  c = std::fma(x4 * x2, std::fma(x2, 0x1.99343027bf8c3p-16, -0x1.6c087e89a359dp-10), c);
  const uint32_t sine = std::bit_cast<uint32_t>(float(s)), cosine = std::bit_cast<uint32_t>(float(c));
  const uint32_t odd = -(uint32_t(quarter) & 1), swap = (sine ^ cosine) & odd;
  const uint32_t sign = uint32_t(quarter) << 30, next = uint32_t(quarter + 1) << 30;  // bit 1 of the quarter
  return {std::bit_cast<float>((sine ^ swap) ^ (sign & 0x80000000u)), std::bit_cast<float>((cosine ^ swap) ^ (next & 0x80000000u))};
}

constexpr int kBlocks = 32;  // of Philox at a time

TW_INLINE void fill_some(const Rng& rng, float sigma, int64_t block, float* out) {
  uint32_t words[4][kBlocks];
  float numbers[4][kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    const uint64_t index = uint64_t(block + i);
    words[0][i] = uint32_t(index), words[1][i] = uint32_t(index >> 32), words[2][i] = rng.a, words[3][i] = rng.b;
  }
  auto key = rng.key();
  for (int round = 0; round < kPhiloxRounds; ++round, key = next_philox_key(key))
    for (int i = 0; i < kBlocks; ++i) philox_round(words[0][i], words[1][i], words[2][i], words[3][i], key[0], key[1]);
  for (int pair = 0; pair < 4; pair += 2)
    for (int i = 0; i < kBlocks; ++i) {
      const float radius = std::sqrt(-2 * log_of(uniform(words[pair][i])));
      const SineCosine of = sine_cosine(angle(words[pair + 1][i]));
      numbers[pair][i] = sigma * (radius * of.cosine);
      numbers[pair + 1][i] = sigma * (radius * of.sine);
    }
  for (int i = 0; i < kBlocks; ++i)
    for (int j = 0; j < 4; ++j) out[4 * i + j] = numbers[j][i];
}

TW_INLINE void fill_all(const Rng& rng, float sigma, int64_t first, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + 4 * kBlocks <= count; i += 4 * kBlocks) fill_some(rng, sigma, (first + i) / 4, out + i);
  if (i == count) return;
  float rest[4 * kBlocks];
  fill_some(rng, sigma, (first + i) / 4, rest);
  std::memcpy(out + i, rest, size_t(count - i) * sizeof(float));
}

__attribute__((target("avx2,fma,avx512f,avx512dq,avx512vl,prefer-vector-width=512")))
void fill_avx512(const Rng& rng, float sigma, int64_t first, int64_t count, float* out) {
  fill_all(rng, sigma, first, count, out);
}
__attribute__((target("avx2,fma")))
void fill_avx2(const Rng& rng, float sigma, int64_t first, int64_t count, float* out) {
  fill_all(rng, sigma, first, count, out);
}
#endif

}  // namespace

void scalar::fill_normals(const Rng& rng, float sigma, int64_t first, int64_t count, float* out) {
  for (int64_t begin = 0; begin < count; begin += 4) {
    const auto w = rng.block(uint64_t(first + begin) / 4);
    float x[4];
    for (size_t pair = 0; pair < 4; pair += 2) {
      const float radius = std::sqrt(-2 * std::log(uniform(w[pair]))), a = angle(w[pair + 1]);
      x[pair] = sigma * (radius * std::cos(a));
      x[pair + 1] = sigma * (radius * std::sin(a));
    }
    std::copy_n(x, std::min<int64_t>(4, count - begin), out + begin);
  }
}

void fill_normals(const Rng& rng, float sigma, int64_t first, int64_t count, float* out) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return fill_avx512(rng, sigma, first, count, out);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return fill_avx2(rng, sigma, first, count, out);
#endif
  scalar::fill_normals(rng, sigma, first, count, out);
}

}  // namespace tw
