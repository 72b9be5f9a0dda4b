#include "src/sweep/run.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <memory>
#include <thread>

#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/meter/progress.h"
#include "src/meter/status.h"
#include "src/sweep/child.h"

namespace tw {
namespace fs = std::filesystem;

namespace {

constexpr auto kPause = std::chrono::milliseconds(20);
constexpr double kLookEvery = 2;  // seconds, at status.json of a trial

// The last line of the log that says what went wrong.
std::string last_error(const fs::path& log) {
  constexpr int64_t kTail = 1 << 16;
  try {
    const int64_t size = tw::file_size(log), begin = std::max<int64_t>(0, size - kTail);
    std::string tail(size_t(size - begin), '\0');
    read_exactly(open_to_read(log).get(), tail.data(), tail.size(), begin, log);
    const size_t at = tail.rfind("error: ");
    if (at == tail.npos) return "";
    return shortened(tail.substr(at + 7, tail.find('\n', at) - at - 7), 500);
  } catch (const Error&) {
    return "";
  }
}

struct Running {
  Trial* trial;
  std::unique_ptr<Child> child;
  double begin;
  double earlier_seconds;
};

class Runner {
 public:
  Runner(Sweep& sweep, const std::vector<int>& numbers, const SweepRun& run)
      : sweep_(sweep), run_(run), waiting_(numbers.begin(), numbers.end()), total_(numbers.size()), line_({.quiet = !run.show_progress}) {}
  void finish();

 private:
  void start(Trial& trial);
  void end(Running& running, const ChildEnd& end);
  void judge(Trial& trial, const ChildEnd& end) const;
  void say(const Trial& trial);
  void progress();

