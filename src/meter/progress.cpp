#include "src/meter/progress.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/core/clock.h"
#include "src/core/format.h"

namespace tw {
namespace {

constexpr int kBar = 20;

struct Part {
  int rank;  // the highest is left out first
  std::string text;
};

// Joins the parts that fit; one is always left, cut where it must be.
std::string fit(std::vector<Part> parts, int width) {
  const auto joined = [&] {
    std::string line;
    for (const Part& part : parts) line += (line.empty() ? "" : "  ") + part.text;
    return line;
  };
  std::string line = joined();
  while (width > 0 && int(line.size()) > width && parts.size() > 1) {
    parts.erase(
        std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; }));
    line = joined();
  }
  if (width > 0 && int(line.size()) > width) line.resize(size_t(width));
  return line;
}

std::string bar(double share) {
  const int full = int(std::clamp(share, 0.0, 1.0) * kBar);
  return "[" + std::string(size_t(full), '#') + std::string(size_t(kBar - full), '.') + "]";
}

// Whole seconds below a minute: "12.00 s" promises too much.
std::string time_left(double seconds) {
  return seconds < 60 ? fmt::format("{:.0f} s left", std::ceil(seconds)) : human_seconds(seconds) + " left";
}

}  // namespace

ProgressLine::ProgressLine(const ProgressOptions& options)
    : options_(options), terminal_(options.terminal < 0 ? ::isatty(options.fd) == 1 : options.terminal == 1) {
  // The first plain line comes after a while; a terminal shows at once what goes on.
  last_time_ = terminal_ ? -1e300 : now_seconds();
}

ProgressLine::~ProgressLine() { finish(); }

int ProgressLine::width() const {
  if (!terminal_) return 0;
  winsize size{};
  // One column less: some terminals wrap on the last.
  return ::ioctl(options_.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
}

bool ProgressLine::due(double share) {
  if (options_.quiet || ended_) return false;
  const double waited = now_seconds() - last_time_;
  if (share >= 1 && last_share_ < 1) return true;
  if (terminal_) return waited >= options_.redraw_every;
  // Work of a second or two stays silent but for its end.
  return waited >= options_.plain_every || (share - last_share_ >= options_.plain_share && waited >= 1);
}

void ProgressLine::draw(std::string line, double share) {
  if (options_.quiet || ended_) return;
  last_time_ = now_seconds();
  last_share_ = share;
  // "Erase to the end of the line" takes away the rest of a longer line.
  line = terminal_ ? "\r" + line + "\x1b[K" : line + "\n";
  [[maybe_unused]] const ssize_t written = ::write(options_.fd, line.data(), line.size());  // a lost line is no loss
  drawn_ = true;
}

void ProgressLine::clear() {
  if (!terminal_ || !drawn_ || ended_) return;
  [[maybe_unused]] const ssize_t written = ::write(options_.fd, "\r\x1b[K", 4);
  drawn_ = false;
}

void ProgressLine::finish() {
  if (terminal_ && drawn_ && !ended_) {
    [[maybe_unused]] const ssize_t written = ::write(options_.fd, "\n", 1);
  }
  ended_ = true;
}

std::string train_progress_text(const TrainProgress& p, int width) {
  std::vector<Part> parts;
  const double share = p.steps > 0 ? double(p.step) / double(p.steps) : 0;
  if (width > 0 && p.steps > 0) parts.push_back({5, bar(share)});
  parts.push_back({0, p.steps > 0 ? fmt::format("step {}/{}", p.step, p.steps) : fmt::format("step {}", p.step)});
  parts.push_back({1, fmt::format("loss {:.3f}", p.loss)});
  parts.push_back({2, human_count(p.tokens_per_second) + " tok/s"});
  if (p.model_flops_per_second > 0) {
    const bool tera = p.model_flops_per_second >= 1e12;
    parts.push_back(
        {6, fmt::format("{:.3g} {}FLOP/s", p.model_flops_per_second / (tera ? 1e12 : 1e9), tera ? 'T' : 'G')});
  }
  if (std::isfinite(p.joules_per_token) && p.kind != EnergyKind::none)
    parts.push_back(
        {4, human_joules(p.joules_per_token) + (p.kind == EnergyKind::assumed ? "/token (assumed)" : "/token")});
  else
    parts.push_back({7, "no meter"});
  if (std::isfinite(p.seconds_left)) parts.push_back({3, time_left(p.seconds_left)});
  return fit(std::move(parts), width);
}

std::string work_progress_text(const WorkProgress& p, int width) {
  const auto amount = [&](double value) {
    return p.bytes ? human_bytes(value) : human_count(value) + " " + std::string(p.unit);
  };
  const double share = p.total > 0 ? p.done / p.total : 0;
  const double rate = p.seconds > 0 ? p.done / p.seconds : 0;
  std::vector<Part> parts;
  if (width > 0 && p.total > 0) parts.push_back({4, bar(share)});
  std::string main = std::string(p.what) + ": ";
  if (p.total > 0)
    main +=
        p.bytes ? human_bytes(p.done) + " of " + human_bytes(p.total) : human_count(p.done) + " of " + amount(p.total);
  else
    main += amount(p.done);
  parts.push_back({0, std::move(main)});
  if (p.seconds >= 0.5 && rate > 0) {
    parts.push_back({2, amount(rate) + "/s"});
    if (p.total > p.done) parts.push_back({1, time_left((p.total - p.done) / rate)});
  }
  return fit(std::move(parts), width);
}

WorkMeter::WorkMeter(std::string what, double total, bool bytes, std::string unit, const ProgressOptions& options)
    : what_(std::move(what)),
      unit_(std::move(unit)),
      total_(total),
      bytes_(bytes),
      begin_(now_seconds()),
      line_(options) {}

void WorkMeter::advance(double amount) {
  done_ += amount;
  const double share = total_ > 0 ? done_ / total_ : 0;
  if (!line_.due(share)) return;
  line_.draw(work_progress_text({what_, done_, total_, bytes_, unit_, now_seconds() - begin_}, line_.width()), share);
}

void WorkMeter::finish() { line_.finish(); }

}  // namespace tw
