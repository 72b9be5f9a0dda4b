// The detector on a clock of its own: what is found, when, who is named; and above all what is not found.
#include "src/watchdog/detector.h"

#include <gtest/gtest.h>

#include "tests/watchdog/simulated_job.h"

namespace tw {
namespace {

enum class Fault { stop, kill, loop, block, link, deaf, mute, host };
constexpr Fault kFaults[] = {Fault::stop, Fault::kill, Fault::loop, Fault::block, Fault::link, Fault::deaf, Fault::mute, Fault::host};

struct Scenario {
  int ranks, ranks_a_host, culprit;
  double step_seconds, lost_share;
  Fault fault;
  std::string text() const {
    static const char* const kNames[] = {"stop", "kill", "loop", "block", "link", "deaf", "mute", "host"};
    return fmt::format("{} of rank {} of {} ({} a host), step {} s, {} of the datagrams lost", kNames[int(fault)], culprit, ranks, ranks_a_host,
                       step_seconds, lost_share);
  }
};

Scenario draw(uint64_t seed) {
  const Rng rng{seed, RngStream::test, 1, 0};
  Scenario s;
  s.fault = kFaults[rng.bits(0) % std::size(kFaults)];
  s.ranks = 2 + int(rng.bits(1) % 15);
  s.ranks_a_host = 1 + int(rng.bits(2) % 4);
  s.culprit = 1 + int(rng.bits(3) % uint64_t(s.ranks - 1));
  s.step_seconds = 0.01 * std::pow(10, 3 * rng.uniform(4));  // 10 ms to 10 s
  s.lost_share = rng.bits(5) % 3 == 0 ? 0.2 * rng.uniform(6) : 0;
  const bool link = s.fault == Fault::link || s.fault == Fault::deaf || s.fault == Fault::mute || s.fault == Fault::host;
  if (link) {  // another host than rank 0's
    s.ranks_a_host = std::min(s.ranks_a_host, s.ranks - 1);
    s.culprit = s.ranks_a_host + int(rng.bits(3) % uint64_t(s.ranks - s.ranks_a_host));
  }
  return s;
}

TEST(Detector, NamesTheCulpritOfEachFaultInTime) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const Scenario s = draw(seed);
    SCOPED_TRACE(s.text());
    SimulatedJob job(s.ranks, s.ranks_a_host, seed, s.step_seconds);
    job.lost_share = s.lost_share;
    ASSERT_FALSE(job.run(20 + 8 * s.step_seconds + 3 * job.chance())) << (job.of_leader ? job.of_leader->reason : job.of_follower->second.reason);
    std::vector<int> want = {s.culprit};
    auto& r = job[s.culprit];
    switch (s.fault) {
      case Fault::stop: r.stopped = true; break;
      case Fault::kill: r.gone = true; break;
      case Fault::loop: r.loops = true, r.waiting = false; break;
      case Fault::block: r.blocked = true, r.waiting = false; break;
      default:  // of all ranks of a host
        want.clear();
        for (int o = s.culprit / s.ranks_a_host * s.ranks_a_host; o < std::min(s.ranks, (s.culprit / s.ranks_a_host + 1) * s.ranks_a_host); ++o) {
          want.push_back(o);
          job[o].hears = s.fault == Fault::mute;
          job[o].is_heard = s.fault == Fault::deaf;
          job[o].gone = s.fault == Fault::host;
        }
    }
    const double at = job.now();
    const bool alone = s.ranks_a_host == 1 || (s.culprit / s.ranks_a_host * s.ranks_a_host == s.ranks - 1 && s.ranks % s.ranks_a_host == 1);
    const double limit = s.fault == Fault::loop || s.fault == Fault::block ? 10 + 3.8 * s.step_seconds : 10;
    ASSERT_TRUE(job.run(limit + 1));
    EXPECT_LE(job.now() - at, limit);
    if (job.of_leader) {
      EXPECT_EQ(job.of_leader->ranks, want) << job.of_leader->reason;
      const bool hang = s.fault == Fault::loop || s.fault == Fault::block || (s.fault == Fault::stop && !alone);
      EXPECT_EQ(job.of_leader->code, hang ? ExitCode::hang : ExitCode::peer_lost) << job.of_leader->reason;
      EXPECT_NE(job.of_leader->reason.find("n" + std::to_string(s.culprit / s.ranks_a_host)), std::string::npos) << job.of_leader->reason;
    } else {  // the other side of the link
      EXPECT_TRUE(s.fault == Fault::link || s.fault == Fault::deaf || s.fault == Fault::mute);
      EXPECT_EQ(job.of_follower->second.ranks, std::vector<int>{0});
      EXPECT_EQ(job.of_follower->second.code, ExitCode::peer_lost);
    }
    if (s.fault == Fault::link || s.fault == Fault::deaf || s.fault == Fault::mute) {
      // Both sides know, each by itself.
      job.run(0);
      for (int i = 0; i < 8 && !(job.of_leader && job.of_follower); ++i) job.tick();
      EXPECT_TRUE(job.of_leader && job.of_follower) << "one side alone found it";
    }
  }
}