  Sweep& sweep_;
  const SweepRun& run_;
  std::deque<int> waiting_;
  std::vector<Running> running_;
  size_t total_, ended_ = 0;
  bool stopping_ = false;
  ProgressLine line_;
  double looked_ = -1e300;
};

void Runner::start(Trial& trial) {
  make_folders(trial.folder);
  std::vector<std::string> words = sweep_.words_of(trial, trial.folder);
  std::vector<std::pair<std::string, std::string>> environment;
  if (run_.threads > 0) words.push_back(fmt::format("--training.threads={}", run_.threads));
  if (sweep_.plan.ranks > 1) {
    words.insert(words.begin(), {run_.launcher.string(), "-n", std::to_string(sweep_.plan.ranks)});
    environment.emplace_back("TW_BIN", run_.executable.string());
  } else {
    words.insert(words.begin(), run_.executable.string());
  }
  trial.state = TrialState::running;
  ++trial.starts;
  trial.exit_code = 0;
  trial.reason.clear();
  write_trial(trial, sweep_.plan);
  log_debug("trial {}: {}", trial.name(), fmt::join(words, " "));
  running_.push_back({&trial, std::make_unique<Child>(words, trial.folder / "log.txt", environment), now_seconds(), trial.seconds});
  if (run_.changed) run_.changed();
}

// Ended by a signal while it was asked to stop: it may not have come to its handlers yet.
void Runner::judge(Trial& trial, const ChildEnd& end) const {
  const bool asked = stopping_ && (end.signal == SIGUSR1 || end.signal == SIGTERM || end.code == 128 + SIGUSR1 || end.code == 128 + SIGTERM);
  trial.exit_code = end.signal ? 128 + end.signal : end.code;
  std::string said;
  try {
    const auto status = read_status(trial.folder);
    if (status && status->state != RunState::running && status->exit_code == end.code && !end.signal) said = status->reason;
  } catch (const Error&) {  // damaged: the log may say more
  }
  if (end.code == 0 && end.signal == 0) {
    trial.state = TrialState::done;
  } else if (end.code == int(ExitCode::budget)) {
    trial.state = TrialState::done;
    trial.reason = said.empty() ? "its budget is used up" : said;
  } else if (asked || end.code == int(ExitCode::requeue)) {
    trial.state = TrialState::stopped;
    trial.exit_code = int(ExitCode::requeue);
    trial.reason = said.empty() ? "asked to stop before its first step" : said;
  } else if (end.code == int(ExitCode::fenced)) {
    trial.state = TrialState::running;
    trial.reason = "another process runs it";
  } else {
    trial.state = TrialState::failed;
    if (said.empty()) said = last_error(trial.folder / "log.txt");
    trial.reason = end.signal || said.empty() ? text_of(end) + (said.empty() ? "" : ": " + said) : said;
  }
}

void Runner::end(Running& running, const ChildEnd& end) {
  Trial& trial = *running.trial;
  trial.seconds = running.earlier_seconds + now_seconds() - running.begin;
  judge(trial, end);
  const TrialState judged = trial.state;
  write_trial(trial, sweep_.plan);
  read_trial(trial, sweep_.plan);  // its results
  if (trial.state != judged) {
    if (judged == TrialState::running) trial.state = judged;
    write_trial(trial, sweep_.plan);
  }
  ++ended_;
  say(trial);
  if (run_.changed) run_.changed();
}

void Runner::say(const Trial& t) {
  line_.clear();
  const std::string head = fmt::format("[{}/{}] trial {} ({})", ended_, total_, t.name(), point_text(sweep_.plan, t.point));
  if (t.state == TrialState::done) {
    const std::vector<int> ranking = sweep_.ranking();
    std::string text = fmt::format("{}: {} {:.5g}{}, {}", head, sweep_.plan.metric, t.metric,
                                   !ranking.empty() && ranking[0] == t.number ? ", the best so far" : "", human_seconds(t.seconds));
    if (std::isfinite(t.joules)) text += fmt::format(", {}{}", human_joules(t.joules), t.energy == "assumed" ? " (assumed)" : "");
    log_info("{}{}", text, t.reason.empty() ? "" : "; " + t.reason);
  } else if (t.state == TrialState::failed) {
    log_warning("{}: failed ({}): {}", head, t.exit_code, t.reason);
  } else {
    log_info("{}: {}: {}", head, name_of(t.state), t.reason);
  }
}

void Runner::progress() {
  if (!run_.show_progress || running_.empty() || now_seconds() - looked_ < kLookEvery) return;
  looked_ = now_seconds();
  double done = double(ended_);
  std::string text;
  for (const Running& r : running_) {
    try {
      const auto status = read_status(r.trial->folder);
      if (!status || status->state != RunState::running || status->steps <= 0) continue;
      done += double(status->step) / double(status->steps);
      text += fmt::format("  {} step {}/{}", r.trial->name(), status->step, status->steps);
    } catch (const Error&) {
    }
  }
  const double share = total_ ? done / double(total_) : 1;
  if (line_.due(share)) line_.draw(fmt::format("{} of {} trials, {} running{}", ended_, total_, running_.size(), text), share);
}

void Runner::finish() {
  while (true) {
    if (!stopping_ && stop_signal()) {
      stopping_ = true;
      line_.clear();
      if (!running_.empty())
        log_info("signal {}: {} saved and stopped", stop_signal(),
                 running_.size() == 1 ? "the trial is" : fmt::format("{} trials are", running_.size()));
      for (Running& r : running_) r.child->signal(SIGUSR1);
    }
    while (!stopping_ && !waiting_.empty() && int(running_.size()) < run_.parallel) {
      const int number = waiting_.front();
      waiting_.pop_front();
      start(sweep_.trials[size_t(number)]);
    }
    if (running_.empty() && (stopping_ || waiting_.empty())) break;
    for (size_t i = 0; i < running_.size();) {
      const auto ended = running_[i].child->poll();
      if (!ended) {
        ++i;
        continue;
      }
      Running gone = std::move(running_[i]);
      running_.erase(running_.begin() + std::ptrdiff_t(i));
      end(gone, *ended);
    }
    progress();
    std::this_thread::sleep_for(kPause);
  }
  line_.clear();
}

}  // namespace

fs::path own_executable() {
  std::error_code none;
  const fs::path path = fs::read_symlink("/proc/self/exe", none);
  TW_CHECK(!none, no_input, "cannot find this program itself: /proc/self/exe: {}", none.message());
  return path;
}

fs::path find_launcher(const fs::path& executable, int ranks) {
  if (ranks <= 1) return {};
  if (const char* given = std::getenv("TW_LAUNCH"); given && *given) {
    TW_CHECK(::access(given, X_OK) == 0, no_input, "TW_LAUNCH = {} is no program", given);
    return fs::absolute(given);
  }
  const fs::path beside = executable.parent_path() / "tokenwerk-run", source = executable.parent_path() / "../../../launch/run";
  for (const fs::path& path : {beside, source})
    if (::access(path.c_str(), X_OK) == 0) return path.lexically_normal();
  TW_FAIL(no_input, "sweep.ranks = {} wants launch/run: there is neither {} nor {}; set TW_LAUNCH to where it lies", ranks, beside.string(),
          source.lexically_normal().string());
}

std::vector<int> unfinished_trials(const Sweep& sweep, bool retry_failed) {
  std::vector<int> numbers;
  for (const Trial& t : sweep.trials)
    if (t.state != TrialState::done && (retry_failed || t.state != TrialState::failed)) numbers.push_back(t.number);
  return numbers;
}

ExitCode run_trials(Sweep& sweep, const std::vector<int>& numbers, const SweepRun& run) {
  std::vector<int> wanted;
  for (const int n : numbers) {
    const Trial& t = sweep.trials[size_t(n)];
    if (t.state != TrialState::done && (run.retry_failed || t.state != TrialState::failed)) wanted.push_back(n);
  }
  Runner(sweep, wanted, run).finish();
  bool unfinished = false;
  const Trial* failed = nullptr;
  for (const int n : numbers) {
    const Trial& t = sweep.trials[size_t(n)];
    unfinished |= t.state == TrialState::stopped || t.state == TrialState::waiting || t.state == TrialState::running;
    if (t.state == TrialState::failed && !failed) failed = &t;
  }
  if (unfinished) return ExitCode::requeue;
  if (!failed || sweep.count(TrialState::done) > 0) return ExitCode::ok;
  // A trial without a result may have ended with 0, or by a signal that no code of ours stands for.
  const int code = failed->exit_code;
  const bool ours = std::any_of(exit_codes().begin(), exit_codes().end(), [&](const ExitCodeInfo& c) { return int(c.code) == code; });
  return ours && code != 0 ? ExitCode(code) : ExitCode::numerics;
}

}  // namespace tw
