// One block. Nothing is sorted: a token's place is a 64-bit key (its logit's order, then the smaller id), and what a sorted list
// would be asked - how many, and how much weight, lie above a key - is a sum over all tokens. Bisection over the keys finds where
// the count reaches top_k, the weight top_p, and the draw. Each question reads the logits once from L2: about 60 of them, 3 us each
// for 50,000 tokens.
#include "kernels/sampling.h"

#include "kernels/cuda/block.h"
#include "kernels/cuda/launch.h"

namespace tw::cuda {
namespace {

constexpr int kThreads = 1024;

// Larger for larger logits, then for smaller ids; NaN as -inf.
__device__ uint64_t key_of(float x, int id) {
  if (x != x) x = -INFINITY;
  const unsigned u = __float_as_uint(x), ordered = u & 0x80000000u ? ~u : u | 0x80000000u;
  return uint64_t(ordered) << 32 | (0xffffffffu - unsigned(id));
}
__device__ int id_of(uint64_t key) { return int(0xffffffffu - unsigned(key)); }

struct Tokens {
  const float* logits;
  int count;
  float high;
  double temperature;
  double* scratch;

  __device__ double weight(float x) const { return x != x ? 0.0 : exp((double(x) - double(high)) / temperature); }

  // The sum of value(logit) over tokens with first <= key.
  template <class Value>
  __device__ double sum_from(uint64_t first, Value value) const {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += kThreads)
      if (key_of(logits[i], i) >= first) sum += value(logits[i]);
    return block_sum(sum, scratch);
  }
  // The largest key from which on the sum reaches `wanted`, among those in [low, top]; low where none does.
  template <class Value>
  __device__ uint64_t reach(double wanted, uint64_t low, uint64_t top, bool beyond, Value value) const {
    uint64_t from = low, to = top;  // the answer lies in [from, to]
    while (from < to) {
      const uint64_t middle = to - (to - from) / 2;
      const double sum = sum_from(middle, value);
      if (beyond ? sum > wanted : sum >= wanted) from = middle;
      else to = middle - 1;
    }
    return from;
  }
};

__global__ void __launch_bounds__(kThreads) pick_kernel(const float* logits, int vocab, double temperature, int64_t top_k, double top_p,
                                                        double uniform, int32_t* id) {
  double* scratch = shared_memory<double>();
  uint64_t* keys = reinterpret_cast<uint64_t*>(scratch);
  uint64_t best = 0, least = ~uint64_t(0);
  for (int i = threadIdx.x; i < vocab; i += kThreads) {
    const uint64_t key = key_of(logits[i], i);
    best = key > best ? key : best, least = key < least ? key : least;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const uint64_t a = __shfl_xor_sync(kAllLanes, best, step), b = __shfl_xor_sync(kAllLanes, least, step);
    best = a > best ? a : best, least = b < least ? b : least;
  }
  const int warp = threadIdx.x / kWarp;
  if (threadIdx.x % kWarp == 0) keys[2 * warp] = best, keys[2 * warp + 1] = least;
  __syncthreads();
  for (int w = 0; w < kThreads / kWarp; ++w) best = keys[2 * w] > best ? keys[2 * w] : best, least = keys[2 * w + 1] < least ? keys[2 * w + 1] : least;
  __syncthreads();
  const float high = logits[id_of(best)];
  int picked = id_of(best);
  if (!(high - high == 0.f)) {
    picked = -1;
  } else if (temperature > 0) {
    const Tokens t{logits, vocab, high, temperature, scratch};
    const auto one = [](float) { return 1.0; };
    const auto weight = [&](float x) { return t.weight(x); };
    const bool cut = top_k > 0 && top_k < vocab;
    uint64_t last = cut ? t.reach(double(top_k), least, best, false, one) : least;  // of the tokens that are kept
    double sum = t.sum_from(last, weight);
    if (top_p < 1) {
      last = t.reach(top_p * sum, last, best, false, weight);
      sum = t.sum_from(last, weight);
    }
    if (cut || top_p < 1) {
      picked = id_of(t.reach(uniform * sum, last, best, true, weight));
    } else {  // in the order of ids: the first at which the sum of those up to it passes the draw
      int from = 0, to = vocab - 1;
      while (from < to) {
        const int middle = from + (to - from) / 2;
        double part = 0;
        for (int i = threadIdx.x; i <= middle; i += kThreads) part += t.weight(logits[i]);
        if (block_sum(part, scratch) > uniform * sum) to = middle;
        else from = middle + 1;
      }
      picked = from;
    }
  }
  if (threadIdx.x == 0) *id = picked;
}

}  // namespace

void pick_token(const PickToken& op, const Stream& stream) {
  launch(pick_kernel, {.blocks = 1, .threads = kThreads, .shared = 2 * kWarp * sizeof(uint64_t)}, stream, op.logits.as<float>(), int(op.vocab),
         op.temperature, op.top_k, op.top_p, op.uniform, op.id.as<int32_t>());
}

}  // namespace tw::cuda
