// Which rank is lost or hangs, from what was heard of each and when. No clock, no socket, no thread: tests drive it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "src/core/error.h"
#include "src/watchdog/beat.h"

namespace tw {

struct RankInfo {
  std::string host;
  int64_t pid = 0;
};

struct Finding {
  ExitCode code = ExitCode::hang;  // or peer_lost
  std::vector<int> ranks;          // at fault; empty = nobody in particular
  bool link = false;               // another host does not answer
  std::string reason;              // one sentence
};

// How patient the watchdog is. All seconds follow from one number.
struct Patience {
  double timeout = 10;
  double silence() const { return 0.7 * timeout; }  // nothing heard, though datagrams came before
  double starved_silence() const { return 3 * silence(); }  // the same of a process that is seen to run
  // No mark by a rank while the others wait: in a step, in reading samples, and elsewhere (start, first steps, evaluation,
  // checkpoint). U: the usual step; before it is known, `elsewhere` holds for all.
  double step(double U) const { return 3 * U + 0.6 * timeout; }
  double reading(double U) const { return 3 * U + 6 * timeout; }
  double elsewhere() const { return 60 * timeout; }
  static constexpr double grace = 0.05;  // for the goodbye of a process that is gone
  static constexpr double confirm = 1;   // that nobody makes progress
  static constexpr double late = 1;      // from one look to the next: then we were stopped ourselves, and know nothing
};

class Detector {
 public:
  // `own` watches `peers`; complete: they and `own` are all ranks, so that a hang can be told (rank 0).
  Detector(std::vector<RankInfo> ranks, int own, std::vector<int> peers, Patience patience, bool complete);

  void heard(int rank, const Beat& beat, double now);  // own beats, too
  void mate_is(int rank, MateState state, double now);
  double heard_ago(int rank, double now) const;        // -1 = never
  bool in_contact(int rank) const { return state(rank).contact; }
  // The last beat of a rank; nullptr = none.
  const Beat* last(int rank) const { return state(rank).known ? &state(rank).beat : nullptr; }

  // Four times a second. now: monotonic.
  std::optional<Finding> judge(double now);
  // Sentences about ranks that are slower than the others; each rank once.
  std::vector<std::string> stragglers();
  // For people: a line a rank, those of `first` on top, at most `most` lines.
  std::string table(double now, const std::vector<int>& first, size_t most = 40) const;
  std::string describe(int rank) const;  // "rank 2 (host n1, pid 123)"

 private:
  struct State {
    bool known = false, contact = false;  // a beat came; datagrams go both ways
    double heard = 0;
    Beat beat;
    MateState seen = MateState::unknown;  // by its neighbour
    double seen_at = 0, gone_at = -1, stopped_at = -1;
  };
  const State& state(int rank) const { return states_[size_t(rank)]; }
  State& state(int rank) { return states_[size_t(rank)]; }
  std::optional<Finding> find_gone(double now) const;
  std::optional<Finding> find_silent(double now) const;
  std::optional<Finding> find_deaf(double now) const;
  std::optional<Finding> find_hang(double now);
  double silence_limit(int rank) const;
  double usual_step() const;
  std::string was_doing(int rank) const;
  std::string name(const std::vector<int>& ranks) const;

  std::vector<RankInfo> ranks_;
  std::vector<State> states_;
  std::vector<bool> warned_;
  int own_;
  std::vector<int> peers_;
  Patience patience_;
  bool complete_;
  double last_look_ = -1, nobody_moves_since_ = -1;
  int64_t judged_window_ = 0;
};

}  // namespace tw