TEST(Detector, ARankThatIsStoppedBeforeItWasHeardIsNamed) {
  SimulatedJob job(4, 2, 1, 0.1);
  job[3].stopped = true;
  ASSERT_TRUE(job.run(10));
  ASSERT_TRUE(job.of_leader);
  EXPECT_EQ(job.of_leader->ranks, std::vector<int>{3});
  EXPECT_EQ(job.of_leader->code, ExitCode::hang);
}

TEST(Detector, RankZeroIsNamedByTheOthers) {
  for (const bool killed : {false, true}) {
    SimulatedJob job(4, 2, 1, 0.1);
    ASSERT_FALSE(job.run(20));
    (killed ? job[0].gone : job[0].stopped) = true;
    ASSERT_TRUE(job.run(10));
    ASSERT_TRUE(job.of_follower);
    EXPECT_EQ(job.of_follower->second.ranks, std::vector<int>{0});
    EXPECT_EQ(job.of_follower->second.code, killed ? ExitCode::peer_lost : ExitCode::hang) << job.of_follower->second.reason;
    EXPECT_EQ(job.of_follower->first, 1) << "its neighbour knows best";
  }
}

// Beats of `ranks` ranks that all wait in a collective, until something is found; seconds that took.
struct AllWait {
  explicit AllWait(std::vector<int64_t> collectives, float usual_step) : collectives(std::move(collectives)), usual_step(usual_step) {}
  std::optional<Finding> found;
  std::vector<int64_t> collectives;
  float usual_step;
  double until_found(double most) {
    std::vector<RankInfo> infos;
    std::vector<int> others;
    for (int r = 0; r < int(collectives.size()); ++r) {
      infos.push_back({"n" + std::to_string(r), r});
      if (r > 0) others.push_back(r);
    }
    Detector d(infos, 0, others, {}, true);
    double now = 0;
    for (uint64_t n = 1; now < most && !found; ++n, now += 0.25) {
      for (int r = 0; r < int(collectives.size()); ++r) {
        Beat b;
        b.header.number = n, b.heard_ago = 0, b.idle = float(now), b.waiting = 1, b.collectives = collectives[size_t(r)];
        b.phase = uint8_t(WorkPhase::exchange), b.step = 9, b.usual_step = usual_step;
        d.heard(r, b, now);
      }
      found = d.judge(now);
    }
    return now;
  }
};

TEST(Detector, ARankThatWaitsInAnotherCollectiveThanTheRestIsNamed) {
  AllWait job({12, 12, 10, 12}, 1);
  const double took = job.until_found(200);
  ASSERT_TRUE(job.found);
  EXPECT_EQ(job.found->ranks, std::vector<int>{2});
  EXPECT_EQ(job.found->code, ExitCode::hang);
  EXPECT_NEAR(took, 64, 2) << "the exchange itself may be slow: more patience than with a rank that is outside";
}

