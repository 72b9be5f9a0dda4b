#include "kernels/cpu/attention_forward.h"

#include "kernels/attention.h"
#include "kernels/cpu/documents.h"
#include "src/core/thread_team.h"

TW_SIMD_BEGIN
namespace {

template <class E, class T>
void forward(const AttentionForward& op, const Stream& stream) {
  const int64_t B = op.qkv.dim(0), length = op.qkv.dim(1), D = op.qkv.dim(3), H = op.heads,
                KV = op.kv_heads;
  const int64_t group = H / KV, stride = (H + 2 * KV) * D,
                blocks = (length + kQueryBlock - 1) / kQueryBlock;
  // An item is one (b, kv head) with every `parts`-th query block, counted through the documents:
  // enough items for many threads, few enough that laying out the keys again for each part costs
  // little.
  const int64_t parts = std::clamp<int64_t>((16 + B * KV - 1) / (B * KV), 1, blocks);
  const T* qkv = op.qkv.as<T>();
  T* out = op.out.as<T>();
  float* lse = op.lse.as<float>();
  stream.team().run(B * KV * parts, [&](int64_t item, int thread) {
    // Long items first.
    const int64_t part = parts - 1 - item / (B * KV), b = item % (B * KV) / KV, kv = item % KV;
    const int64_t kv_elements = KeyValueBlocks<E>::elements(length, D);
    E* memory = static_cast<E*>(stream.team().scratch(thread, size_t(kv_elements + attend_elements(D)) * sizeof(E)));
    KeyValueBlocks<E> key_values(memory, length, D);
    int64_t counted = 0;  // blocks of the documents before
    for_documents(op.starts ? op.starts.as<int32_t>() + b * length : nullptr, length, [&](int64_t begin, int64_t end) {
      const int64_t tokens = end - begin, count = (tokens + kQueryBlock - 1) / kQueryBlock;
      const int64_t first = (part + parts - counted % parts) % parts;
      counted += count;
      if (first >= count) return;
      const int64_t last = first + (count - 1 - first) / parts * parts;
      const T* row = qkv + (b * length + begin) * stride;
      key_values.fill_from(row + (H + kv) * D, row + (H + KV + kv) * D, stride,
                           std::min(tokens, (last + 1) * kQueryBlock));
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        for (int64_t block = first; block < count; block += parts) {
          const int64_t t = block * kQueryBlock, m = std::min(kQueryBlock, tokens - t);
          attend_block(row + t * stride + h * D, stride, m, t, key_values, op.scale,
                       out + ((b * length + begin + t) * H + h) * D, H * D,
                       lse + (b * H + h) * length + begin + t, memory + kv_elements);
        }
      }
    });
  });
}

}  // namespace

void attention_forward(const AttentionForward& op, const Stream& stream) {
  op.qkv.dtype == DType::bf16 ? forward<Bf16Element, bf16>(op, stream) : forward<float, float>(op, stream);
}

TW_SIMD_END
TW_SIMD_EXPORT_BF16(attention_forward, AttentionForward)
