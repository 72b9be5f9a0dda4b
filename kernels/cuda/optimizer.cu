#include "kernels/optimizer.h"

#include "kernels/checksum.h"
#include "kernels/cuda/block.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/vector.h"
#include "kernels/fill.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 256, kFour = 4;

struct Chance {  // what stochastic rounding needs to know
  uint64_t seed;
  int64_t step, first;
  bool wanted;
};

// Infinities and NaN stay what they are.
__device__ uint32_t rounded_by_chance(float x, uint32_t noise) {
  const uint32_t u = __float_as_uint(x);
  return (u & 0x7f800000u) == 0x7f800000u ? pack_bf16(x, 0.f) & 0xffffu : (u + noise) >> 16;
}

// rounding_noise of four elements, which share half a block of random words.
__device__ uint2 four_by_chance(const Pack<kFour>& x, uint64_t seed, int64_t step, int64_t place) {
  const auto words = Rng{seed, RngStream::rounding, uint32_t(step), uint32_t(uint64_t(step) >> 32)}.block(uint64_t(place) / 8);
  const uint32_t low = place % 8 == 0 ? words[0] : words[2], high = place % 8 == 0 ? words[1] : words[3];
  uint2 pair;
  pair.x = rounded_by_chance(x.v[0], low & 0xffffu) | rounded_by_chance(x.v[1], low >> 16) << 16;
  pair.y = rounded_by_chance(x.v[2], high & 0xffffu) | rounded_by_chance(x.v[3], high >> 16) << 16;
  return pair;
}
__global__ void round_kernel(const float* p, bf16* copy, int64_t n, uint64_t seed, int64_t step, int64_t first) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kFour;
  if (i >= n) return;
  Pack<kFour> x;
  load_pack(x, p + i);
  *reinterpret_cast<uint2*>(copy + i) = four_by_chance(x, seed, step, first + i);
}

__device__ unsigned long long sum_of_words(const Pack<kFour>& x, int64_t place) {
  unsigned long long sum = 0;
#pragma unroll
  for (int j = 0; j < kFour; ++j) sum += checksum_term(__float_as_uint(x.v[j]), uint64_t(place + j));
  return sum;
}

// Partial sums of a block, in the order of AdamWSum.
__device__ void keep_sums(unsigned long long* partials, const unsigned long long (&sums)[kAdamWSums]) {
  auto* scratch = shared_memory<unsigned long long>();
  for (int j = 0; j < kAdamWSums; ++j) {
    const unsigned long long all = block_sum(sums[j], scratch);
    if (threadIdx.x == 0) partials[int64_t(blockIdx.x) * kAdamWSums + j] = all;
    __syncthreads();
  }
}
// Block j: sum j.
__global__ void add_sums_kernel(const unsigned long long* partials, int64_t blocks, int64_t* sums) {
  auto* scratch = shared_memory<unsigned long long>();
  unsigned long long all = 0;
  for (int64_t b = threadIdx.x; b < blocks; b += kThreads) all += partials[b * kAdamWSums + blockIdx.x];
  all = block_sum(all, scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = int64_t(all);
}

// A thread: four elements, 16 bytes of each array. Moves 28 bytes an element (p, m, v read and written, g read), 30 with the
// bf16 copy; floor: those over the memory's bandwidth.
template <bool kSums>
__global__ void adamw_kernel(float* p, float* m, float* v, const float* g, const uint8_t* decayed, bf16* copy, int64_t n,
                             AdamWFactors k, Chance chance, unsigned long long* partials) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kFour;
  unsigned long long sums[kAdamWSums] = {};
  if (i < n) {
    Pack<kFour> pi, mi, vi, gi;
    load_pack(pi, p + i);
    load_pack(mi, m + i);
    load_pack(vi, v + i);
    load_pack(gi, g + i);
    const auto add = [&](int first_sum, const Pack<kFour>& x) { sums[first_sum] = sum_of_words(x, chance.first + i); };
    if (kSums) add(kReadParam, pi), add(kReadM, mi), add(kReadV, vi), add(kReadGradient, gi);
    const float keep = decayed[i / kParameterBlock] ? k.keep : 1.f;
#pragma unroll
    for (int j = 0; j < kFour; ++j) {
      const float gradient = gi.v[j] * k.gradient_scale;
      mi.v[j] = k.beta1 * mi.v[j] + k.one_minus_beta1 * gradient;
      vi.v[j] = k.beta2 * vi.v[j] + k.one_minus_beta2 * (gradient * gradient);
      pi.v[j] = pi.v[j] * keep - k.rate * mi.v[j] / (sqrtf(vi.v[j]) * k.inverse_root + k.eps);
    }
    store_pack(p + i, pi);
    store_pack(m + i, mi);
    store_pack(v + i, vi);
    if (kSums) add(kWroteParam, pi), add(kWroteM, mi), add(kWroteV, vi);
    if (copy) {
      uint2 pair;
      if (chance.wanted) {
        pair = four_by_chance(pi, chance.seed, chance.step, chance.first + i);
      } else {
        pair.x = pack_bf16(pi.v[0], pi.v[1]), pair.y = pack_bf16(pi.v[2], pi.v[3]);
      }
      *reinterpret_cast<uint2*>(copy + i) = pair;
      const uint64_t place = uint64_t(chance.first + i) / 2;
      if (kSums) sums[kWroteCopy] = checksum_term(pair.x, place) + checksum_term(pair.y, place + 1);
    }
  }
  if (kSums) keep_sums(partials, sums);
}

