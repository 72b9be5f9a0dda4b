#include "src/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/loss.h"
#include "src/core/activity.h"
#include "src/core/clock.h"

namespace tw {

double Evaluation::perplexity() const { return std::exp(loss()); }

double Evaluation::bits_per_byte(int64_t vocab_size, int64_t file_tokens) const {
  if (source_bytes == 0 || tokens == 0) return std::numeric_limits<double>::quiet_NaN();
  const double first = whole_file ? std::log2(double(vocab_size)) : 0;
  const double share = whole_file ? 1.0 : double(tokens) / double(file_tokens);
  return (loss_sum / std::log(2.0) + first) / (double(source_bytes) * share);
}

namespace {

// The scored tokens of window w: those at [w T + 1, (w + 1) T + 1) of the file, cut where documents end. A stretch is
// summed by one rank alone, so that no count of ranks changes a bit.
struct Stretch {
  int64_t window, begin, end, document;  // tokens of the file; document -1 = none
};

std::vector<Stretch> stretches_of(const TokenFile& file, int64_t windows, int64_t T) {
  std::vector<Stretch> all;
  const auto& documents = file.documents();
  size_t d = 0;
  for (int64_t w = 0; w < windows; ++w) {
    const int64_t end = std::min((w + 1) * T + 1, file.size());
    for (int64_t at = w * T + 1; at < end;) {
      while (d < documents.size() && documents[d].first_token + documents[d].tokens <= at) ++d;
      const bool inside = d < documents.size() && documents[d].first_token <= at;
      const int64_t next = d == documents.size() ? end : inside ? documents[d].first_token + documents[d].tokens : documents[d].first_token;
      const int64_t stop = std::min(next, end);
      all.push_back({w, at, stop, inside ? int64_t(d) : -1});
      at = stop;
    }
  }
  return all;
}

}  // namespace

Evaluation evaluate(Transformer& model, const TokenFile& file, int64_t max_windows, BatchFeed& feed, Communicator& comm,
                    const Stream& stream, const Packing& packing) {
  const PhaseScope phase(WorkPhase::evaluate);
  const double start = now_seconds();
  const int64_t B = model.sizes().batch, T = model.sizes().seq_len;
  TW_CHECK(file.size() >= 2, data, "{} holds {} tokens: too few to evaluate on", file.path().string(), file.size());
  const int64_t all = (file.size() - 2) / T + 1;
  const int64_t windows = max_windows > 0 ? std::min(max_windows, all) : all;
  const std::vector<Stretch> stretches = stretches_of(file, windows, T);
  Tensor stretch_sums({int64_t(stretches.size())}, DType::fp64);
  size_t stretch = 0;
  model.use_document_starts(packing.reset_attention_mask ? feed.starts() : ConstView{},
                            packing.reset_position_ids ? feed.starts() : ConstView{});
  const int32_t vocab = int32_t(model.model().vocab_size);
  int64_t scored = comm.rank() * B;  // the first window whose losses are not in yet
  const auto add_losses = [&](const float* loss) {
    while (stretch < stretches.size() && stretches[stretch].window < scored) ++stretch;
    for (; stretch < stretches.size() && stretches[stretch].window < scored + B; ++stretch) {
      const Stretch& s = stretches[stretch];
      double sum = 0;
      for (int64_t i = s.begin; i < s.end; ++i) sum += double(loss[(s.window - scored) * T + i - 1 - s.window * T]);
      stretch_sums.as<double>()[stretch] = sum;
    }
    scored += comm.size() * B;
  };
  for (int64_t first = comm.rank() * B; first < windows; first += comm.size() * B) {
    mark_phase(WorkPhase::evaluate);
    const BatchFeed::Slot slot = feed.begin(add_losses);
    int32_t *x = slot.ids, *y = slot.targets;
    for (int64_t b = 0; b < B; ++b) {
      const int64_t begin = (first + b) * T;
      for (int64_t t = 0; t < T; ++t) {
        const bool inside = first + b < windows && begin + t + 1 < file.size();
        x[b * T + t] = inside ? file[begin + t] : 0;
        y[b * T + t] = inside ? file[begin + t + 1] : kIgnoredTarget;
        TW_CHECK(x[b * T + t] < vocab && y[b * T + t] < vocab, data,
                 "{} holds token {} at position {}, but the model's vocabulary has {} tokens", file.path().string(),
                 std::max(x[b * T + t], y[b * T + t]), begin + t, vocab);
      }
      if (first + b < windows)
        file.for_untrained(begin + 1, std::min(begin + T + 1, file.size()), [&](int64_t i) { y[b * T + i - begin - 1] = kIgnoredTarget; });
      if (packing.needs_starts()) document_starts(x + b * T, T, packing.eod, slot.starts + b * T);
    }
    feed.send(stream);
    model.losses(feed.ids(), feed.targets(), feed.losses(), stream);
    feed.fetch(stream);
  }
  feed.finish(add_losses);
  model.use_document_starts({}, {});
  // Every stretch is non-zero on one rank only: the library's order of addition cannot change a bit.
  comm.all_reduce(stretch_sums.view(), ReduceOp::sum, stream);
  Evaluation e;
  e.documents.resize(file.documents().size());
  for (size_t i = 0; i < stretches.size(); ++i) {
    const Stretch& s = stretches[i];
    const double sum = stretch_sums.as<double>()[i];
    int64_t untrained = 0;
    file.for_untrained(s.begin, s.end, [&](int64_t) { ++untrained; });
    e.loss_sum += sum, e.tokens += s.end - s.begin - untrained;
    if (s.document < 0) continue;
    DocumentLoss& d = e.documents[size_t(s.document)];
    d.loss_sum += sum, d.tokens += s.end - s.begin - untrained, d.untrained += untrained;
  }
  e.source_bytes = file.untrained().empty() ? file.source_bytes() : 0;
  e.whole_file = windows == all;
  e.seconds = now_seconds() - start;
  return e;
}

}  // namespace tw
