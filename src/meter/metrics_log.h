// RUN/metrics.jsonl, one JSON object a line and a step, and TensorBoard events beside it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "src/core/file.h"
#include "src/meter/energy.h"

namespace tw {

// NaN and infinities become null; for loss and grad_norm "loss_text": "nan" stands beside it.
struct StepMetrics {
  int64_t step = 0;
  float loss = 0;  // printed so that it reads back as the same float, as lr and grad_norm
  float lr = 0;
  float grad_norm = 0;
  int64_t tokens = 0;   // cumulative, all ranks
  int64_t samples = 0;  // cumulative
  double tokens_per_second = 0;
  double model_flops_per_second = 0;  // all ranks
  double mfu = kNoJoules;             // of the peak; NaN = peak unknown, the key is left out
  int64_t memory_bytes = 0;           // peak_resident_bytes() of the writing rank, or the largest
  double joules = kNoJoules;          // cumulative over this start, all ranks
  double joules_per_token = kNoJoules;
  double power_w = kNoJoules;
  int64_t skipped = 0;           // steps left out so far
  double seconds = 0;            // of this step
  double sync_wait_seconds = 0;  // of which waiting for other ranks
};

struct EvalMetrics {
  int64_t step = 0;
  float loss = 0;
  double perplexity = 0;
  double bits_per_byte = kNoJoules;  // NaN = unknown
};

// The end of a checkpoint's save, which began at saved_step. Counts are of this start.
struct SaveMetrics {
  int64_t step = 0, saved_step = 0;
  bool saved = false;
  double seconds = 0;
  int64_t failed = 0, left_out = 0;
};

class MetricsServer;
class TensorBoardWriter;

struct MetricsOptions {
  bool jsonl = true;
  bool tensorboard = true;  // FOLDER/tensorboard/
  MetricsServer* server = nullptr;  // is told, too; outlives the log
};

// One process writes (rank 0). After it is open nothing throws: a full disk costs lines, which are counted and warned
// of once, never the run; the file stays whole lines.
class MetricsLog {
 public:
  // Lines of steps beyond `resume_step` are cut off (0: all), so is a torn last line: no step stands twice.
  // Error(cannot_create) or Error(io).
  MetricsLog(const std::filesystem::path& folder, const MetricsOptions& options, int64_t resume_step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void log(const StepMetrics& metrics) noexcept;
  void log(const EvalMetrics& metrics) noexcept;
  void log(const SaveMetrics& metrics) noexcept;
  void flush() noexcept;  // to the disk: with each checkpoint
  int64_t lost_lines() const noexcept { return lost_; }

 private:
  void append(const std::string& line) noexcept;
  std::filesystem::path path_;
  FileDescriptor file_;
  int64_t size_ = 0;  // end of the last whole line
  int64_t lost_ = 0;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
  MetricsServer* server_;
};

std::string metrics_line(const StepMetrics& metrics, double unix_time);  // without the line's end
std::string metrics_line(const EvalMetrics& metrics, double unix_time);
std::string metrics_line(const SaveMetrics& metrics, double unix_time);

int64_t peak_resident_bytes() noexcept;  // of this process

}  // namespace tw
