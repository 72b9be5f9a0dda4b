// What becomes of a bit that flips: flips by the thousand at named places of a small training run, over ranks as threads, and how many of
// those that change the weights are found, how soon, and whether the right rank is named and the run ends with the weights of one nobody touched.
//   bit_flips [--flips N] [--clean STEPS] [--seed S] [--interval K]
// Ends with 1 where a goal is missed. Wants a build with fault points.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "comm/self.h"
#include "src/core/clock.h"
#include "src/core/fault.h"
#include "src/core/rng.h"
#include "src/core/thread_team.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace tw {
namespace {

#if defined(TW_FAULT_POINTS)

constexpr int64_t kStart = 80;    // steps before the flips: the windows of loss and norm are full
constexpr int64_t kFlipWithin = 3, kFindWithin = 10, kSteps = kFlipWithin + kFindWithin;

struct Place {
  const char* point;
  const char* what;
  bool always_found;  // by design, whatever bit it is
  int ranks = 1;      // fewest
};
constexpr Place kPlaces[] = {
    {"train.weights", "compute weights, during a step", true},
    {"train.gathered", "compute weights, after they were gathered", true},
    {"train.master", "master weights", true},
    {"train.m", "optimiser state m", true},
    {"train.v", "optimiser state v", true},
    {"train.sending", "gradient bucket, as it is sent", true, 2},
    {"train.arriving", "gradient bucket, as it arrives", true, 2},
    {"train.summed", "summed gradients, until the update", true},
    {"train.gradient", "gradients, while they are added up", false},
    {"train.activation", "activations and their gradients", false},
};

struct Setting {
  int ranks;
  DType dtype;
  int64_t interval;
  bool checks;
  int64_t recompute_interval = 0;
};

std::filesystem::path folder_of(DType dtype) {
  return std::filesystem::temp_directory_path() / fmt::format("tw-bit-flips-{}", ::getpid()) / name_of(dtype);
}

std::unique_ptr<Trainer> make_trainer(const Setting& s, Communicator& comm, const Stream& stream) {
  TrainerOptions options = train_options({.dtype = s.dtype});
  options.integrity = {.enabled = s.checks, .interval = s.interval, .recompute_interval = s.recompute_interval};
  return std::make_unique<Trainer>(options, made_up_batches(), comm, stream);
}

// Hash and loss after each step of the run nobody touched, from the checkpoint on.
struct Untouched {
  std::vector<std::string> hashes;
  std::vector<float> losses;
};

Untouched prepare(DType dtype) {
  Untouched u;
  ThreadTeam team(1);
  const auto comm = make_self_communicator();
  const auto trainer = make_trainer({1, dtype, 1, true}, *comm, Stream(team));
  trainer->initialize(1);
  for (int64_t s = 0; s < kStart; ++s) trainer->step();
  CheckpointInfo info;
  trainer->describe(info);
  save_checkpoint({.folder = folder_of(dtype)}, info, trainer->slices(), *comm);
  for (int64_t s = 0; s < kSteps; ++s) u.losses.push_back(trainer->step().loss), u.hashes.push_back(weights_hash(*trainer));
  return u;
}

struct Result {
  bool flipped = false, changed = false;  // changed: the weights at the end are others
  bool found = false, right_rank = false, mended = false, went_back = false;
  int64_t steps_to_find = 0;
  float loss = 0;
};

Result run(const Setting& s, const std::string& fault, int rank, const Untouched& untouched) {
  Result result;
  set_fault(fault);
  run_ranks(s.ranks, [&](Communicator& comm) {
    ThreadTeam team(1);
    const auto checkpoint = Checkpoint::open(folder_of(s.dtype), false);
    const auto trainer = make_trainer(s, comm, Stream(team));
    trainer->load(checkpoint, true);
    Result r;
    int64_t flip_step = 0;
    std::vector<Alarm> alarms;
    while (trainer->steps_done() < kStart + kSteps) {
      const int64_t step = trainer->steps_done() + 1;
      try {
        r.loss = trainer->step().loss;
      } catch (const Corruption& wrong) {
        r.went_back = true;
        trainer->load(checkpoint, true);
      }
      if (flip_step == 0 && !last_flip().empty()) flip_step = step;
    }
    if (s.checks) trainer->check_replicas();  // as before each checkpoint
    alarms = trainer->integrity().alarms();
    r.flipped = flip_step > 0;
    r.changed = weights_hash(*trainer) != untouched.hashes.back();
    r.found = !alarms.empty();
    r.right_rank = r.found && std::any_of(alarms.begin(), alarms.end(), [&](const Alarm& a) { return a.rank == rank || a.sender == rank; });
    r.mended = r.found && !r.went_back;
    if (r.found) r.steps_to_find = std::max<int64_t>(0, alarms[0].step - flip_step);
    if (comm.rank() == rank % comm.size()) result = r;
  });
  return result;
}

struct Row {
  int flips = 0, changing = 0, found = 0, right_rank = 0, mended = 0, went_back = 0, restored = 0;
  int64_t slowest = 0;
  int twice_found = 0, twice_right_rank = 0, twice_restored = 0;  // where each step is computed twice
  double worst_loss = 0;  // change of the loss after kSteps, of those that changed the weights and were not found
};

struct Clean {
  int64_t steps = 0, alarms = 0;
  double seconds = 0;
};

// Steps without a flip, on two ranks.
Clean run_clean(int64_t steps, DType dtype, int64_t interval, int64_t recompute_interval) {
  Clean clean{.steps = steps};
  set_fault("");
  const double start = now_seconds();
  run_ranks(2, [&](Communicator& comm) {
    ThreadTeam team(1);
    TrainerOptions options = train_options({.dtype = dtype, .virtual_ranks = 2, .global_batch_size = 2});
    options.integrity.interval = interval, options.integrity.recompute_interval = recompute_interval;
    Trainer trainer(options, made_up_batches(), comm, Stream(team));
    trainer.initialize(1);
    for (int64_t s = 0; s < steps; ++s) {
      trainer.step();
      if (s % 1000 == 999) trainer.check_replicas();
    }
    if (comm.rank() == 0) clean.alarms = int64_t(trainer.integrity().alarms().size());
  });
  clean.seconds = now_seconds() - start;
  return clean;
}

// A device that errs in every micro-batch: the steps until it is named.
int64_t run_faulty_device(int ranks, int rank) {
  int64_t named = -1;
  set_fault(fmt::format("train.activation:{}:1:flips:9", rank));
  run_ranks(ranks, [&](Communicator& comm) {
    ThreadTeam team(1);
    const auto trainer = make_trainer({ranks, DType::fp32, 1, true}, comm, Stream(team));
    trainer->initialize(1);
    try {
      for (int s = 0; s < 300; ++s) trainer->step();
    } catch (const Corruption& wrong) {
      if (comm.rank() == 0 && wrong.lasting && wrong.alarm.rank == rank) named = wrong.alarm.step;
    } catch (const Error& e) {
      if (e.code() != ExitCode::numerics) throw;
    }
  });
  set_fault("");
  return named;
}

int inject(int flips, int64_t clean_steps, uint64_t seed, int64_t interval) {
  // Each flip is warned of: not here.
  ::fflush(stderr);
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(null, STDERR_FILENO);
  std::map<DType, Untouched> untouched;
  for (const DType dtype : {DType::fp32, DType::bf16}) untouched[dtype] = prepare(dtype);

  std::map<std::string, Row> rows;
  std::map<std::string, long> passes;  // of a point on a rank in the steps in which it may flip
  const Rng rng{seed, RngStream::test, 0xb17};
  for (int i = 0; i < flips; ++i) {
    const Place& place = kPlaces[size_t(i) % std::size(kPlaces)];
    const auto draw = [&](uint64_t which, uint64_t below) { return rng.bits64(uint64_t(i) * 8 + which) % below; };
    Setting s{.ranks = 1 << draw(0, 3), .dtype = draw(1, 2) ? DType::bf16 : DType::fp32, .interval = interval, .checks = true};
    if (s.ranks < place.ranks) s.ranks = 2;
    const int rank = int(draw(2, uint64_t(s.ranks)));
    const std::string key = fmt::format("{} {} {}", place.point, s.ranks, name_of(s.dtype));
    if (!passes.contains(key)) {
      set_fault(fmt::format("{}:{}:0:flip", place.point, rank));
      run_ranks(s.ranks, [&](Communicator& comm) {
        ThreadTeam team(1);
        const auto trainer = make_trainer(s, comm, Stream(team));
        trainer->load(Checkpoint::open(folder_of(s.dtype), false), true);
        for (int64_t k = 0; k < kFlipWithin; ++k) trainer->step();
      });
      passes[key] = fault_passes();
    }
    const std::string fault = fmt::format("{}:{}:{}:flip:{}", place.point, rank, 1 + draw(3, uint64_t(passes[key])), draw(4, 1u << 30));
    Setting unchecked = s;
    unchecked.checks = false;
    const Untouched& reference = untouched[s.dtype];
    const bool changes = run(unchecked, fault, rank, reference).changed;
    const Result r = run(s, fault, rank, reference);
    Row& row = rows[place.point];
    ++row.flips;
    row.changing += changes;
    if (changes && r.found && r.steps_to_find <= kFindWithin) {
      ++row.found;
      row.right_rank += r.right_rank, row.mended += r.mended, row.went_back += r.went_back, row.restored += !r.changed;
      row.slowest = std::max(row.slowest, r.steps_to_find);
    }
    if (changes && !place.always_found) {
      s.recompute_interval = 1;
      const Result twice = run(s, fault, rank, reference);
      row.twice_found += twice.found && twice.steps_to_find <= kFindWithin;
      row.twice_right_rank += twice.right_rank, row.twice_restored += twice.found && !twice.changed;
    }
    if (changes && !r.found) row.worst_loss = std::max(row.worst_loss, double(std::abs(r.loss - reference.losses.back())));
  }

  int changing = 0, found = 0, named = 0, restored = 0;
  Row arithmetic;
  bool good = true;
  fmt::print("{:<44}{:>7}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}  {}\n", "place of the flip", "flips", "changing", "found", "", "rank", "again", "back", "restored", "missed: loss");
  for (const Place& place : kPlaces) {
    const Row& row = rows[place.point];
    fmt::print("{:<44}{:>7}{:>10}{:>8}{:>7.1f}%{:>8}{:>8}{:>8}{:>9}  {}\n", place.what, row.flips, row.changing, row.found,
               row.changing ? 100.0 * row.found / row.changing : 100.0, row.right_rank, row.mended, row.went_back, row.restored,
               row.found == row.changing ? "" : fmt::format("{:.2g}", row.worst_loss));
    if (!place.always_found) {
      arithmetic.changing += row.changing, arithmetic.twice_found += row.twice_found;
      arithmetic.twice_right_rank += row.twice_right_rank, arithmetic.twice_restored += row.twice_restored;
      continue;
    }
    changing += row.changing, found += row.found, named += row.right_rank, restored += row.restored;
    good = good && row.slowest <= kFindWithin;
  }
  const Untouched& u = untouched[DType::fp32];
  double spread = 0;
  for (size_t k = 1; k < u.losses.size(); ++k) spread = std::max(spread, double(std::abs(u.losses[k] - u.losses[k - 1])));
  fmt::print("changing: of flips that change the weights of an unchecked run; again: computed again; back: from a checkpoint; restored: weights of the run nobody touched\n"
             "missed: largest change of the loss {} steps later (between two steps it changes by up to {:.2g})\n", kSteps, spread);
  const double share = changing ? double(found) / changing : 1;
  fmt::print("memory and messages: {} of {} flips that change weights found within {} steps ({:.2f} %), rank named {}, weights restored {}\n", found, changing,
             kFindWithin, 100 * share, named, restored);
  fmt::print("arithmetic, each step computed twice: {} of {} flips that change weights found within {} steps, rank named {}, weights restored {}\n", arithmetic.twice_found,
             arithmetic.changing, kFindWithin, arithmetic.twice_right_rank, arithmetic.twice_restored);
  good = good && share >= 0.99 && named >= 0.99 * found && restored == found && arithmetic.twice_found >= 0.99 * arithmetic.changing &&
         arithmetic.twice_right_rank >= 0.99 * arithmetic.twice_found && arithmetic.twice_restored == arithmetic.twice_found;
  for (const auto& [ranks, rank] : {std::pair{4, 2}, std::pair{2, 1}, std::pair{1, 0}}) {
    const int64_t step = run_faulty_device(ranks, rank);
    fmt::print("a device that errs always, rank {} of {}: {}\n", rank, ranks, step > 0 ? fmt::format("named in step {}", step) : "NOT FOUND");
    good = good && step > 0;
  }
  if (clean_steps > 0) {
    const Clean clean = run_clean(clean_steps, DType::bf16, interval, 0), twice = run_clean(clean_steps / 10, DType::fp32, interval, 1);
    fmt::print("{} clean steps on 2 ranks in {:.0f} s: {} false alarms\n", clean.steps, clean.seconds, clean.alarms);
    fmt::print("{} clean steps on 2 ranks in {:.0f} s, each computed twice: {} alarms\n", twice.steps, twice.seconds, twice.alarms);
    good = good && clean.alarms == 0 && twice.alarms == 0;
  }
  std::filesystem::remove_all(folder_of(DType::fp32).parent_path());
  fmt::print("{}\n", good ? "the goals are met" : "A GOAL IS MISSED");
  return good ? 0 : 1;
}

#else
int inject(int, int64_t, uint64_t, int64_t) {
  std::puts("this build has no fault points: configure with -DTW_TESTS=ON");
  return 77;
}
#endif

}  // namespace
}  // namespace tw

int main(int argc, char** argv) {
  long flips = 1000, clean = 100000, seed = 1, interval = 1;
  const std::map<std::string, long*> options = {{"--flips", &flips}, {"--clean", &clean}, {"--seed", &seed}, {"--interval", &interval}};
  for (int i = 1; i < argc; i += 2) {
    const auto option = options.find(argv[i]);
    char* end = nullptr;
    if (option == options.end() || i + 1 == argc || (*option->second = std::strtol(argv[i + 1], &end, 10), *end) || *option->second < 0) {
      std::fputs("usage: bit_flips [--flips N] [--clean STEPS] [--seed S] [--interval K]\n", stderr);
      return 64;
    }
  }
  try {
    return tw::inject(int(flips), clean, uint64_t(seed), std::max(1L, interval));
  } catch (const std::exception& e) {
    std::printf("bit_flips: %s\n", e.what());
    return 1;
  }
}
