#include "src/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/loss.h"
#include "src/core/clock.h"

namespace tw {

double Evaluation::perplexity() const { return std::exp(loss()); }

double Evaluation::bits_per_byte(int64_t vocab_size, int64_t file_tokens) const {
  if (source_bytes == 0 || tokens == 0) return std::numeric_limits<double>::quiet_NaN();
  const double first = whole_file ? std::log2(double(vocab_size)) : 0;
  const double share = whole_file ? 1.0 : double(tokens) / double(file_tokens);
  return (loss_sum / std::log(2.0) + first) / (double(source_bytes) * share);
}

Evaluation evaluate(Transformer& model, const TokenFile& file, int64_t max_windows, View losses, Communicator& comm,
                    const Stream& stream, const Packing& packing) {
  const double start = now_seconds();
  const int64_t B = model.sizes().batch, T = model.sizes().seq_len;
  TW_CHECK(file.size() >= 2, data, "{} holds {} tokens: too few to evaluate on", file.path().string(), file.size());
  const int64_t all = (file.size() - 2) / T + 1;
  const int64_t windows = max_windows > 0 ? std::min(max_windows, all) : all;
  Tensor ids({B, T}, DType::i32), targets({B, T}, DType::i32), sums({windows}, DType::fp64), counts({windows}, DType::i64);
  Tensor starts(packing.needs_starts() ? Shape{B, T} : Shape{0, 0}, DType::i32);
  int32_t *x = ids.as<int32_t>(), *y = targets.as<int32_t>();
  model.use_document_starts(packing.reset_attention_mask ? starts.view() : ConstView{},
                            packing.reset_position_ids ? starts.view() : ConstView{});
  const int32_t vocab = int32_t(model.model().vocab_size);
  for (int64_t first = comm.rank() * B; first < windows; first += comm.size() * B) {
    for (int64_t b = 0; b < B; ++b) {
      const int64_t begin = (first + b) * T;
      int64_t scored = 0;
      for (int64_t t = 0; t < T; ++t) {
        const bool inside = first + b < windows && begin + t + 1 < file.size();
        x[b * T + t] = inside ? file[begin + t] : 0;
        y[b * T + t] = inside ? file[begin + t + 1] : kIgnoredTarget;
        TW_CHECK(x[b * T + t] < vocab && y[b * T + t] < vocab, data,
                 "{} holds token {} at position {}, but the model's vocabulary has {} tokens", file.path().string(),
                 std::max(x[b * T + t], y[b * T + t]), begin + t, vocab);
        scored += inside;
      }
      if (first + b < windows) counts.as<int64_t>()[first + b] = scored;
      if (packing.needs_starts()) document_starts(x + b * T, T, packing.eod, starts.as<int32_t>() + b * T);
    }
    model.losses(ids.view(), targets.view(), losses, stream);
    const float* loss = losses.as<float>();
    for (int64_t b = 0; b < B && first + b < windows; ++b) {
      double sum = 0;
      for (int64_t t = 0; t < T; ++t) sum += double(loss[b * T + t]);
      sums.as<double>()[first + b] = sum;
    }
  }
  model.use_document_starts({}, {});  // the memory ends here
  // Every window is non-zero on one rank only: the library's order of addition cannot change a bit.
  comm.all_reduce(sums.view(), ReduceOp::sum, stream);
  comm.all_reduce(counts.view(), ReduceOp::sum, stream);
  Evaluation e;
  for (int64_t w = 0; w < windows; ++w) {
    e.loss_sum += sums.as<double>()[w];
    e.tokens += counts.as<int64_t>()[w];
  }
  e.source_bytes = file.source_bytes();
  e.whole_file = windows == all;
  e.seconds = now_seconds() - start;
  return e;
}

}  // namespace tw
