// R5: a run is saved on n ranks and goes on with m, for all ordered pairs of 1, 2, 4 and 8: the state that was restored has the
// same hash, and every loss after it the same bits, as in the run that was never stopped.
#include <bit>
#include <cstdio>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "src/checkpoint/checkpoint.h"
#include "src/core/error.h"
#include "src/core/thread_team.h"
#include "tests/storm/part.h"
#include "tests/support/thread_comm.h"
#include "tests/train/train_fixture.h"

namespace {
using namespace tw;
using namespace tw::storm;
namespace fs = std::filesystem;

constexpr int kRanks[] = {1, 2, 4, 8};
constexpr int64_t kBefore = 6, kAfter = 5;

struct Course {
  std::vector<uint32_t> losses, norms;  // bits, a step each
  std::string state;                    // SHA-256 of weights and optimiser at the end
  bool operator==(const Course&) const = default;
};

void save(Trainer& trainer, const fs::path& folder, Communicator& comm) {
  CheckpointInfo info;
  trainer.describe(info);
  save_checkpoint({.folder = folder}, info, trainer.slices(), comm);
}

// `steps` steps on `ranks` ranks from the checkpoint in `from` (empty: from the seed); the state at the end is saved in `to`.
Course go(const TrainCase& c, int ranks, const fs::path& from, int64_t steps, const fs::path& to) {
  Course course;
  std::mutex mutex;
  run_ranks(ranks, [&](Communicator& comm) {
    ThreadTeam team(1);
    Trainer trainer(train_options(c), made_up_batches(), comm, Stream(team));
    if (from.empty()) trainer.initialize(1);
    else trainer.load(Checkpoint::open(from), true);
    Course mine;
    for (int64_t s = 0; s < steps; ++s) {
      const StepResult r = trainer.step();
      mine.losses.push_back(std::bit_cast<uint32_t>(r.loss)), mine.norms.push_back(std::bit_cast<uint32_t>(r.grad_norm));
    }
    save(trainer, to, comm);
    const std::lock_guard hold(mutex);
    if (course.losses.empty()) course = mine;
    TW_CHECK(course.losses == mine.losses && course.norms == mine.norms, bug, "ranks disagree on their losses");
  }, std::chrono::minutes(5));
  course.state = sha256_of(Checkpoint::open(to));
  return course;
}

struct Count { int pairs = 0, wrong = 0; };

Count threads(const std::vector<std::pair<const char*, TrainCase>>& cases) {
  Count count;
  for (const auto& [name, c] : cases) {
    const TemporaryFolder folder;
    const fs::path base = folder.path();
    const Course start = go(c, 1, {}, kBefore, base / "whole");
    const Course whole = go(c, 1, base / "whole", kAfter, base / "whole-end");
    // Saving and loading may not change the course either.
    const Course unbroken = go(c, 1, {}, kBefore + kAfter, base / "unbroken");
    std::vector<uint32_t> joined = start.losses;
    joined.insert(joined.end(), whole.losses.begin(), whole.losses.end());
    TW_CHECK(joined == unbroken.losses && whole.state == unbroken.state, bug, "{}: a stop changes the run", name);
    std::printf("%-24s", name);
    for (const int saved : kRanks) {
      const fs::path at = base / fmt::format("saved{}", saved);
      const Course before = go(c, saved, {}, kBefore, at);
      for (const int restored : kRanks) {
        // Zero steps: what was restored is saved again by the other ranks and compared whole.
        const fs::path again = base / fmt::format("again{}-{}", saved, restored), end = base / fmt::format("end{}-{}", saved, restored);
        const Course same = go(c, restored, at, 0, again);
        const Course after = go(c, restored, at, kAfter, end);
        const bool right = before == start && same.state == before.state && after.losses == whole.losses &&
                           after.norms == whole.norms && after.state == whole.state;
        std::printf("  %d>%d %s", saved, restored, right ? "=" : "WRONG");
        ++count.pairs, count.wrong += !right;
      }
    }
    std::printf("\n");
  }
  return count;
}

// The program under mpirun: half of the run on n ranks, the rest on m.
Count processes(const std::vector<std::pair<int, int>>& pairs) {
  const TemporaryFolder folder;
  const TinyRun tiny(folder.path());
  Count count;
  const auto train = [&](int ranks, const fs::path& run, const std::string& fault) {
    const TemporaryFolder scratch;
    TinyRun::Words words = TinyRun::start(ranks, scratch.path());
    const TinyRun::Words rest = tiny.train(run, 8, 2, 3, false);
    words.insert(words.end(), rest.begin(), rest.end());
    ProcessOptions options{.environment = TinyRun::environment()};
    if (!fault.empty()) options.environment.emplace_back("TW_FAULT", fault);
    const Ended e = run_process(words, options);
    TW_CHECK(e.code == (fault.empty() ? 0 : 74), bug, "mpirun -np {} ended with {}: {}", ranks, e.code, e.err);
  };
  const auto state = [](const fs::path& run) { return sha256_of(Checkpoint::open(run)); };
  train(0, folder.path() / "whole", "");
  const std::string want = state(folder.path() / "whole");
  std::printf("%-24s", "mpirun tokenwerk train");
  for (const auto& [saved, restored] : pairs) {
    const fs::path run = folder.path() / fmt::format("{}-{}", saved, restored);
    // A forward pass a sample of a rank: 8 virtual ranks over `saved`, five steps done.
    train(saved, run, fmt::format("train.forward:0:{}:error", 5 * 8 / saved + 1));
    train(restored, run, "");
    const bool right = state(run) == want;
    std::printf("  %d>%d %s", saved, restored, right ? "=" : "WRONG");
    ++count.pairs, count.wrong += !right;
  }
  std::printf("\n");
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const PartOptions options = part_options(argc, argv, 1);
  try {
    const Stopwatch watch;
    std::vector<std::pair<const char*, TrainCase>> cases = {{"llama fp32 (threads)", {}}};
    if (!options.brief) {
      cases.push_back({"gpt2 fp32 (threads)", {.type = Architecture::gpt2}});
      cases.push_back({"llama bf16 (threads)", {.dtype = DType::bf16}});
    }
    const Count in_process = threads(cases);
    const Count launched = processes(options.brief ? std::vector<std::pair<int, int>>{{4, 2}}
                                                   : std::vector<std::pair<int, int>>{{1, 8}, {8, 1}, {2, 4}, {4, 2}, {8, 4}, {4, 8}, {2, 1}});
    const bool met = in_process.wrong + launched.wrong == 0;
    print_figure("R5", "all pairs of rank counts: equal state, equal loss bits",
                 fmt::format("{} ordered pairs of 1, 2, 4, 8 ranks as threads in {} models, {} under mpirun: {} differ", in_process.pairs,
                             cases.size(), launched.pairs, in_process.wrong + launched.wrong),
                 met, watch.seconds(),
                 {{"pairs", in_process.pairs}, {"mpirun_pairs", launched.pairs}, {"wrong", in_process.wrong + launched.wrong}});
    return met ? 0 : 1;
  } catch (const std::exception& e) {
    std::printf("elastic: %s\n", e.what());
    return 70;
  }
}
