#include "src/watchdog/detector.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace tw {
namespace {
constexpr double kFresh = 2.5;  // seconds for which what was heard is taken for the present
}

Detector::Detector(std::vector<RankInfo> ranks, int own, std::vector<int> peers, Patience patience, bool complete)
    : ranks_(std::move(ranks)), states_(ranks_.size()), warned_(ranks_.size()), own_(own), peers_(std::move(peers)), patience_(patience),
      complete_(complete) {}

void Detector::heard(int rank, const Beat& beat, double now) {
  State& s = state(rank);
  if (s.known && beat.header.number <= s.beat.header.number) return;
  s.known = true;
  s.heard = now;
  s.beat = beat;
  s.contact |= beat.heard_ago >= 0;
  if (beat.mate >= 0 && beat.mate < int(states_.size())) mate_is(beat.mate, beat.mate_state, now);
}

void Detector::mate_is(int rank, MateState seen, double now) {
  State& s = state(rank);
  s.seen = seen, s.seen_at = now;
  if (seen != MateState::stopped) s.stopped_at = -1;
  else if (s.stopped_at < 0) s.stopped_at = now;
  if (seen == MateState::gone && s.gone_at < 0) s.gone_at = now;
}

double Detector::heard_ago(int rank, double now) const { return state(rank).known ? now - state(rank).heard : -1; }

std::string Detector::describe(int rank) const {
  const RankInfo& r = ranks_[size_t(rank)];
  return fmt::format("rank {} (host {}, pid {})", rank, r.host, r.pid);
}

// Ranks of whole hosts are named by the host.
std::string Detector::name(const std::vector<int>& ranks) const {
  if (ranks.size() == 1) return describe(ranks[0]);
  std::map<std::string, std::vector<int>> by_host;
  for (const int r : ranks) by_host[ranks_[size_t(r)].host].push_back(r);
  std::string text;
  size_t shown = 0;
  for (const auto& [host, of] : by_host) {
    if (shown++ == 8) return text + fmt::format(" and {} more hosts", by_host.size() - 8);
    const auto there = size_t(std::count_if(ranks_.begin(), ranks_.end(), [&](const RankInfo& r) { return r.host == host; }));
    text += text.empty() ? "" : ", ";
    text += of.size() == there && there > 1 ? fmt::format("all {} ranks of host {} ({} to {})", there, host, of.front(), of.back()) : "";
    if (of.size() == there && there > 1) continue;
    for (size_t i = 0; i < std::min<size_t>(of.size(), 8); ++i) text += (i ? ", " : "") + describe(of[i]);
    if (of.size() > 8) text += fmt::format(" and {} more of host {}", of.size() - 8, host);
  }
  return text;
}

std::string Detector::was_doing(int rank) const {
  if (!state(rank).known) return "nothing is known of what it did";
  const Beat& b = state(rank).beat;
  const auto phase = WorkPhase(b.phase);
  std::string text = fmt::format("{} {}", b.waiting ? "waiting in" : "in", name_of(phase));
  if (is_of_a_step(phase) && b.step >= 0) text += fmt::format(" of step {}", b.step + 1);
  if (b.step >= 0) text += fmt::format(", last step done {}", b.step);
  if (b.collectives > 0) text += fmt::format(", collective {} ({})", b.collectives, b.collective);
  return text;
}

double Detector::usual_step() const {
  double usual = 0;
  for (const State& s : states_) {
    if (!s.known || !(s.beat.usual_step > 0)) return 0;
    usual = std::max(usual, double(s.beat.usual_step));
  }
  return usual;
}

double Detector::silence_limit(int rank) const {
  const State& s = state(rank);
  // A process that its neighbour sees run, and that says nothing, is starved.
  if (s.seen == MateState::runs && last_look_ - s.seen_at < kFresh) return patience_.starved_silence();
  return s.beat.leaving ? 2 * patience_.silence() : patience_.silence();
}

std::optional<Finding> Detector::find_gone(double now) const {
  Finding found{.code = ExitCode::peer_lost};
  for (const int r : peers_) {
    const State& s = state(r);
    if (s.gone_at < 0) continue;
    // One that said goodbye ends by an error of its own, which it tells itself; the others are about to be ended.
    if (now - s.gone_at < (s.beat.leaving ? patience_.silence() : Patience::grace)) continue;
    found.ranks.push_back(r);
  }
  if (found.ranks.empty()) return std::nullopt;
  const bool one = found.ranks.size() == 1;
  found.reason = fmt::format("{} {} gone, killed or crashed {}", name(found.ranks), one ? "is" : "are", was_doing(found.ranks[0]));
  return found;
}

