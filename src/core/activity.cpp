#include "src/core/activity.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "src/core/clock.h"

namespace tw {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
thread_local bool followed = false;

struct Record {
  std::atomic<WorkPhase> phase{WorkPhase::other};
  std::atomic<int> waits{0};
  std::atomic<int64_t> step{-1}, collectives{0};
  std::atomic<const char*> collective{""};
  std::atomic<uint64_t> marks{0};
} record;

// Of the followed thread alone.
struct Clock {
  double since = 0;                        // of the time that is not in a bucket yet
  std::array<double, kWorkPhases> own{};   // of the step under way
  double waited = 0;
  std::array<std::array<float, kStepsOfAWindow>, kWorkPhases> of{};  // of the last steps
  std::array<float, kStepsOfAWindow> own_sum{}, whole{};
  int64_t steps = 0;
} spent;

std::mutex mutex;  // of what is below; taken once a step
StepTimes window;
double usual = 0;

// Before the phase or the wait changes.
void account() noexcept {
  const double now = now_seconds();
  const WorkPhase phase = record.phase.load(kRelaxed);
  if (is_of_a_step(phase)) (record.waits.load(kRelaxed) ? spent.waited : spent.own[size_t(phase)]) += now - spent.since;
  spent.since = now;
}

void mark() noexcept { record.marks.fetch_add(1, kRelaxed); }

double median(std::array<float, kStepsOfAWindow> values, int64_t count) noexcept {
  const auto middle = values.begin() + count / 2;
  std::nth_element(values.begin(), middle, values.begin() + count);
  return *middle;
}

}  // namespace

std::string_view name_of(WorkPhase phase) {
  constexpr std::string_view kNames[] = {"other work", "load", "data", "forward", "backward", "exchange", "optimizer", "evaluate",
                                         "checkpoint", "between steps", "finish"};
  return size_t(phase) < std::size(kNames) ? kNames[size_t(phase)] : "unknown";
}

void follow_this_thread() noexcept { followed = true, spent.since = now_seconds(); }

void mark_phase(WorkPhase phase) noexcept {
  if (!followed) return;
  account();
  record.phase.store(phase, kRelaxed);
  mark();
}

PhaseScope::PhaseScope(WorkPhase phase) noexcept : before_(record.phase.load(kRelaxed)) { mark_phase(phase); }
PhaseScope::~PhaseScope() { mark_phase(before_); }

void mark_step(int64_t done) noexcept {
  if (!followed) return;
  account();
  const bool was_a_step = done == record.step.load(kRelaxed) + 1;
  record.step.store(done, kRelaxed);
  mark();
  const size_t at = size_t(spent.steps % kStepsOfAWindow);
  double own = 0;
  for (int p = 0; p < kWorkPhases; ++p) {
    own += spent.own[size_t(p)];
    spent.of[size_t(p)][at] = float(spent.own[size_t(p)]);
  }
  spent.own_sum[at] = float(own), spent.whole[at] = float(own + spent.waited);
  spent.own.fill(0), spent.waited = 0;
  if (!was_a_step) {  // the start of a run, or a step back
    spent.steps = 0;
    return;
  }
  ++spent.steps;
  const int64_t known = std::min<int64_t>(spent.steps, kStepsOfAWindow);
  const std::lock_guard lock(mutex);
  usual = known >= 3 ? median(spent.whole, known) : 0;
  if (done % kStepsOfAWindow != 0 || known < kStepsOfAWindow) return;
  window.window = done / kStepsOfAWindow;
  window.own = median(spent.own_sum, known);
  for (size_t p = 0; p < size_t(kWorkPhases); ++p) window.of[p] = median(spent.of[p], known);
}

void mark_collective(const char* name) noexcept {
  if (!followed) return;
  record.collective.store(name, kRelaxed);
  record.collectives.fetch_add(1, kRelaxed);
  mark();
}

WaitScope::WaitScope() noexcept {
  if (!followed) return;
  account();
  record.waits.fetch_add(1, kRelaxed);
  mark();
}
WaitScope::~WaitScope() {
  if (!followed) return;
  account();
  record.waits.fetch_sub(1, kRelaxed);
  mark();
}

Activity activity() noexcept {
  return {record.phase.load(kRelaxed), record.waits.load(kRelaxed) > 0, record.step.load(kRelaxed), record.collectives.load(kRelaxed),
          record.collective.load(kRelaxed), record.marks.load(kRelaxed)};
}

StepTimes step_times() noexcept {
  const std::lock_guard lock(mutex);
  return window;
}

double usual_step_seconds() noexcept {
  const std::lock_guard lock(mutex);
  return usual;
}

}  // namespace tw
