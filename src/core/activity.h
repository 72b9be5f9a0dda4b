// What this process is doing, for whoever watches it: phase, step, collective. The thread that called follow_this_thread
// writes, by relaxed atomics; calls of other threads do nothing. Any thread reads.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace tw {

enum class WorkPhase : uint8_t { other, load, data, forward, backward, exchange, optimizer, evaluate, checkpoint, between_steps, finish };
inline constexpr int kWorkPhases = int(WorkPhase::finish) + 1;
std::string_view name_of(WorkPhase phase);
// Phases of an optimiser step: their length is known after some steps.
inline constexpr bool is_of_a_step(WorkPhase phase) { return phase >= WorkPhase::data && phase <= WorkPhase::optimizer; }

void follow_this_thread() noexcept;

// In `phase` while this lives; then in the one before.
class PhaseScope {
 public:
  explicit PhaseScope(WorkPhase phase) noexcept;
  ~PhaseScope();
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  WorkPhase before_;
};
void mark_phase(WorkPhase phase) noexcept;  // from here on, within the scope
void mark_step(int64_t done) noexcept;      // steps done

// A collective call: the same on every rank, so its number tells who is behind. name: a string constant.
void mark_collective(const char* name) noexcept;
// Waiting for other ranks while this lives.
class WaitScope {
 public:
  WaitScope() noexcept;
  ~WaitScope();
  WaitScope(const WaitScope&) = delete;
  WaitScope& operator=(const WaitScope&) = delete;
};

struct Activity {
  WorkPhase phase = WorkPhase::other;
  bool waiting = false;
  int64_t step = 0;             // steps done; -1 = none was begun
  int64_t collectives = 0;      // begun so far
  const char* collective = "";  // the last
  uint64_t marks = 0;           // grows with each of the calls above: as long as it does, the process does not hang
};
Activity activity() noexcept;

// Seconds of the last 20 steps whose number ends a window (step divisible by 20), medians over them.
inline constexpr int kStepsOfAWindow = 20;
struct StepTimes {
  int64_t window = 0;                    // step / 20; 0 = none is full
  double own = 0;                        // of a step, without waiting for other ranks
  std::array<double, kWorkPhases> of{};  // the same by phase
};
StepTimes step_times() noexcept;
// Median seconds of the last steps, waiting included; 0 while fewer than 3 were done.
double usual_step_seconds() noexcept;

}  // namespace tw