std::optional<Finding> Detector::find_silent(double now) const {
  Finding found{.code = ExitCode::peer_lost};
  double longest = 0;
  bool over = false;
  for (const int r : peers_) {
    const State& s = state(r);
    // One that was stopped before its first words is missed, too.
    if ((!s.contact && s.stopped_at < 0) || s.gone_at >= 0) continue;
    const double silent = now - (s.contact ? s.heard : s.stopped_at), limit = silence_limit(r);
    if (silent < 0.75 * limit) continue;  // those that are lost at the same time are named together
    over |= silent >= limit;
    longest = std::max(longest, silent);
    found.ranks.push_back(r);
  }
  if (!over) return std::nullopt;
  const auto stopped = [&](int r) { return state(r).seen == MateState::stopped && now - state(r).seen_at < kFresh; };
  const bool one = found.ranks.size() == 1, all_stopped = std::all_of(found.ranks.begin(), found.ranks.end(), stopped);
  std::set<std::string> lost_hosts, answering;
  for (const int r : found.ranks) lost_hosts.insert(ranks_[size_t(r)].host);
  for (const int r : peers_)
    if (state(r).known && now - state(r).heard < 0.5 * patience_.silence()) answering.insert(ranks_[size_t(r)].host);
  answering.insert(ranks_[size_t(own_)].host);
  found.link = !all_stopped && !lost_hosts.contains(ranks_[size_t(own_)].host);
  std::string why = "its process is stopped, or its host or the link to it is down";
  if (all_stopped) {
    found.code = ExitCode::hang;
    why = "stopped by a signal or a debugger";
  } else if (answering.size() == 1 && *answering.begin() == ranks_[size_t(own_)].host && lost_hosts.size() > 1) {
    why = "the link of this host is down, or all the others are";
  } else if (std::none_of(lost_hosts.begin(), lost_hosts.end(), [&](const std::string& h) { return answering.contains(h); })) {
    why = "the host is down, or the link to it";
  } else if (std::all_of(lost_hosts.begin(), lost_hosts.end(), [&](const std::string& h) { return answering.contains(h); })) {
    why = "other ranks of the host answer: the process is stopped or starved";
  }
  found.reason = fmt::format("{} {} silent for {:.1f} s ({}), last seen {}", name(found.ranks), one ? "is" : "are", longest, why,
                             was_doing(found.ranks[0]));
  return found;
}

// Half a link: they talk, but do not hear us.
std::optional<Finding> Detector::find_deaf(double now) const {
  Finding found{.code = ExitCode::peer_lost, .link = true};
  double longest = 0;
  for (const int r : peers_) {
    const State& s = state(r);
    if (!s.contact || now - s.heard > 0.5 * patience_.silence() || s.beat.heard_ago < patience_.silence()) continue;
    longest = std::max(longest, double(s.beat.heard_ago));
    found.ranks.push_back(r);
  }
  if (found.ranks.empty()) return std::nullopt;
  found.reason = fmt::format("{} {} heard, but did not hear rank {} (host {}) for {:.1f} s: the link is open in one direction alone; last seen {}",
                             name(found.ranks), found.ranks.size() == 1 ? "is" : "are", own_, ranks_[size_t(own_)].host, longest,
                             was_doing(found.ranks[0]));
  return found;
}

std::optional<Finding> Detector::find_hang(double now) {
  const double U = usual_step();
  std::vector<int> still;
  size_t waiting = 0;
  double least_wait = 1e300;
  int64_t latest = 0;
  bool moves = false;
  for (size_t r = 0; r < states_.size() && !moves; ++r) {
    const State& s = states_[r];
    // What is not known for certain is taken for progress.
    if (!s.known || s.beat.leaving || (int(r) != own_ && now - s.heard > kFresh)) {
      moves = true;
      break;
    }
    const Beat& b = s.beat;
    latest = std::max(latest, b.collectives);
    if (b.waiting) {
      ++waiting;
      least_wait = std::min(least_wait, double(b.idle));
      continue;
    }
    const auto phase = WorkPhase(b.phase);
    double limit = patience_.elsewhere();
    if (phase == WorkPhase::other) limit = 1e300;
    else if (phase == WorkPhase::data && U > 0) limit = patience_.reading(U);
    else if (is_of_a_step(phase) && U > 0) limit = patience_.step(U);
    // Time in which it waited for a core or the disk is no sign of a hang: what is left must be more than a step takes.
    const double worked = b.idle - b.excused;
    if (b.idle < limit || worked < 1.5 * U + 0.1 * (limit - 3 * U)) moves = true;
    still.push_back(int(r));
  }
  if (!moves && still.empty()) moves = least_wait < (U > 0 ? patience_.reading(U) : patience_.elsewhere());
  if (!moves && !still.empty() && waiting > 0) moves = least_wait < 0.25 * patience_.timeout;
  if (moves) {
    nobody_moves_since_ = -1;
    return std::nullopt;
  }
  if (nobody_moves_since_ < 0) nobody_moves_since_ = now;
  if (now - nobody_moves_since_ < Patience::confirm) return std::nullopt;

  // Who is behind: those outside of a collective, of them or of all the ones with the lowest number.
  Finding found{.code = ExitCode::hang};
  const bool all_wait = still.empty();
  if (all_wait)
    for (size_t r = 0; r < states_.size(); ++r) still.push_back(int(r));
  int64_t lowest = INT64_MAX;
  for (const int r : still) lowest = std::min(lowest, state(r).beat.collectives);
  for (const int r : still)
    if (state(r).beat.collectives == lowest) found.ranks.push_back(r);
  if (found.ranks.size() == states_.size()) {
    const Beat& b = states_[0].beat;
    found.ranks.clear();
    found.reason = fmt::format("no rank makes progress since {:.1f} s: all are {}", double(b.idle), was_doing(0));
    if (all_wait && states_.size() > 2) found.reason += "; a link between two of them may be down";
    return found;
  }
  double idle = 0;
  for (const int r : found.ranks) idle = std::max(idle, double(state(r).beat.idle));
  const bool one = found.ranks.size() == 1;
  found.reason = fmt::format("{} {} no progress since {:.1f} s {}, while {}", name(found.ranks), one ? "makes" : "make", idle,
                             was_doing(found.ranks[0]),
                             all_wait ? fmt::format("the others wait in collective {}", latest)
                                      : fmt::format("{} of {} ranks wait for {} in collective {}", waiting, states_.size(), one ? "it" : "them", latest));
  return found;
}