// Block (x, y): chunk x of part y. In double, each thread in steps of the block, then as block_sum does it. Reads 4 bytes an
// element.
__global__ void squares_kernel(const float* x, int64_t part, int64_t chunk, double* partials) {
  double* scratch = shared_memory<double>();
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < part ? begin + chunk : part;
  const float* from = x + blockIdx.y * part;
  double sum = 0;
  for (int64_t i = begin + int64_t(threadIdx.x) * kFour; i < end; i += kThreads * kFour) {
    Pack<kFour> v;
    load_pack(v, from + i);
#pragma unroll
    for (int j = 0; j < kFour; ++j) sum += double(v.v[j]) * double(v.v[j]);
  }
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partials[int64_t(blockIdx.y) * gridDim.x + blockIdx.x] = sum;
}
__global__ void add_squares_kernel(const double* partials, int64_t chunks, int64_t parts, double* sums) {
  const int64_t part = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (part >= parts) return;
  double sum = 0;
  for (int64_t c = 0; c < chunks; ++c) sum += partials[part * chunks + c];
  sums[part] = sum;
}

__device__ float plus(float a, float b) { return a + b; }
__device__ float4 plus(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

// tree(0, count) of a column, or of four side by side. The ranges under way are a path from the whole to a leaf; the sum of
// a left half waits until its right half is known.
template <class V>
__device__ V tree(const float* parts, int64_t stride, int64_t count) {
  V waiting[32];
  int64_t begins[32], ends[32];
  bool right[32];
  int depth = 0;
  begins[0] = 0, ends[0] = count, right[0] = false;
  while (true) {
    while (ends[depth] - begins[depth] > 1) {
      begins[depth + 1] = begins[depth], ends[depth + 1] = (begins[depth] + ends[depth]) / 2, right[depth + 1] = false;
      ++depth;
    }
    V sum = *reinterpret_cast<const V*>(parts + begins[depth] * stride);
    while (depth > 0 && right[depth]) sum = plus(waiting[depth], sum), --depth;
    if (depth == 0) return sum;
    waiting[depth] = sum;
    begins[depth] = ends[depth], ends[depth] = ends[depth - 1], right[depth] = true;
  }
}

// A power of two of parts: the tree in registers.
template <int P>
__device__ float4 even_tree(const float* parts, int64_t stride) {
  if constexpr (P == 1) return *reinterpret_cast<const float4*>(parts);
  else return plus(even_tree<P / 2>(parts, stride), even_tree<P / 2>(parts + P / 2 * stride, stride));
}

// A thread: four columns. Reads 4 P bytes a column, writes 4. P = 0: `count` parts, else P of them.
template <int P>
__global__ void tree_kernel(const float* parts, int64_t count, int64_t n, float* out) {
  const int64_t i = (int64_t(blockIdx.x) * kThreads + threadIdx.x) * kFour;
  if (i >= n) return;
  float4 sum;
  if constexpr (P > 0) sum = even_tree<P>(parts + i, n);
  else sum = tree<float4>(parts + i, n, count);
  *reinterpret_cast<float4*>(out + i) = sum;
}
// The same column by column, where rows do not start at multiples of 16 bytes.
__global__ void narrow_tree_kernel(const float* parts, int64_t count, int64_t n, float* out) {
  const int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) out[i] = tree<float>(parts + i, n, count);
}

}  // namespace

