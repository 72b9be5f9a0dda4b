// Whether numbers are still what the program made of them. Each rank says a few words beside the statistics of a step; all ranks judge all
// of them alike, so that they agree without a further exchange. What is compared, what it finds and what it costs: docs/reliability.md.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "src/core/arena.h"
#include "src/nn/parameters.h"
#include "src/train/exchange_sums.h"
#include "src/train/state_sums.h"

namespace tw {

struct IntegrityOptions {
  bool enabled = true;
  int64_t interval = 0;  // steps from one check of weights and exchange to the next; 0 = integrity_interval()
  int64_t recompute_interval = 0;  // steps from one whose gradients are computed twice to the next; 0 = none
};
// So that checks take about 1 % of a step at most, but at least each 10 steps: they read each weight some three times, and a step computes 6
// operations for each weight and token.
int64_t integrity_interval(int64_t tokens_a_rank, Device device) noexcept;

enum class AlarmKind {
  state,       // master weights, m, v or summed gradients changed in memory: only a checkpoint brings them back
  weights,     // compute weights of a rank: made anew from the owners'
  message,     // gradients on their way between two ranks: the step is computed again
  arithmetic,  // one micro-batch or one step, two results
  unusual      // loss or gradient norm far off, and not the same when computed again
};
const char* name_of(AlarmKind kind) noexcept;

struct Alarm {
  int64_t step = 0;
  AlarmKind kind = AlarmKind::state;
  int rank = -1;          // which erred; -1 = cannot be told
  std::string what;       // for people, naming rank, array, bucket or message
  std::string outcome;    // what was done
  int sender = -1;        // of a message to `rank`: either may have damaged it
};

// Numbers went wrong and computing again does not mend it. Error(corruption), the same on every rank.
struct Corruption final : Error {
  Corruption(const Alarm& alarm, bool lasting, const std::string& text) : Error(ExitCode::corruption, text), alarm(alarm), lasting(lasting) {}
  Alarm alarm;
  bool lasting;  // that rank erred before, or errs again: going back to a checkpoint will not help for long
};

class Integrity {
 public:
  // What a rank says of itself, beside the statistics of a step.
  enum Word { kWeights, kOwnWeights, kWrittenWeights, kSent, kArrived, kSummed, kReduced, kBatch, kMachine, kFlags, kWords };

  // master: masters are arrays of their own. exact: gradients go by all-to-all and ordered sum, else by the library's all-reduce.
  Integrity(const IntegrityOptions& options, Communicator& comm, const ParameterTable& table, const ShardLayout& layout, bool master, bool exact);
  void plan(ArenaPlan& plan);
  void bind(const Arena& arena, const Stream& stream);

  bool enabled() const noexcept { return options_.enabled; }
  ExchangeSums& exchange() noexcept { return exchange_; }
  StateSums& state() noexcept { return state_; }

  // A step's gradients are about to be computed. `anyway`: with all checks, though they are not due.
  void begin(int64_t step, bool anyway, const Stream& stream);
  bool due() const noexcept { return exchange_.taken(); }
  // Whether the gradients after `step` steps are computed twice as a whole.
  bool recomputes(int64_t step) const noexcept { return enabled() && options_.recompute_interval > 0 && step % options_.recompute_interval == 0; }
  // Gradients (padded_count) of the micro-batch that is computed twice: by every rank, and as part of the step.
  void add_batch(bool part_of_step, ConstView gradients, const Stream& stream);
  // The compute weights of this moment are weighed where that is due, and all sums are on their way to the host.
  void end(ConstView weights, const Stream& stream);
  // After synchronize(stream): this rank's words (kWords). again: masters, m and v were weighed, too (StateSums::weigh_state).
  void say(int64_t* words, bool again = false);
  // Words (ranks, kWords) of all ranks. Collective where it finds something. The gravest kind alone: others may follow from it.
  std::vector<Alarm> judge(const std::vector<int64_t>& words, int64_t step, const Stream& stream);

  // The step was computed again and is right: warns and remembers. Throws Corruption where that rank erred in the last 10,000 steps, too.
  void mended(std::vector<Alarm> alarms, const std::string& outcome);
  // Throws Corruption.
  [[noreturn]] void give_up(Alarm alarm, bool lasting);
  const std::vector<Alarm>& alarms() const noexcept { return alarms_; }  // of this process, the same on every rank

 private:
  std::string describe(Range elements) const;  // names of parameters
  std::vector<Alarm> judge_state(const std::vector<int64_t>& words, int64_t step);
  std::vector<Alarm> judge_weights(const std::vector<int64_t>& words, int64_t step) const;
  std::vector<Alarm> judge_messages(const std::vector<int64_t>& words, int64_t step, const Stream& stream) const;
  std::vector<Alarm> judge_arithmetic(const std::vector<int64_t>& words, int64_t step) const;
  bool erred_before(const Alarm& alarm) const;

  IntegrityOptions options_;
  Communicator& comm_;
  const ParameterTable& table_;
  const ShardLayout& layout_;
  bool master_, exact_;
  ExchangeSums exchange_;
  StateSums state_;
  int batch_id_ = -1;
  View batch_;         // (2) i64: gradients of the micro-batch, computed apart and as part of the step
  Tensor host_batch_;
  bool batch_apart_ = false, batch_in_step_ = false;
  int64_t machine_ = 0;  // ranks on equal machines compute equal bits
  std::vector<StateSums::Damage> damage_;  // of this rank, at the last say()
  std::vector<Alarm> alarms_;
};

}  // namespace tw
