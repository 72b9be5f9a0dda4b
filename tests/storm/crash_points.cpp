// R2a: SIGKILL before each call that changes the run folder, from the first to the last.
// After each kill the newest checkpoint that was told to anybody is there, or a newer one, and the next start ends with the
// weights of the run nobody touched.
#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "src/checkpoint/names.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/checkpoint/fixture.h"
#include "tests/storm/part.h"
#include "tests/storm/promises.h"
#include "tests/storm/toy_run.h"
#include "tests/storm/trace.h"

namespace {
using namespace tw;
using namespace tw::storm;
namespace fs = std::filesystem;

// A program that saves, is killed, and is started again.
struct Subject {
  std::string name;
  int ranks;                                                                        // under mpirun; 0 = started directly
  std::function<std::vector<std::string>(const fs::path& run)> first, next;         // words without mpirun
  std::function<std::string(const Checkpoint&)> check;                              // "" = the content is right
  std::function<std::string(const fs::path& run)> finished;                         // "" = the end is right
};

struct Count { std::atomic<int> points{0}, failed{0}; };

Ended start(int ranks, std::vector<std::string> words, std::vector<std::pair<std::string, std::string>> environment) {
  const TemporaryFolder scratch;
  std::vector<std::string> all = TinyRun::start(ranks, scratch.path());
  all.insert(all.end(), words.begin(), words.end());
  for (auto& e : TinyRun::environment()) environment.push_back(e);
  return run_process(all, {.environment = std::move(environment)});
}

// Kills before call n; false where the program ended before it came to it.
bool kill_at(const Subject& s, uint64_t n, Count& count) {
  const TemporaryFolder folder, logs;
  const fs::path run = folder.path() / "run";
  make_folders(run);
  const Tap tap(run, logs.path());
  const Ended first = start(s.ranks, s.first(run), tap.environment(Tap::Log::yes, n));
  if (first.code == 0) return false;
  ++count.points;
  std::string wrong;
  const std::vector<Record> calls = fs::exists(tap.log()) ? read_trace(tap.log()) : std::vector<Record>{};
  try {
    TW_CHECK(first.code == 128 + 9, bug, "it ended with {}: {}", first.code, first.err);
    std::optional<CheckpointName> told;
    for (const Promise& p : promises_of(calls))
      if (p.checkpoint && p.holds(calls.size()) && (!told || *told < *p.checkpoint)) told = p.checkpoint;
    const std::optional<Checkpoint> opened = Checkpoint::open_newest(run);
    TW_CHECK(opened || !told, bug, "lost: {} and all others", told->str());
    if (opened) {
      const auto found = CheckpointName::parse(opened->folder().filename().string());
      TW_CHECK(!told || *told <= *found, bug, "lost: {}, opened {}", told->str(), found->str());
      const std::string content = s.check(*opened);
      TW_CHECK(content.empty(), bug, "{}", content);
    }
    const Ended next = start(0, s.next(run), {});
    TW_CHECK(next.code == 0, bug, "the next start ended with {}: {}", next.code, next.err);
    const std::string end = s.finished(run);
    TW_CHECK(end.empty(), bug, "{}", end);
  } catch (const std::exception& e) {
    wrong = e.what();
  }
  if (!wrong.empty()) {
    ++count.failed;
    std::printf("  FAILED %s, kill before call %llu (after %s): %s\n", s.name.c_str(), static_cast<unsigned long long>(n),
                calls.empty() ? "nothing" : describe(calls.back()).c_str(), wrong.c_str());
  }
  return true;
}

// All points of a subject, every `stride`-th where it is short, on `workers` threads.
void walk(const Subject& s, int stride, int workers, Count& count) {
  const int before = count.points, failed = count.failed;
  std::atomic<uint64_t> next{1};
  std::atomic<int> unharmed{0};  // how many calls a start makes is not always the same: several must end by themselves
  std::vector<std::thread> threads;
  for (int w = 0; w < workers; ++w)
    threads.emplace_back([&] {
      while (unharmed < 6) {
        const uint64_t n = next.fetch_add(uint64_t(stride));
        if (!kill_at(s, n, count)) ++unharmed;
      }
    });
  for (std::thread& t : threads) t.join();
  std::printf("%-40s killed before %d calls: %d failed\n", s.name.c_str(), count.points - before, count.failed - failed);
}

Subject toy(int ranks) {
  const auto words = [ranks](const fs::path& run, int first, int last) {
    return std::vector<std::string>{TW_STORM_WRITER, run.string(), std::to_string(ranks), std::to_string(first), std::to_string(last), "release"};
  };
  const auto check = [](const Checkpoint& c) {
    return wrong_elements(c, c.info().step, kToyElements) == 0 ? "" : c.folder().string() + " holds wrong numbers";
  };
  return {fmt::format("saves on {} ranks (threads)", ranks), 0, [=](const fs::path& run) { return words(run, 1, 4); },
          [=](const fs::path& run) { return words(run, 5, 6); }, check, [=](const fs::path& run) -> std::string {
            const Checkpoint c = Checkpoint::open(run);
            if (c.info().step != 6) return fmt::format("the next start left step {}", c.info().step);
            for (const std::string& name : names_in(run / "checkpoints"))
              if (!name.starts_with("step-")) return "litter: " + name;
            return check(c);
          }};
}

Subject training(const TinyRun& tiny, int ranks, const std::map<int64_t, std::string>& reference, int steps) {
  const auto words = [&tiny, steps](const fs::path& run) { return tiny.train(run, steps, 2, kToyKept); };
  const auto check = [&reference](const Checkpoint& c) -> std::string {
    const auto want = reference.find(c.info().step);
    return want != reference.end() && sha256_of(c) == want->second ? "" : c.folder().string() + " holds other weights than the run nobody touched";
  };
  return {ranks ? fmt::format("mpirun -np {} tokenwerk train", ranks) : "tokenwerk train", ranks, words, words, check,
          [=](const fs::path& run) -> std::string {
            const Checkpoint c = Checkpoint::open(run);
            if (c.info().step != steps) return fmt::format("the next start left step {}", c.info().step);
            return check(c);
          }};
}

}  // namespace

int main(int argc, char** argv) {
  const PartOptions options = part_options(argc, argv, 3);
  std::freopen("/dev/null", "w", stderr);  // unfinished checkpoints are named each time
  try {
    const Stopwatch watch;
    const TemporaryFolder folder;
    const TinyRun tiny(folder.path());
    constexpr int kSteps = 6;
    const auto reference = states_of(tiny, kSteps);
    Count count;
    const int stride = options.brief ? 23 : 1;
    walk(toy(1), options.brief ? 5 : 1, 2, count);
    walk(toy(2), options.brief ? 5 : 1, 2, count);
    walk(training(tiny, 0, reference, kSteps), stride, 2, count);
    if (!options.brief) walk(training(tiny, 2, reference, kSteps), 1, 4, count);
    const bool met = count.failed == 0 && count.points > 0;
    print_figure("R2a", "a kill at every write-class system call of a save: 0 lost",
                 fmt::format("{} calls, on 1 and 2 ranks: {} lost or wrong", count.points.load(), count.failed.load()), met,
                 watch.seconds(), {{"points", count.points.load()}, {"failed", count.failed.load()}});
    return met ? 0 : 1;
  } catch (const std::exception& e) {
    std::printf("crash_points: %s\n", e.what());
    return 70;
  }
}