void adamw(const AdamW& op, const Stream& stream) {
  const int64_t n = op.param.dim(0), blocks = blocks_for(n, kThreads * kFour);
  const size_t shared = op.sums ? kWarp * sizeof(unsigned long long) : 0;
  auto* partials = op.sums ? context_of(stream).scratch<unsigned long long>(size_t(blocks * kAdamWSums)) : nullptr;
  launch(op.sums ? adamw_kernel<true> : adamw_kernel<false>, {.blocks = blocks, .threads = kThreads, .shared = shared}, stream, op.param.as<float>(),
         op.m.as<float>(), op.v.as<float>(), op.gradient.as<float>(), op.decayed.as<uint8_t>(), op.copy ? op.copy.as<bf16>() : nullptr, n,
         adamw_factors(op), Chance{op.seed, op.step, op.first, op.stochastic_rounding}, partials);
  if (op.sums)
    launch(add_sums_kernel, {.blocks = kAdamWSums, .threads = kThreads, .shared = shared}, stream, partials, blocks, op.sums.as<int64_t>());
}

void round_by_chance(const RoundByChance& op, const Stream& stream) {
  const int64_t n = op.param.dim(0);
  launch(round_kernel, {.blocks = blocks_for(n, kThreads * kFour), .threads = kThreads}, stream, op.param.as<float>(), op.copy.as<bf16>(), n,
         op.seed, op.step, op.first);
}

void sum_of_squares(const SumOfSquares& op, const Stream& stream) {
  const int64_t parts = op.sums.dim(0), part = op.x.dim(0) / parts;
  if (part == 0) return cuda::zero({.x = op.sums}, stream);
  constexpr int64_t kChunk = 64 * kParameterBlock;
  const int64_t chunks = blocks_for(part, kChunk);
  double* partials = context_of(stream).scratch<double>(size_t(parts * chunks));
  launch(squares_kernel, {.blocks = chunks, .threads = kThreads, .shared = kWarp * sizeof(double), .blocks_y = parts}, stream,
         op.x.as<float>(), part, kChunk, partials);
  launch(add_squares_kernel, {.blocks = blocks_for(parts, 32), .threads = 32}, stream, partials, chunks, parts, op.sums.as<double>());
}

void tree_sum(const TreeSum& op, const Stream& stream) {
  const int64_t P = op.parts.dim(0), n = op.parts.dim(1);
  const float* parts = op.parts.as<float>();
  float* out = op.out.as<float>();
  const bool whole = n % kFour == 0 && all_aligned({parts, out});
  if (!whole) {
    launch(narrow_tree_kernel, {.blocks = blocks_for(n, kThreads), .threads = kThreads}, stream, parts, P, n, out);
    return;
  }
  const LaunchShape shape{.blocks = blocks_for(n, kThreads * kFour), .threads = kThreads};
  switch (P) {
    case 1: return launch(tree_kernel<1>, shape, stream, parts, P, n, out);
    case 2: return launch(tree_kernel<2>, shape, stream, parts, P, n, out);
    case 4: return launch(tree_kernel<4>, shape, stream, parts, P, n, out);
    case 8: return launch(tree_kernel<8>, shape, stream, parts, P, n, out);
    default: return launch(tree_kernel<0>, shape, stream, parts, P, n, out);
  }
}

}  // namespace tw::cuda
