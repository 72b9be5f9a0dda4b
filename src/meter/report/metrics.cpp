// The curves of metrics.jsonl. A run of a million steps has some 300 MB of it: each line is passed over once, and no
// more than the curves' stretches is kept.
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/meter/report/record.h"

namespace tw::report {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMaxMetrics = size_t(8) << 30;
constexpr double kMaxStep = 1e15;  // where steps still have halves, which axes need

struct Line {
  double step = kUnknown, loss = kUnknown, lr = kUnknown, grad_norm = kUnknown, tokens = kUnknown,
         tokens_per_second = kUnknown, flops = kUnknown, memory = kUnknown, joules_per_token = kUnknown,
         skipped = kUnknown, eval_loss = kUnknown;
  bool evaluation = false, training = false;
};

double* member(Line& line, std::string_view key) {
  if (key == "step") return &line.step;
  if (key == "loss") return &line.loss;
  if (key == "lr") return &line.lr;
  if (key == "grad_norm") return &line.grad_norm;
  if (key == "tokens") return &line.tokens;
  if (key == "tokens_per_second") return &line.tokens_per_second;
  if (key == "model_flops_per_second") return &line.flops;
  if (key == "memory_bytes") return &line.memory;
  if (key == "joules_per_token") return &line.joules_per_token;
  if (key == "skipped") return &line.skipped;
  if (key == "eval_loss") return &line.eval_loss;
  return nullptr;
}

// A flat object as MetricsLog writes it; false where the text is something else.
bool read_line(std::string_view text, Line& line) {
  const char *at = text.data(), *const end = at + text.size();
  const auto take = [&](char c) { return at < end && *at == c && ++at; };
  const auto word = [&](std::string_view& out) {  // behind its opening quote
    const char* begin = at;
    while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
    if (at >= end) return false;
    out = {begin, size_t(at++ - begin)};
    return true;
  };
  if (!take('{')) return false;
  do {
    std::string_view key, value;
    if (!take('"') || !word(key) || !take(':')) return false;
    if (take('"')) {
      if (!word(value)) return false;
      continue;
    }
    const char* begin = at;
    while (at < end && *at != ',' && *at != '}') ++at;
    line.evaluation |= key == "eval_loss";
    line.training |= key == "loss";
    double* number = member(line, key);
    if (!number) continue;
    const auto [last, error] = std::from_chars(begin, at, *number);
    if (error != std::errc() || last != at || !std::isfinite(*number)) *number = kUnknown;  // null, or too large
  } while (take(','));
  return take('}') && at == end;
}

}  // namespace

void read_metrics(RunRecord& run) {
  const auto path = run.folder / "metrics.jsonl";
  std::error_code absent;
  if (!std::filesystem::is_regular_file(path, absent)) {
    run.notes.push_back("metrics.jsonl is missing: no curves.");
    return;
  }
  MappedFile file;
  try {
    file = MappedFile(path);
  } catch (const Error& e) {
    run.notes.push_back(std::string(e.what()) + ": no curves.");
    return;
  }
  const std::string_view text = file.text().substr(0, kMaxMetrics);
  int64_t odd = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = text.find('\n', at);
    if (end == text.npos) end = text.size();
    const std::string_view row = text.substr(at, end - at);
    at = end + 1;
    Line line;
    if (!read_line(row, line) || !(line.step >= 0 && line.step <= kMaxStep)) {
      odd += !row.empty();
      continue;
    }
    if (line.evaluation) {
      run.eval_loss.add(line.step, line.eval_loss);
      continue;
    }
    if (!line.training) continue;  // of a checkpoint
    ++run.step_lines;
    run.not_finite += std::isnan(line.loss);
    run.loss.add(line.step, line.loss);
    run.lr.add(line.step, line.lr);
    run.grad_norm.add(line.step, line.grad_norm);
    run.tokens_per_second.add(line.step, line.tokens_per_second);
    run.joules_per_token.add(line.step, line.joules_per_token);
    run.step = line.step;
    run.final_loss = line.loss;
    run.trained_tokens = line.tokens;
    run.skipped = line.skipped;
    run.memory_bytes = line.memory;
    run.model_flops_per_second = line.flops;
  }
  if (odd) run.notes.push_back(fmt::format("metrics.jsonl: {} lines are damaged and left out.", odd));
  if (run.step_lines == 0) run.notes.push_back("metrics.jsonl holds no step.");
}

}  // namespace tw::report