TEST(Detector, WhereAllWaitInOneCollectiveNobodyIsAccused) {
  AllWait job({12, 12, 12}, 1);
  job.until_found(200);
  ASSERT_TRUE(job.found);
  EXPECT_TRUE(job.found->ranks.empty());
  EXPECT_NE(job.found->reason.find("link"), std::string::npos) << job.found->reason;
  AllWait slow({12, 12, 12}, 100);  // a step takes 100 s in this network
  EXPECT_NEAR(slow.until_found(1000), 361, 2);
}

// --- What must not be found. Each of these is a run without a fault.

class NoFalseAlarm : public testing::Test {
 protected:
  static void expect_quiet(SimulatedJob& job, double seconds, const char* what) {
    EXPECT_FALSE(job.run(seconds)) << what << ": " << (job.of_leader ? job.of_leader->reason : job.of_follower ? job.of_follower->second.reason : "");
  }
};

TEST_F(NoFalseAlarm, EightRanksOnTwoBusyCores) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const double step = 0.05 * std::pow(10, 2 * Rng{seed, RngStream::test, 2, 0}.uniform(0));
    SimulatedJob job(8, 8, seed, step);
    job.lateness = 1.5;
    ASSERT_FALSE(job.run(10 * step + 5));
    // Another job comes: a rank gets between 2 and 25 % of a core from one moment to the next.
    for (int turn = 0; turn < 60 && !job.found(); ++turn) {
      for (int r = 0; r < 8; ++r) job[r].speed = 0.02 + 0.23 * job.chance();
      job.run(5);
    }
    expect_quiet(job, 1, "busy cores");
  }
}

TEST_F(NoFalseAlarm, LongStart) {
  SimulatedJob job(4, 2, 3, 0.1);
  job.jitter = 0;
  // Reads for 30 s, then compiles and touches its memory for two minutes more in the first step.
  for (const auto& [phase, seconds] : {std::pair{WorkPhase::load, 30.0}, {WorkPhase::forward, 120.0}}) {
    job[2].phase = phase, job[2].work_left = seconds, job[2].waiting = false;
    expect_quiet(job, seconds, "start");
  }
  expect_quiet(job, 60, "after the start");
}

TEST_F(NoFalseAlarm, EvaluationCheckpointAndOtherWork) {
  SimulatedJob job(4, 2, 4, 0.05);
  ASSERT_FALSE(job.run(20));
  for (const auto& [phase, seconds] : {std::pair{WorkPhase::evaluate, 500.0}, {WorkPhase::checkpoint, 500.0}, {WorkPhase::between_steps, 300.0},
                                       {WorkPhase::data, 45.0}, {WorkPhase::other, 50000.0}}) {
    for (int r = 0; r < 4 && job[1].waiting; ++r) job.tick();
    job[1].phase = phase, job[1].work_left = seconds, job[1].waiting = false;
    expect_quiet(job, seconds, std::string(name_of(phase)).c_str());
    expect_quiet(job, 5, "after it");
  }
}

TEST_F(NoFalseAlarm, AStepThatTakesThreeTimesAsLong) {
  for (const double step : {0.1, 1.0, 10.0, 100.0}) {
    SimulatedJob job(4, 4, 6, step);
    job.jitter = 0;
    ASSERT_FALSE(job.run(6 * step + 5));
    for (int r = 0; r < 40000 && job[1].waiting; ++r) job.tick();
    job[1].work_left = 2.4 * step, job[1].waiting = false;
    expect_quiet(job, 6 * step, "a long step");
  }
}

TEST_F(NoFalseAlarm, ALinkThatIsDownForFiveSeconds) {
  SimulatedJob job(6, 2, 7, 0.2);
  ASSERT_FALSE(job.run(20));
  for (int turn = 0; turn < 20; ++turn) {
    for (const int r : {2, 3}) job[r].hears = job[r].is_heard = false;
    expect_quiet(job, 5, "link down");
    for (const int r : {2, 3}) job[r].hears = job[r].is_heard = true;
    expect_quiet(job, 3, "link up");
  }
}

