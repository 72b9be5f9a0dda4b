// What a trainer does when numbers went wrong: a step's gradients change no weight until they are taken, so they are computed again from the
// state before it. Equal bits mean data or optimisation, other bits a fault of a rank; what lies in memory and has no twin is beyond it
// (rollback.h).
#include <algorithm>
#include <cstring>

#include "src/core/log.h"
#include "src/core/rng.h"
#include "src/train/trainer.h"

namespace tw {
namespace {

constexpr int64_t kBatchesATwice = 512;  // micro-batches of a rank from one that is computed twice to the next: 0.2 % of its work
constexpr int64_t kUnusualEvery = 100;   // steps: at most 1 % of them are computed again for their looks
constexpr int kTries = 3;

}  // namespace

// All ranks compute one micro-batch on top of their own, so that each is compared with all; a rank alone compares it with what it
// computes of it in the step.
void Trainer::compute_twice() {
  twice_ = -1;
  const int64_t batches = sync_.leaves() * options_.accumulation();
  if (!integrity_.enabled() || (step_ + 1) * batches / kBatchesATwice == step_ * batches / kBatchesATwice) return;
  const Rng rng{options_.optimizer.seed, RngStream::repeat, uint32_t(step_), uint32_t(uint64_t(step_) >> 32)};
  twice_ = rng.bits(0) % uint32_t(options_.virtual_ranks);
  const View gradients = sync_.begin_leaf(0, stream_);
  const auto ignore = [](const float*) {};
  run_micro_batch(twice_, 0, gradients, nullptr, ignore);
  feed_.finish(ignore);
  integrity_.add_batch(false, gradients, stream_);
}

void Trainer::settle(Totals& totals) {
  std::vector<Alarm> alarms = integrity_.judge(words_, step_ + 1, stream_);
  if (alarms.empty()) return settle_arithmetic(totals);
  for (const Alarm& a : alarms)
    if (a.kind == AlarmKind::state) integrity_.give_up(a, false);
  const std::vector<int64_t> first = words_;
  if (alarms[0].kind == AlarmKind::weights) optimizer_.gather_weights(stream_);
  totals = sum_gradients(true);
  const std::vector<Alarm> again = integrity_.judge(words_, step_ + 1, stream_);
  // Of two that differ, the one whose answer changed was wrong.
  const auto name_rank = [&](Alarm alarm) {
    for (int r = 0; r < comm_.size() && alarm.kind == AlarmKind::arithmetic && alarm.rank < 0; ++r) {
      const size_t word = size_t(r) * Integrity::kWords + Integrity::kBatch;
      if (first[word] == words_[word]) continue;
      alarm.rank = r;
      alarm.what = fmt::format("rank {} computed one micro-batch with a result that it does not repeat", r);
    }
    return alarm;
  };
  if (!again.empty()) integrity_.give_up(name_rank(again[0]), true);
  if (alarms[0].rank < 0) alarms = {name_rank(alarms[0])};
  integrity_.mended(std::move(alarms), "The step was computed again and is right");
  if (integrity_.recomputes(step_)) settle_arithmetic(totals);
}

bool Trainer::unusual(const StepResult& r) const {
  return integrity_.enabled() && (last_unusual_ < 0 || step_ - last_unusual_ >= kUnusualEvery) && skip_rule_.unusual(r.loss, r.grad_norm);
}

void Trainer::settle_arithmetic(Totals& totals) {
  const StepResult seen = result_of(totals);
  const bool strange = unusual(seen);
  if (!strange && !integrity_.recomputes(step_)) return;
  if (strange) last_unusual_ = step_;
  const AlarmKind kind = strange ? AlarmKind::unusual : AlarmKind::arithmetic;
  const int64_t stride = statistics_.shape()[1], numbers = stride - Integrity::kWords;
  // A rank's losses follow from its own arithmetic alone, and so do the gradients it sent; squares and sums from what others sent, too.
  const int64_t squares = int64_t(layout_.buckets()) * layout_.virtual_per_rank();
  struct Answer {
    std::vector<double> numbers;
    std::vector<int64_t> words;
    bool sums_known;
  };
  const auto answer = [&] {
    return Answer{{statistics_.as<double>(), statistics_.as<double>() + statistics_.count()}, words_, integrity_.due()};
  };
  const auto same_word = [](const Answer& a, const Answer& b, int r, Integrity::Word word) {
    const size_t at = size_t(r) * Integrity::kWords + word;
    return !a.sums_known || !b.sums_known || a.words[at] == b.words[at];
  };
  const auto same_numbers = [&](const Answer& a, const Answer& b, int r, int64_t from) {
    const int64_t at = r * stride + from;
    return std::memcmp(a.numbers.data() + at, b.numbers.data() + at, size_t(numbers - from) * sizeof(double)) == 0;
  };
  const auto same_own = [&](const Answer& a, const Answer& b, int r) {
    return same_numbers(a, b, r, squares) && same_word(a, b, r, Integrity::kSent);
  };
  const auto same = [&](const Answer& a, const Answer& b, int r) {
    return same_numbers(a, b, r, 0) && same_word(a, b, r, Integrity::kSent) && same_word(a, b, r, Integrity::kSummed);
  };
  Answer before = answer();
  int rank = -1;
  for (int tries = 1; tries <= kTries; ++tries) {
    totals = sum_gradients(true);
    const std::vector<Alarm> alarms = integrity_.judge(words_, step_ + 1, stream_);
    if (!alarms.empty()) integrity_.give_up(alarms[0], true);
    const Answer now = answer();
    int differing = 0, last = -1;
    for (int r = 0; r < comm_.size(); ++r)
      if (!same(before, now, r)) ++differing, last = r;
    if (differing == 0 && tries == 1) {
      if (strange && comm_.rank() == 0)
        log_info("step {}: loss {:.4f} and gradient norm {:.4f} are far from usual; computed again, they are the same: it is the data or the optimisation",
                 step_ + 1, seen.loss, seen.grad_norm);
      return;
    }
    if (differing == 0) {
      const std::string who = rank < 0 ? std::string("a rank") : fmt::format("rank {}", rank);
      const std::string what = strange ? fmt::format("loss {:.4f} and gradient norm {:.4f} are far from usual and", seen.loss, seen.grad_norm) : "the gradients of one step";
      return integrity_.mended({{step_ + 1, kind, rank, fmt::format("{} came out otherwise when computed again: {} erred", what, who), ""}},
                               "The step was computed until two results agreed");
    }
    if (tries == 1) {
      for (int r = 0; r < comm_.size(); ++r)
        if (!same_own(before, now, r)) rank = r;
      if (rank < 0 && differing == 1) rank = last;  // what it summed was damaged
    }
    before = now;
  }
  integrity_.give_up({step_ + 1, kind, rank, fmt::format("one step gave {} different results", kTries + 1), ""}, true);
}

void Trainer::check_replicas() {
  std::vector<Alarm> found;
  if (integrity_.enabled() && options_.adapters.any()) {
    // Ranks say in turn whether theirs are whole; a checkpoint brings them back, with the adapters.
    std::vector<int64_t> whole(size_t(comm_.size()), int64_t(frozen_sum() == loaded_frozen_sum_));
    const int64_t mine = whole[0];
    comm_.all_gather({&mine, DType::i64, {1}}, {whole.data(), DType::i64, {comm_.size()}}, stream_);
    const auto damaged = std::find(whole.begin(), whole.end(), 0);
    if (damaged != whole.end()) {
      const int rank = int(damaged - whole.begin());
      integrity_.give_up({step_, AlarmKind::state, rank, fmt::format("frozen weights of rank {} changed in memory", rank), ""}, false);
    }
  }
  for (bool mended = false;; mended = true) {
    integrity_.begin(step_, true, stream_);
    if (integrity_.enabled()) optimizer_.weigh_state(integrity_.state(), stream_);
    integrity_.end(optimizer_.weights(), stream_);
    synchronize(stream_);
    int64_t words[Integrity::kWords];
    integrity_.say(words, true);
    comm_.all_gather({words, DType::i64, {Integrity::kWords}}, {words_.data(), DType::i64, {int64_t(words_.size())}}, stream_);
    const std::vector<Alarm> alarms = integrity_.judge(words_, step_, stream_);
    if (alarms.empty()) break;
    found = alarms;
    if (mended || alarms[0].kind == AlarmKind::state) integrity_.give_up(alarms[0], mended);
    optimizer_.gather_weights(stream_);
  }
  if (!found.empty()) integrity_.mended(std::move(found), "They were made again from their masters");
}

// Another mixture of data has another loss, which is no spike.
bool Trainer::blend_changes_near() const {
  if (!batches_->blend()) return false;
  constexpr int64_t kSteps = 128;
  const int64_t batch = options_.global_batch_size, from = (batch_number() - kSteps) * batch, to = (batch_number() + 1) * batch;
  const auto& stages = batches_->blend()->stages();
  return std::any_of(stages.begin(), stages.end(), [&](const Blend::Stage& s) { return s.first > 0 && s.first > from && s.first < to; });
}

}  // namespace tw