std::optional<Finding> Detector::judge(double now) {
  if (last_look_ >= 0 && now - last_look_ > Patience::late) {
    // Stopped, suspended or starved ourselves: nothing could be heard meanwhile.
    const double missed = now - last_look_;
    for (State& s : states_) {
      s.heard = std::min(now, s.heard + missed), s.seen_at = std::min(now, s.seen_at + missed);
      if (s.gone_at >= 0) s.gone_at = std::min(now, s.gone_at + missed);
      if (s.stopped_at >= 0) s.stopped_at = std::min(now, s.stopped_at + missed);
    }
    nobody_moves_since_ = -1;
  }
  last_look_ = now;
  if (auto found = find_gone(now)) return found;
  if (auto found = find_silent(now)) return found;
  if (auto found = find_deaf(now)) return found;
  return complete_ ? find_hang(now) : std::nullopt;
}

std::vector<std::string> Detector::stragglers() {
  if (!complete_ || states_.size() < 2) return {};
  int64_t first = INT64_MAX, last = 0;
  std::vector<float> own;
  for (const State& s : states_) {
    if (!s.known || s.beat.window == 0) return {};
    first = std::min(first, s.beat.window), last = std::max(last, s.beat.window);
    own.push_back(s.beat.own);
  }
  if (first <= judged_window_) return {};  // a rank's time is not judged twice
  judged_window_ = last;
  const auto lower_median = [](std::vector<float> v) {
    const auto middle = v.begin() + std::ptrdiff_t((v.size() - 1) / 2);
    std::nth_element(v.begin(), middle, v.end());
    return double(*middle);
  };
  const double usual = lower_median(own);
  std::vector<std::string> sentences;
  for (size_t r = 0; r < states_.size(); ++r) {
    if (warned_[r] || own[r] <= 1.3 * usual || own[r] - usual < 1e-3) continue;
    warned_[r] = true;
    int slowest = 0;
    double most = -1e300;
    for (int p = 0; p < kWorkPhases; ++p) {
      std::vector<float> of;
      for (const State& s : states_) of.push_back(s.beat.own_of[size_t(p)]);
      if (const double more = double(states_[r].beat.own_of[size_t(p)]) - lower_median(of); more > most) most = more, slowest = p;
    }
    sentences.push_back(fmt::format("{} is slow: its own part of a step took {:.3g} s in the last {} steps, {:.1f} x the median of all ranks; "
                                    "most of it is lost in {}. The others wait for it",
                                    describe(int(r)), own[r], kStepsOfAWindow, own[r] / std::max(usual, 1e-9), name_of(WorkPhase(slowest))));
  }
  return sentences;
}

std::string Detector::table(double now, const std::vector<int>& first, size_t most) const {
  std::vector<int> order = first;
  for (int r = 0; r < int(states_.size()); ++r)
    if (std::find(first.begin(), first.end(), r) == first.end() && state(r).known) order.push_back(r);
  size_t host = 4;
  for (const RankInfo& r : ranks_) host = std::max(host, r.host.size());
  std::string text = fmt::format("{:>5}  {:<{}}  {:>8}  {:<12}  {:>8}  {:<22}  {:>7}", "rank", "host", host, "heard", "phase", "step", "collective", "idle");
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == most) return text + fmt::format("\n... and {} more", order.size() - most);
    const int r = order[i];
    const State& s = state(r);
    const Beat& b = s.beat;
    const std::string heard = s.gone_at >= 0 ? "gone" : !s.known ? "never" : r == own_ ? "self" : fmt::format("{:.1f} s ago", now - s.heard);
    text += fmt::format("\n{:>5}  {:<{}}  {:>8}  {:<12}  {:>8}  {:<22}  {:>6.1f}s", r, ranks_[size_t(r)].host, host, heard,
                        s.known ? name_of(WorkPhase(b.phase)) : "", b.step, fmt::format("{} {}{}", b.collectives, b.collective, b.waiting ? " (waits)" : ""),
                        b.idle);
  }
  return text;
}

}  // namespace tw