TEST_F(NoFalseAlarm, ManyDatagramsAreLost) {
  SimulatedJob job(16, 4, 8, 0.2);
  job.lost_share = 0.3, job.lateness = 1;
  expect_quiet(job, 3600, "three of ten datagrams lost for an hour");
}

TEST_F(NoFalseAlarm, AMachineThatIsSuspended) {
  SimulatedJob job(4, 4, 9, 0.2);
  ASSERT_FALSE(job.run(20));
  for (const double seconds : {2.0, 30.0, 100000.0}) {
    job.paused = true;
    job.run(seconds);
    job.paused = false;
    expect_quiet(job, 10, "after the pause");
  }
}

TEST_F(NoFalseAlarm, RanksThatNeverWereHeard) {
  SimulatedJob job(4, 1, 10, 0.2);  // a firewall
  for (int r = 1; r < 4; ++r) job[r].hears = job[r].is_heard = false;
  expect_quiet(job, 100, "no datagram passes");
}

TEST_F(NoFalseAlarm, ARankThatSaysGoodbye) {
  std::vector<RankInfo> infos = {{"a", 1}, {"a", 2}};
  Detector d(infos, 0, {1}, {}, true);
  Beat own, other;
  other.leaving = 1, other.heard_ago = 0, own.mate = 1, own.mate_state = MateState::gone;
  double now = 0;
  for (uint64_t n = 1; n < 4; ++n, now += 0.25) {
    other.header.number = n;
    d.heard(1, other, now);
    EXPECT_FALSE(d.judge(now));
  }
  for (uint64_t n = 1; now < 7; ++n, now += 0.25) {
    own.header.number = n;
    d.heard(0, own, now);
    EXPECT_FALSE(d.judge(now)) << "it ends by an error of its own";
  }
  for (; now < 20 && !d.judge(now); now += 0.25) {}
  EXPECT_LT(now, 20) << "but who stays behind must not stay for ever";
}

TEST(Detector, WarnsOfAStragglerOnceAndSaysWhere) {
  SimulatedJob job(4, 2, 11, 2);
  job.jitter = 0.05;
  job[3].speed = 0.5, job[3].excused_share = 1;
  EXPECT_FALSE(job.run(600));
  ASSERT_EQ(job.warnings.size(), 1u);
  EXPECT_NE(job.warnings[0].find("rank 3 (host n1"), std::string::npos) << job.warnings[0];
  EXPECT_NE(job.warnings[0].find("forward"), std::string::npos) << job.warnings[0];
  SimulatedJob even(4, 2, 12, 2);
  even.jitter = 0.2;
  EXPECT_FALSE(even.run(600));
  EXPECT_TRUE(even.warnings.empty()) << even.warnings[0];
}

TEST(Detector, TheTableHasALineForEachRank) {
  SimulatedJob job(3, 1, 13, 0.5);
  EXPECT_FALSE(job.run(20));
  Detector d({{"a", 1}, {"b", 2}}, 0, {1}, {}, true);
  const std::string table = d.table(0, {1});
  EXPECT_NE(table.find("never"), std::string::npos) << table;
  EXPECT_NE(table.find("collective"), std::string::npos) << table;
}

TEST(Detector, OldDatagramsThatComeLateSayNothing) {
  Detector d({{"a", 1}, {"b", 2}}, 0, {1}, {}, true);
  Beat b;
  b.header.number = 5, b.step = 7;
  d.heard(1, b, 1);
  b.header.number = 4, b.step = 6;
  d.heard(1, b, 2);
  EXPECT_EQ(d.last(1)->step, 7);
  EXPECT_EQ(d.heard_ago(1, 2), 1);
}

}  // namespace
}  // namespace tw
