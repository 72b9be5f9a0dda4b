#include "src/meter/metrics_log.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/log.h"
#include "src/meter/metrics_server.h"
#include "src/meter/tensorboard.h"

namespace tw {
namespace {

// fmt's "{}" is the shortest text that reads back as the same float.
void add_float(std::string& line, const char* key, float value) {
  if (std::isfinite(value)) {
    line += fmt::format(",\"{}\":{}", key, value);
  } else {
    const char* text = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
    line += fmt::format(",\"{0}\":null,\"{0}_text\":\"{1}\"", key, text);
  }
}

void add_double(std::string& line, const char* key, double value, int digits) {
  line += std::isfinite(value) ? fmt::format(",\"{}\":{:.{}g}", key, value, digits) : fmt::format(",\"{}\":null", key);
}

// The step of a whole line of ours; -1 where it is something else.
int64_t step_of(std::string_view line) {
  constexpr std::string_view kBegin = "{\"step\":";
  int64_t step = -1;
  if (!line.starts_with(kBegin) || !line.ends_with('}')) return -1;
  const auto [end, error] = std::from_chars(line.data() + kBegin.size(), line.data() + line.size(), step);
  return error == std::errc() && (*end == ',' || *end == '}') ? step : -1;
}

// Leaves the whole lines of steps up to `resume_step`; gives the size of the file.
int64_t cut_back(const std::filesystem::path& path, int fd, int64_t resume_step) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  std::string kept;   // needed only where what stays is not the beginning of the file
  size_t prefix = 0;  // bytes that stay where they are
  bool in_place = true;
  for (size_t at = 0; at < text.size();) {
    const size_t newline = text.find('\n', at);
    if (newline == text.npos) break;  // torn by a crash
    const int64_t step = step_of(text.substr(at, newline - at));
    const size_t next = newline + 1;
    const bool keep = step >= 0 && step <= resume_step && resume_step > 0;
    if (keep && prefix == at && in_place) {
      prefix = next;
    } else if (keep) {
      if (in_place) kept = text.substr(0, prefix), in_place = false;
      kept += text.substr(at, next - at);
    }
    at = next;
  }
  if (in_place) {
    TW_CHECK(::ftruncate(fd, off_t(prefix)) == 0, io, "cannot shorten {}: {}", path.string(), std::strerror(errno));
    return int64_t(prefix);
  }
  write_file_atomically(path, kept);
  return -1;  // another file now
}

FileDescriptor open_to_append(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  TW_CHECK(fd, cannot_create, "cannot create {}: {}", path.string(), std::strerror(errno));
  return fd;
}

}  // namespace

std::string metrics_line(const StepMetrics& m, double unix_time) {
  std::string line = fmt::format("{{\"step\":{},\"time\":{:.3f}", m.step, unix_time);
  add_float(line, "loss", m.loss);
  add_float(line, "lr", m.lr);
  add_float(line, "grad_norm", m.grad_norm);
  line += fmt::format(",\"tokens\":{},\"samples\":{}", m.tokens, m.samples);
  add_double(line, "tokens_per_second", m.tokens_per_second, 6);
  add_double(line, "model_flops_per_second", m.model_flops_per_second, 6);
  if (std::isfinite(m.mfu)) add_double(line, "mfu", m.mfu, 4);
  line += fmt::format(",\"memory_bytes\":{}", m.memory_bytes);
  add_double(line, "joules", m.joules, 10);
  add_double(line, "joules_per_token", m.joules_per_token, 6);
  add_double(line, "power_w", m.power_w, 6);
  line += fmt::format(",\"skipped\":{}", m.skipped);
  add_double(line, "seconds", m.seconds, 6);
  add_double(line, "sync_wait_seconds", m.sync_wait_seconds, 6);
  return line + "}";
}

std::string metrics_line(const EvalMetrics& m, double unix_time) {
  std::string line = fmt::format("{{\"step\":{},\"time\":{:.3f}", m.step, unix_time);
  add_float(line, "eval_loss", m.loss);
  add_double(line, "eval_perplexity", m.perplexity, 9);
  add_double(line, "eval_bits_per_byte", m.bits_per_byte, 9);
  return line + "}";
}

std::string metrics_line(const SaveMetrics& m, double unix_time) {
  std::string line = fmt::format("{{\"step\":{},\"time\":{:.3f},\"checkpoint_step\":{},\"checkpoint_saved\":{}", m.step, unix_time,
                                 m.saved_step, m.saved);
  add_double(line, "checkpoint_seconds", m.seconds, 6);
  return line + fmt::format(",\"checkpoints_failed\":{},\"checkpoints_left_out\":{}}}", m.failed, m.left_out);
}

MetricsLog::MetricsLog(const std::filesystem::path& folder, const MetricsOptions& options, int64_t resume_step)
    : path_(folder / "metrics.jsonl"), server_(options.server) {
  make_folders(folder);
  if (options.jsonl) {
    file_ = open_to_append(path_);
    size_ = cut_back(path_, file_.get(), resume_step);
    if (size_ < 0) {
      file_ = open_to_append(path_);
      size_ = tw::file_size(path_);
    }
  }
  if (options.tensorboard) tensorboard_ = std::make_unique<TensorBoardWriter>(folder / "tensorboard", resume_step);
}

MetricsLog::~MetricsLog() {
  flush();
  if (lost_ > 0) log_warning("{}: {} lines could not be written", path_.string(), lost_);
}

void MetricsLog::append(const std::string& line) noexcept {
  if (!file_) return;
  try {
    write_exactly(file_.get(), line.data(), line.size(), size_, path_);
    size_ += int64_t(line.size());
  } catch (const std::exception& e) {
    if (lost_++ == 0)
      log_line(LogLevel::quiet, std::string("warning: ") + e.what() + "; training goes on without this line");
    // Half a line must not stand before the next one.
    [[maybe_unused]] const int shortened = ::ftruncate(file_.get(), off_t(size_));
  }
}

void MetricsLog::log(const StepMetrics& m) noexcept {
  const double now = unix_seconds();
  append(metrics_line(m, now) + "\n");
  if (server_) server_->set(m);
  if (!tensorboard_) return;
  tensorboard_->scalars(m.step, now,
                        {{"loss", m.loss},
                         {"lr", m.lr},
                         {"grad_norm", m.grad_norm},
                         {"tokens_per_second", float(m.tokens_per_second)},
                         {"model_flops_per_second", float(m.model_flops_per_second)}});
  if (std::isfinite(m.joules_per_token))
    tensorboard_->scalars(m.step, now,
                          {{"joules_per_token", float(m.joules_per_token)}, {"power_w", float(m.power_w)}});
}

void MetricsLog::log(const SaveMetrics& m) noexcept { append(metrics_line(m, unix_seconds()) + "\n"); }

void MetricsLog::log(const EvalMetrics& m) noexcept {
  const double now = unix_seconds();
  append(metrics_line(m, now) + "\n");
  if (server_) server_->set(m);
  if (!tensorboard_) return;
  tensorboard_->scalars(m.step, now, {{"eval/loss", m.loss}, {"eval/perplexity", float(m.perplexity)}});
  if (std::isfinite(m.bits_per_byte))
    tensorboard_->scalars(m.step, now, {{"eval/bits_per_byte", float(m.bits_per_byte)}});
}

void MetricsLog::flush() noexcept {
  if (file_) ::fsync(file_.get());
  if (tensorboard_) tensorboard_->flush();
}

int64_t peak_resident_bytes() noexcept {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t(usage.ru_maxrss) * 1024;
}

}  // namespace tw
