#include "src/train/integrity.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/checksum.h"
#include "kernels/cpu/simd.h"
#include "src/core/gpu.h"
#include "src/core/hash.h"
#include "src/core/log.h"

namespace tw {
namespace {

// Bits of a rank's flags.
constexpr int64_t kStateKnown = 1, kDamaged = 2, kBatchDiffers = 4, kBatchKnown = 8;
constexpr int64_t kForgiven = 10000;  // steps after which an alarm no longer counts

// Instruction sets and GPU models may round differently.
int64_t machine_of(const Stream& stream) {
  const std::string text = stream.device().is_cuda() ? gpu::properties(stream.device().index).name
                                                     : fmt::format("level {} {}", int(cpu::simd_level()), cpu::has_bf16_products());
  return int64_t(xxh3(text.data(), text.size()));
}

uint64_t total(const std::vector<int64_t>& words, int word) {
  uint64_t sum = 0;
  for (size_t r = 0; r < words.size() / Integrity::kWords; ++r) sum += uint64_t(words[r * Integrity::kWords + size_t(word)]);
  return sum;
}

// The ranks that do not say what most say; all of them where no answer has most.
std::vector<int> odd_ones(const std::map<int, int64_t>& answers) {
  std::map<int64_t, int> votes;
  for (const auto& [rank, answer] : answers) ++votes[answer];
  if (votes.size() < 2) return {};
  const auto most = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::vector<int> odd;
  for (const auto& [rank, answer] : answers)
    if (2 * most->second <= int(answers.size()) || answer != most->first) odd.push_back(rank);
  return odd;
}

}  // namespace

const char* name_of(AlarmKind kind) noexcept {
  switch (kind) {
    case AlarmKind::state: return "state";
    case AlarmKind::weights: return "weights";
    case AlarmKind::message: return "message";
    case AlarmKind::arithmetic: return "arithmetic";
    case AlarmKind::unusual: return "unusual";
  }
  return "";
}

int64_t integrity_interval(int64_t tokens_a_rank, Device device) noexcept {
  const int64_t enough = device.is_cuda() ? 16384 : 2048;
  return std::clamp<int64_t>((enough + tokens_a_rank - 1) / std::max<int64_t>(1, tokens_a_rank), 1, 10);
}

Integrity::Integrity(const IntegrityOptions& options, Communicator& comm, const ParameterTable& table, const ShardLayout& layout, bool master, bool exact)
    : options_(options),
      comm_(comm),
      table_(table),
      layout_(layout),
      master_(master),
      exact_(exact),
      exchange_(layout, comm.size()),
      state_(layout, comm.rank(), comm.size(), master) {}

void Integrity::plan(ArenaPlan& plan) {
  exchange_.plan(plan);
  state_.plan(plan);
  batch_id_ = plan.add("checksums", "batch", {2}, DType::i64);
}

void Integrity::bind(const Arena& arena, const Stream& stream) {
  exchange_.bind(arena, stream);
  state_.bind(arena, stream);
  batch_ = arena.view(batch_id_);
  host_batch_ = Tensor::beside(stream, {2}, DType::i64);
  machine_ = machine_of(stream);
}

void Integrity::begin(int64_t step, bool anyway, const Stream& stream) {
  exchange_.begin(anyway || (enabled() && step % options_.interval == 0), stream);
  batch_apart_ = batch_in_step_ = false;
}

void Integrity::add_batch(bool part_of_step, ConstView gradients, const Stream& stream) {
  checksum({.x = gradients, .sums = batch_.flat(part_of_step, part_of_step + 1)}, stream);
  (part_of_step ? batch_in_step_ : batch_apart_) = true;
}

void Integrity::end(ConstView weights, const Stream& stream) {
  if (!enabled() && !due()) return;
  if (due()) state_.weigh(weights, stream);
  exchange_.fetch(stream);
  state_.fetch(stream);
  if (batch_apart_) copy(batch_, host_batch_.view(), stream);
}

void Integrity::say(int64_t* words, bool again) {
  std::fill_n(words, kWords, 0);
  if (!enabled() && !due()) return;
  damage_ = state_.settle(again);
  int64_t& flags = words[kFlags];
  if (!damage_.empty()) flags |= kDamaged;
  if (due()) {
    if (state_.known()) flags |= kStateKnown, words[kWrittenWeights] = state_.written_weights();
    words[kWeights] = state_.weights(), words[kOwnWeights] = state_.own_weights();
    words[kSent] = exchange_.total_sent(), words[kArrived] = exchange_.total_arrived(), words[kSummed] = exchange_.total_summed(), words[kReduced] = exchange_.total_reduced();
  }
  if (batch_apart_) {
    const int64_t *apart = host_batch_.as<int64_t>(), *in_step = apart + 1;
    flags |= kBatchKnown;
    words[kBatch] = *apart;
    if (batch_in_step_ && *apart != *in_step) flags |= kBatchDiffers;
  }
  words[kMachine] = machine_;
}

std::string Integrity::describe(Range elements) const {
  std::string first, last;
  for (const ParameterInfo& p : table_.all())
    if (p.offset < elements.end && p.offset + p.count() > elements.begin) (first.empty() ? first : last) = p.name;
  return last.empty() ? first : first + " to " + last;
}

std::vector<Alarm> Integrity::judge(const std::vector<int64_t>& words, int64_t step, const Stream& stream) {
  if (!enabled() && !due()) return {};
  std::vector<Alarm> found = judge_state(words, step);
  if (found.empty() && due()) found = judge_weights(words, step);
  if (found.empty() && due()) found = judge_messages(words, step, stream);
  if (found.empty()) found = judge_arithmetic(words, step);
  return found;
}

std::vector<Alarm> Integrity::judge_state(const std::vector<int64_t>& words, int64_t step) {
  bool any = false;
  for (int r = 0; r < comm_.size(); ++r) any |= (words[size_t(r * kWords + kFlags)] & kDamaged) != 0;
  if (!any) return {};
  std::string mine;
  for (const StateSums::Damage& d : damage_)
    if (mine.size() < 500) mine += fmt::format("{}{} of {}", mine.empty() ? "" : ", ", d.array, describe(d.elements));
  std::vector<Alarm> found;
  const std::vector<std::string> texts = all_gather_text(comm_, mine);
  for (int r = 0; r < comm_.size(); ++r)
    if (!texts[size_t(r)].empty())
      found.push_back({step, AlarmKind::state, r, fmt::format("the memory of rank {} was damaged between two updates: {}", r, texts[size_t(r)]), ""});
  return found;
}

std::vector<Alarm> Integrity::judge_weights(const std::vector<int64_t>& words, int64_t step) const {
  const auto word = [&](int r, Word w) { return words[size_t(r * kWords + w)]; };
  std::vector<Alarm> found;
  bool known = true;
  for (int r = 0; r < comm_.size(); ++r) known &= (word(r, kFlags) & kStateKnown) != 0;
  if (!known) {
    std::map<int, int64_t> sums;
    for (int r = 0; r < comm_.size(); ++r) sums[r] = word(r, kWeights);
    const std::vector<int> odd = odd_ones(sums);
    for (const int r : odd)
      found.push_back({step, master_ ? AlarmKind::weights : AlarmKind::state, odd.size() == sums.size() ? -1 : r,
                       odd.size() == sums.size() ? "the ranks hold different weights" : fmt::format("the weights of rank {} differ from those of the other ranks", r), ""});
    return found;
  }
  for (int r = 0; r < comm_.size(); ++r)
    if (word(r, kOwnWeights) != word(r, kWrittenWeights))
      found.push_back({step, master_ ? AlarmKind::weights : AlarmKind::state, r,
                       fmt::format("the weights that rank {} owns are not those it wrote: its memory was damaged", r), ""});
  const uint64_t all = total(words, kWrittenWeights);
  for (int r = 0; found.empty() && r < comm_.size(); ++r)
    if (uint64_t(word(r, kWeights)) != all)
      found.push_back({step, AlarmKind::weights, r, fmt::format("the weights of rank {} are not those their owners wrote: its memory or what it received was damaged", r), ""});
  return found;
}

std::vector<Alarm> Integrity::judge_messages(const std::vector<int64_t>& words, int64_t step, const Stream& stream) const {
  std::vector<Alarm> found;
  if (!exact_) {
    std::map<int, int64_t> sums;
    for (int r = 0; r < comm_.size(); ++r) sums[r] = words[size_t(r * kWords + kReduced)];
    const std::vector<int> odd = odd_ones(sums);
    for (const int r : odd)
      found.push_back({step, AlarmKind::message, odd.size() == sums.size() ? -1 : r, fmt::format("the all-reduced gradients of rank {} differ from those of other ranks", r), ""});
    return found;
  }
  if (total(words, kSent) == total(words, kArrived)) return {};
  for (const ExchangeSums::Damaged& d : exchange_.damaged(comm_, stream))
    found.push_back({step, AlarmKind::message, d.to,
                     fmt::format("gradients of {} (bucket {}) were damaged on their way from rank {} to rank {}", describe(layout_.bucket(d.bucket)), d.bucket, d.from, d.to), "", d.from});
  if (found.empty()) found.push_back({step, AlarmKind::message, -1, "gradients that were sent and that arrived do not agree", ""});
  return found;
}

std::vector<Alarm> Integrity::judge_arithmetic(const std::vector<int64_t>& words, int64_t step) const {
  std::vector<Alarm> found;
  std::map<int64_t, std::map<int, int64_t>> machines;
  for (int r = 0; r < comm_.size(); ++r) {
    const int64_t* of = words.data() + r * kWords;
    if (of[kFlags] & kBatchKnown) machines[of[kMachine]][r] = of[kBatch];
    if (of[kFlags] & kBatchDiffers)
      found.push_back({step, AlarmKind::arithmetic, r, fmt::format("rank {} computed one micro-batch twice with different results", r), ""});
  }
  if (!found.empty()) return found;
  for (const auto& [machine, answers] : machines) {
    const std::vector<int> odd = odd_ones(answers);
    for (const int r : odd)
      found.push_back({step, AlarmKind::arithmetic, odd.size() == answers.size() ? -1 : r,
                       odd.size() == answers.size() ? fmt::format("{} ranks computed one micro-batch with different results, rank {} among them", odd.size(), r)
                                                    : fmt::format("rank {} computed one micro-batch with another result than {} other ranks", r, answers.size() - odd.size()), ""});
  }
  return found;
}

bool Integrity::erred_before(const Alarm& alarm) const {
  return std::any_of(alarms_.begin(), alarms_.end(), [&](const Alarm& a) {
    return (a.rank == alarm.rank || (a.sender >= 0 && a.sender == alarm.sender)) && alarm.step - a.step < kForgiven;
  });
}

void Integrity::mended(std::vector<Alarm> alarms, const std::string& outcome) {
  for (Alarm& alarm : alarms) {
    if (erred_before(alarm)) give_up(alarm, true);
    if (comm_.rank() == 0) log_warning("step {}: {}. {}", alarm.step, alarm.what, outcome);
  }
  for (Alarm& alarm : alarms) alarm.outcome = outcome, alarms_.push_back(alarm);
}

void Integrity::give_up(Alarm alarm, bool lasting) {
  lasting |= erred_before(alarm);
  alarm.outcome = lasting ? "stopped" : "not mended";
  alarms_.push_back(alarm);
  throw Corruption(alarm, lasting,
                   fmt::format("step {}: {}{}. The same command goes on from the last checkpoint{}", alarm.step, alarm.what,
                               lasting && alarm.rank >= 0 ? fmt::format(", and rank {} erred before or errs again", alarm.rank) : "",
                               lasting && alarm.rank >= 0 ? "; leave that rank's host or device out" : ""));
}

}  // namespace tw
