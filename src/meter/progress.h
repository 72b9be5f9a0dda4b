// Progress on standard error: one line that is redrawn on a terminal; elsewhere a plain line now and then.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "src/meter/energy.h"

namespace tw {

struct ProgressOptions {
  bool quiet = false;  // draws nothing (--quiet, --json, ranks other than 0)
  int terminal = -1;   // 1 = a terminal, 0 = none, -1 = what standard error is
  int fd = 2;
  double redraw_every = 0.1;  // seconds, on a terminal
  double plain_every = 10;    // seconds between plain lines, at least ...
  double plain_share = 0.1;   // ... and a line whenever this share of the work is done
};

// Draws one line of text at the times that ProgressOptions gives.
class ProgressLine {
 public:
  explicit ProgressLine(const ProgressOptions& options = {});
  ~ProgressLine();  // leaves the last line standing
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  // Whether a line drawn now would be shown; so that nothing is formatted in vain. share: of the work done, 0..1.
  bool due(double share);
  int width() const;  // columns to fill
  void draw(std::string line, double share);
  void clear();   // before other text goes to the terminal
  void finish();  // the line stands, the cursor below it

 private:
  ProgressOptions options_;
  bool terminal_;
  bool drawn_ = false;
  double last_time_ = -1e300, last_share_ = 0;
  bool ended_ = false;
};

struct TrainProgress {
  int64_t step = 0, steps = 0;
  double loss = 0;
  double tokens_per_second = 0;
  double model_flops_per_second = 0;    // 0 = not shown
  double joules_per_token = kNoJoules;  // NaN = "no meter"
  EnergyKind kind = EnergyKind::none;
  double seconds_left = kNoJoules;  // NaN = unknown
};
// "step 120/1000  loss 3.412  4.1k tok/s  12.3 GFLOP/s  2.31 mJ/token  1 min 20 s left", with a bar where `width`
// allows; the least important parts are left out first. Never longer than width columns (0 = as long as it likes).
std::string train_progress_text(const TrainProgress& progress, int width);

// "tokenize: 12.0 MiB of 48.0 MiB, 3.1 MiB/s, 12 s left".
struct WorkProgress {
  std::string_view what;       // "scan"
  double done = 0, total = 0;  // total 0 = unknown
  bool bytes = false;          // shown as bytes, else as a count of `unit`
  std::string_view unit = "files";
  double seconds = 0;  // since the start
};
std::string work_progress_text(const WorkProgress& progress, int width);

// A whole: counts, draws, ends. For scan, tokenize, evaluation, generation.
class WorkMeter {
 public:
  WorkMeter(std::string what, double total, bool bytes, std::string unit, const ProgressOptions& options = {});
  void advance(double amount);
  void set_total(double total) noexcept { total_ = total; }
  void finish();

 private:
  std::string what_, unit_;
  double total_, done_ = 0;
  bool bytes_;
  double begin_;
  ProgressLine line_;
};

}  // namespace tw
