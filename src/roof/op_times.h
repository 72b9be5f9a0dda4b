// The ops of training steps by name and shape: how often, how long, and how long at least.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "kernels/op_probe.h"
#include "src/core/gpu.h"
#include "src/roof/roof.h"

namespace tw {

// All calls in a step of one op on one shape. Numbers are of one step.
struct OpRow {
  std::string op;       // "matmul", "norm_backward", "all_to_all between ranks"
  std::string form;     // of a matrix product: "a b^T"
  Shape shape;          // of a matrix product: (M, N, K)
  DType dtype = DType::fp32;
  double calls = 0, flops = 0, bytes = 0;
  double seconds = 0;   // median of the steps
  double best = 0;      // least of the steps
  double floor = 0;     // seconds; 0 = no roof is known
  bool over_the_wire = false;  // bytes go to other ranks
  double lost() const { return seconds > floor ? seconds - floor : 0; }
};

struct StepTimes {
  std::vector<OpRow> rows;   // the one that loses most time first
  Spread step;               // measured around the whole step
  double ops = 0;            // seconds of all rows
  double between = 0;        // of a step outside of all rows, median: batches, sums of losses, the calls themselves
  double floor = 0;          // of all rows
  double total() const { return ops + between; }
  double covered() const { return total() > 0 ? ops / total() : 0; }  // share of the ops
};

class OpTimes final : public OpProbe {
 public:
  // roof may be null: no floors then. It must outlive this.
  explicit OpTimes(const Roof* roof) : roof_(roof) {}
  void begin(const Stream& stream) override;
  void end(const char* op, const OpWork& work, const Stream& stream) override;

  // Part of an exchange between ranks, which is no op of a stream: `calls` and `bytes` once for each, seconds as they
  // come. bytes: what this rank sends, and receives as well.
  void add_exchange(const char* call, int calls, double bytes, double seconds);
  // The work inside one rank that takes the place of an exchange.
  void add_copy(const char* call, double bytes, double seconds);

  void begin_step();
  void end_step(double seconds);  // of the whole step, by the caller's clock
  StepTimes times() const;        // of the steps that were ended; Error(bug) where there is none

 private:
  struct Entry {
    OpRow row;                    // sums over the steps
    bool streamed = false;
    double now = 0;               // seconds in the step under way
    std::vector<double> seconds;  // of each step
  };
  // An op of a GPU, whose time is known when the device has done it.
  struct Timed {
    gpu::Event start, end;
    size_t entry = 0;
  };
  Entry& entry(const char* op, const OpWork& work);
  void collect();  // the times of a GPU's ops

  const Roof* roof_;
  std::vector<Entry> entries_;
  double began_ = 0;
  bool in_step_ = false;
  std::deque<Timed> timed_;  // used again in each step
  size_t timed_now_ = 0;
  std::vector<double> steps_, between_;
};

}  // namespace tw
