// A job of ranks that compute, wait for each other and beat, on a clock of its own. What goes wrong is said by the test.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "src/core/rng.h"
#include "src/watchdog/detector.h"

namespace tw {

class SimulatedJob {
 public:
  struct Rank {
    WorkPhase phase = WorkPhase::forward;
    double work_left = 0;       // seconds with a core to itself, until the next collective
    double speed = 1;           // share of a core; the rest of the time is excused
    bool stopped = false, gone = false, loops = false, blocked = false;
    double excused_share = 1;   // of the time without a core, what the kernel tells of
    bool hears = true, is_heard = true;  // the two directions of the link to rank 0
    // What it knows and says.
    bool waiting = false;
    int64_t step = -1, collectives = 0;
    double since = 0, excused = 0, heard_leader = -1;
    std::vector<double> steps;  // seconds of the last
    double step_began = 0;
    uint64_t number = 0;
    double own = 0;             // of this step
    std::vector<double> owns;
  };

  SimulatedJob(int ranks, int ranks_a_host, uint64_t seed, double step_seconds, Patience patience = {})
      : rng_{seed, RngStream::test, 0, 0}, step_seconds_(step_seconds), ranks_(size_t(ranks)) {
    std::vector<RankInfo> infos;
    std::vector<int> others;
    for (int r = 0; r < ranks; ++r) {
      infos.push_back({"n" + std::to_string(r / ranks_a_host), 1000 + r});
      if (r > 0) others.push_back(r);
    }
    leader_.emplace(infos, 0, others, patience, true);
    for (int r = 0; r < ranks; ++r) followers_.emplace_back(infos, r, std::vector<int>{0}, patience, false);
    ranks_a_host_ = ranks_a_host;
    for (Rank& r : ranks_) r.work_left = work();
  }

  Rank& operator[](int r) { return ranks_[size_t(r)]; }
  int size() const { return int(ranks_.size()); }
  double now() const { return now_; }
  double chance() { return rng_.uniform(draws_++); }
  double lost_share = 0;                 // of datagrams
  double lateness = 0;                   // of a beat, at most, seconds
  double jitter = 0.2;                   // of a segment's work
  bool paused = false;                   // all ranks at once, as a machine that is suspended with a clock that goes on
  std::optional<Finding> of_leader;
  std::optional<std::pair<int, Finding>> of_follower;  // the first
  std::vector<std::string> warnings;

  // Until something is found, or `seconds` have passed; true = found.
  bool run(double seconds) {
    for (const double end = now_ + seconds; now_ < end && !found();) tick();
    return found();
  }
  bool found() const { return of_leader || of_follower; }

  void tick() {
    constexpr double kTick = 0.25;
    now_ += kTick;
    if (paused) return;
    for (Rank& r : ranks_) compute(r, kTick);
    exchange();
    // As the watchdog: judged first, then told.
    if (alive(0) && !of_leader) {
      of_leader = leader_->judge(now_);
      for (auto& text : leader_->stragglers()) warnings.push_back(text);
    }
    for (int r = 1; r < size(); ++r)
      if (alive(r) && !of_follower)
        if (auto found = followers_[size_t(r)].judge(now_)) of_follower.emplace(r, *found);
    for (int r = 0; r < size(); ++r) beat(r);
  }

 private:
  double work() { return step_seconds_ / kSegments * (1 - jitter + 2 * jitter * chance()); }
  bool alive(int r) const { return !ranks_[size_t(r)].stopped && !ranks_[size_t(r)].gone; }
  void mark(Rank& r) { r.since = now_, r.excused = 0; }

  void compute(Rank& r, double dt) {
    if (r.stopped || r.gone || r.waiting) return;
    r.excused += dt * (1 - r.speed) * r.excused_share;
    r.own += dt;
    if (r.loops || r.blocked) return;
    r.work_left -= dt * r.speed;
    if (r.work_left > 0) return;
    r.waiting = true;
    ++r.collectives;
    mark(r);
  }

  // As many collectives as are complete; steps shorter than a tick pass several at once.
  void exchange() {
    for (const Rank& r : ranks_)
      if (!r.waiting || r.gone) return;
    for (Rank& r : ranks_) {
      r.waiting = false;
      if (!r.stopped) mark(r);
      r.work_left = work();
      if (r.collectives % kSegments == 0) {
        r.steps.push_back(now_ - r.step_began);
        r.owns.push_back(r.own);
        r.own = 0, r.step_began = now_, ++r.step;
        r.phase = WorkPhase::forward;
      } else {
        r.phase = WorkPhase::optimizer;
      }
    }
  }

  static double median(std::vector<double> v) {
    v.erase(v.begin(), v.end() - std::ptrdiff_t(std::min<size_t>(v.size(), kStepsOfAWindow)));
    std::nth_element(v.begin(), v.begin() + std::ptrdiff_t(v.size() / 2), v.end());
    return v[v.size() / 2];
  }

  MateState seen(int r) const {
    return ranks_[size_t(r)].gone ? MateState::gone : ranks_[size_t(r)].stopped ? MateState::stopped : MateState::runs;
  }
  bool arrives() { return chance() >= lost_share; }

  void beat(int index) {
    Rank& r = ranks_[size_t(index)];
    if (!alive(index)) return;
    Beat b;
    b.header.rank = index, b.header.number = ++r.number;
    b.step = r.step, b.collectives = r.collectives, b.phase = uint8_t(r.phase), b.waiting = r.waiting;
    b.idle = float(now_ - r.since), b.excused = float(r.excused);
    b.usual_step = r.steps.size() >= 3 ? float(median(r.steps)) : 0;
    b.window = int64_t(r.steps.size()) / kStepsOfAWindow;
    b.own = r.owns.empty() ? 0 : float(median(r.owns));
    b.own_of[size_t(WorkPhase::forward)] = b.own;
    const int first = index / ranks_a_host_ * ranks_a_host_, there = std::min(ranks_a_host_, size() - first);
    if (there > 1) b.mate = first + (index - first + 1) % there, b.mate_state = seen(b.mate);
    if (index == 0) {
      leader_->heard(0, b, now_);
      followers_[0].heard(0, b, now_);
      for (int to = 1; to < size(); ++to) {
        b.heard_ago = float(leader_->heard_ago(to, now_));
        if (alive(to) && ranks_[size_t(to)].hears && arrives()) followers_[size_t(to)].heard(0, b, now_ - lateness * chance());
      }
      return;
    }
    followers_[size_t(index)].heard(index, b, now_);
    b.heard_ago = float(followers_[size_t(index)].heard_ago(0, now_));
    if (alive(0) && r.is_heard && arrives()) leader_->heard(index, b, now_ - lateness * chance());
  }

  static constexpr int kSegments = 2;  // of a step
  Rng rng_;
  uint64_t draws_ = 0;
  double step_seconds_, now_ = 100;
  std::vector<Rank> ranks_;
  int ranks_a_host_;
  std::optional<Detector> leader_;
  std::vector<Detector> followers_;
};

}  // namespace tw
