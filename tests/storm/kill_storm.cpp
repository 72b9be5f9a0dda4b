// R1: a training run is killed again and again, at any moment and in any way, on 1, 2 and 4 ranks, with damaged checkpoints and a
// full disk in between, until it is done; then the next one. No undamaged commit may be lost, and each run ends with the weights of
// the run nobody touched.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>
#include <tuple>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "tests/storm/part.h"
#include "tests/storm/process_tree.h"
#include "tests/storm/promises.h"
#include "tests/storm/tracker.h"

namespace {
using namespace tw;
using namespace tw::storm;
namespace fs = std::filesystem;

constexpr int kKeep = 3, kInterval = 2;
constexpr double kOrphanLimit = 30;  // seconds

enum class Target { program, one_rank, all_ranks, mpirun, launcher, at_a_point };
constexpr const char* kTargets[] = {"the program", "one rank", "all ranks", "mpirun", "launch/run", "a rank at a named point"};
const std::vector<std::string> kPoints = {
    "checkpoint.before_layout",    "checkpoint.after_layout",  "checkpoint.mid_data",          "checkpoint.before_fsync",
    "checkpoint.after_fsync",      "checkpoint.before_rename", "checkpoint.after_rename",      "checkpoint.before_manifest",
    "checkpoint.after_manifest_tmp", "checkpoint.after_commit", "checkpoint.during_retention", "file.write", "file.fsync", "file.rename"};

struct Totals {
  std::mutex mutex;
  std::map<std::string, int> by_target, by_ranks, by_phase;
  int kills = 0, full_disks = 0, fenced = 0, runs = 0, starts = 0;
  int64_t commits = 0, damaged = 0, fell_back = 0;
  double longest_orphan = 0;
  std::vector<std::string> failures;
};

struct Storm {
  const PartOptions& options;
  const TinyRun& tiny;
  int steps, goal;
  const std::map<int64_t, std::string>& states;
  std::string want;       // SHA-256 of the exported weights
  bool small_disks;       // tmpfs can be mounted
  int64_t disk_bytes;
  Stopwatch watch;
  Totals totals;

  bool over() {
    const std::lock_guard hold(totals.mutex);
    return totals.kills >= goal || !totals.failures.empty() || watch.seconds() > options.minutes * 60;
  }
};

std::string exported(const fs::path& run) {
  const TemporaryFolder out;
  const Ended e = run_process({TW_BINARY, "export", run.string(), "--out", (out.path() / "hf").string()}, {.environment = TinyRun::environment()});
  TW_CHECK(e.code == 0, bug, "export ended with {}: {}", e.code, e.err);
  return Sha256().update(read_file(out.path() / "hf" / "model.safetensors")).hex();
}

// One run folder, from its first start to its end.
class Episode {
 public:
  Episode(Storm& storm, std::mt19937_64& random, bool launched)
      : storm_(storm), random_(random), launched_(launched), tracker_(run(), storm.states, kKeep) {
    make_folders(run());
    disk_ = storm.small_disks && random() % 3 == 0;
    if (disk_)
      TW_CHECK(::mount("tmpfs", run().c_str(), "tmpfs", 0, fmt::format("size={}", storm.disk_bytes).c_str()) == 0, bug, "cannot mount a small disk");
  }
  ~Episode() {
    if (disk_) ::umount2(run().c_str(), MNT_DETACH);
  }

  void work() {
    while (!done_ && !storm_.over()) {
      start_once();
      if (done_ || random_() % 6 != 0) continue;
      if (!tracker_.damage(random_)) continue;
      tracker_.check();  // falls back here
      const std::lock_guard hold(storm_.totals.mutex);
      ++storm_.totals.damaged;
    }
    const std::lock_guard hold(storm_.totals.mutex);
    storm_.totals.commits += tracker_.commits();
  }

 private:
  fs::path run() const { return folder_.path() / "run"; }
  fs::path filler() const { return run() / "filler"; }
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }

  void fill_disk() {
    struct statvfs disk {};
    const int fd = ::open(filler().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) return;
    // All, or all but some pages: a save may begin and then meet the end.
    if (::fstatvfs(fd, &disk) == 0) {
      const int64_t bytes = int64_t(disk.f_bavail - std::min<uint64_t>(disk.f_bavail, random_() % 8)) * int64_t(disk.f_frsize);
      if (bytes > 0) filled_ = true, std::ignore = ::posix_fallocate(fd, 0, bytes);  // where it fails the disk was full meanwhile
    }
    ::close(fd);
  }

  void start_once();
  void kill_now(pid_t root, Target target);
  std::string phase(const std::string& said) const;

  Storm& storm_;
  std::mt19937_64& random_;
  TemporaryFolder folder_;
  bool launched_, disk_ = false, filled_ = false, done_ = false;
  Tracker tracker_;
  std::vector<Process> victims_;
  std::map<int, double> length_;  // seconds of a start that nobody kills, by ranks; as far as known
};

void Episode::kill_now(pid_t root, Target target) {
  tracker_.look();
  victims_ = descendants(root);
  std::vector<Process> ranks;
  pid_t mpirun = root;
  for (const Process& p : victims_) {
    if (p.name == "mpirun" || p.name == "orterun") mpirun = p.pid;
    if (p.name == "tokenwerk") ranks.push_back(p);
  }
  switch (target) {
    case Target::one_rank:
      if (!ranks.empty()) ::kill(ranks[random_() % ranks.size()].pid, SIGKILL);
      else ::kill(mpirun, SIGKILL);  // there is none yet
      break;
    case Target::all_ranks:
      for (const Process& p : ranks) ::kill(p.pid, SIGKILL);
      if (ranks.empty()) ::kill(mpirun, SIGKILL);
      break;
    case Target::mpirun: ::kill(mpirun, SIGKILL); break;
    default: ::kill(root, SIGKILL);
  }
}

// Where the kill came, by what it left.
std::string Episode::phase(const std::string& said) const {
  std::error_code e;
  if (said.find("memory of a rank") == std::string::npos) return "start-up";
  for (const CheckpointFolder& f : list_checkpoints(run() / "checkpoints"))
    if (!f.committed) return "in a save";
  if (fs::exists(run() / "checkpoints" / ".trash", e)) return "in retention";
  const auto newest = tracker_.newest_whole();
  return newest && newest->step == storm_.steps ? "at the end" : "in a step";
}

void Episode::start_once() {
  const TemporaryFolder scratch;  // sockets and shared memory of mpirun
  const int ranks = launched_ ? std::array{1, 2, 4}[random_() % 3] : 0;
  const bool script = launched_ && random_() % 3 == 0;
  const auto target = [&] {
    if (random_() % 4 == 0) return Target::at_a_point;
    if (!launched_) return Target::program;
    constexpr Target kLaunched[] = {Target::one_rank, Target::all_ranks, Target::mpirun, Target::launcher};
    return kLaunched[random_() % (script ? 4 : 3)];
  }();

  TinyRun::Words words = script ? TinyRun::Words{TW_LAUNCH_RUN, "-n", std::to_string(ranks)} : TinyRun::start(ranks, scratch.path());
  const TinyRun::Words train = storm_.tiny.train(run(), storm_.steps, kInterval, kKeep);
  words.insert(words.end(), train.begin() + (script ? 1 : 0), train.end());
  ProcessOptions options{.environment = TinyRun::environment()};
  options.environment.emplace_back("TMPDIR", scratch.path().string());
  options.environment.emplace_back("TW_BIN", TW_BINARY);
  const std::string& point = kPoints[random_() % kPoints.size()];
  const std::string fault = fmt::format("{}:{}:{}:kill", point, launched_ ? std::to_string(int(random_() % uint64_t(ranks))) : "*", 1 + random_() % 12);
  if (target == Target::at_a_point) options.environment.emplace_back("TW_FAULT", fault);

  double& length = length_.try_emplace(ranks, ranks ? 1.5 : 0.4).first->second;
  const double when = target == Target::at_a_point ? 1e9 : uniform(0, 1.1 * length);
  const bool fill = disk_ && random_() % 3 == 0;
  const double fill_at = uniform(0, length), free_at = fill_at + uniform(0, length);
  const std::optional<CheckpointName> expected = tracker_.newest_whole();
  bool killed = false, full = false;
  double seen = 0;  // when the ranks were looked for
  filled_ = false;
  victims_.clear();
  const Stopwatch watch;
  options.watch = [&](int pid) {
    tracker_.look();
    if (fill && !full && watch.seconds() >= fill_at) full = true, fill_disk();
    if (full && watch.seconds() >= free_at) fs::remove(filler());
    if (target == Target::at_a_point && ranks && watch.seconds() - seen > 0.1) victims_ = descendants(pid), seen = watch.seconds();
    if (killed || when - watch.seconds() > 0.011) return;
    if (const double left = when - watch.seconds(); left > 0) ::usleep(useconds_t(left * 1e6));
    killed = true;
    kill_now(pid, target);
  };
  const Ended e = run_process(words, options);
  const double seconds = watch.seconds();
  tracker_.look();

  // What is left of it: ranks whose mpirun is gone, an mpirun whose script is gone.
  double orphans = 0;
  const bool hurry = !victims_.empty() && random_() % 2 == 0;
  if (hurry) {
    // The next start comes at once, as a supervisor's does; while an old rank still has the lease it is turned away.
    const Ended next = run_process(train, {.environment = TinyRun::environment(), .watch = [&, began = Stopwatch()](int pid) {
                                             if (began.seconds() > 0.25) ::kill(pid, SIGKILL);
                                           }});
    TW_CHECK(next.code == 76 || next.code == 137 || next.code == 0 || (filled_ && (next.code == 73 || next.code == 74)), bug, "a start beside the dying one ended with {}: {}", next.code, next.err);
    const std::lock_guard hold(storm_.totals.mutex);
    storm_.totals.fenced += next.code == 76;
    storm_.totals.kills += next.code == 137;
    if (next.code == 137) ++storm_.totals.by_target["the program, beside a dying run"], ++storm_.totals.by_ranks["1 (no mpirun)"];
  }
  std::string left;
  for (const Process& p : kill_late(victims_, kOrphanLimit, orphans)) left += fmt::format(" {} {}", p.name, p.pid);
  if (full) fs::remove(filler());
  // The launcher tells of a lost rank with its signal, or a rank that missed it says so.
  const bool died = e.code == 137 || (e.code == 69 && target == Target::at_a_point) || (killed && e.code != 0);
  TW_CHECK(left.empty(), bug, "still ran {} s after the end of {} (killed: {}):{}", kOrphanLimit, words[0], kTargets[int(target)], left);
  TW_CHECK(died || e.code == 0 || (filled_ && e.code == 74) || (filled_ && e.code == 73), bug,
           "nobody killed it, and it ended with {}: {} (TW_FAULT {})", e.code, e.err.substr(0, 2000), target == Target::at_a_point ? fault : "none");
  if (!died && target != Target::at_a_point && !filled_) length = expected && expected->step > storm_.steps / 2 ? length : 0.5 * (length + seconds);

  // The program says itself what it goes on from.
  if (const size_t at = e.err.find("going on from "); at != std::string::npos && !hurry) {
    const std::string line = e.err.substr(at, e.err.find('\n', at) - at);
    TW_CHECK(expected && line.find(expected->str()) != std::string::npos, bug, "it was to go on from {}: {}", expected ? expected->str() : "the start", line);
  }
  try {
    tracker_.check();
  } catch (const Error& error) {
    TW_FAIL(bug, "{} (after {} on {} ranks, {}; it said: {})", error.what(), died ? kTargets[int(target)] : "an end", ranks,
            target == Target::at_a_point ? fault : fmt::format("{:.3f} s", when), e.err.substr(0, 1500));
  }
  {
    const std::lock_guard hold(storm_.totals.mutex);
    Totals& t = storm_.totals;
    ++t.starts;
    t.longest_orphan = std::max(t.longest_orphan, orphans);
    t.full_disks += filled_;
    if (died) {
      ++t.kills;
      ++t.by_target[kTargets[int(target)]];
      ++t.by_ranks[ranks ? std::to_string(ranks) : "1 (no mpirun)"];
      ++t.by_phase[phase(e.err)];
    }
  }
  if (e.code == 0) {
    const std::string got = exported(run());
    TW_CHECK(got == storm_.want, bug, "the weights have SHA-256 {} instead of {}", got, storm_.want);
    done_ = true;
    const std::lock_guard hold(storm_.totals.mutex);
    ++storm_.totals.runs;
  }
}

void worker(Storm& storm, int number, bool launched) {
  std::mt19937_64 random(storm.options.seed * 1000 + uint64_t(number));
  while (!storm.over()) {
    try {
      Episode(storm, random, launched).work();
    } catch (const std::exception& e) {
      const std::lock_guard hold(storm.totals.mutex);
      storm.totals.failures.push_back(e.what());
      std::printf("  FAILED: %s\n", e.what());
    }
  }
}

// The judge is judged first: each loss and damage that it did not do itself must be seen.
void require_sharp(const fs::path& whole, const std::map<int64_t, std::string>& states) {
  const auto seen = [&](const std::string& what, const std::function<void(const fs::path& newest)>& harm) {
    const TemporaryFolder folder;
    fs::copy(whole / "checkpoints", folder.path() / "checkpoints", fs::copy_options::recursive);
    Tracker tracker(folder.path(), states, kKeep);
    tracker.check();
    harm(folder.path() / "checkpoints" / tracker.newest_whole()->str());
    try {
      tracker.check();
    } catch (const Error&) {
      return;
    }
    TW_FAIL(bug, "the tracker does not see {}", what);
  };
  seen("a lost commit", [](const fs::path& newest) { fs::remove_all(newest); });
  seen("a lost MANIFEST", [](const fs::path& newest) { fs::remove(newest / "MANIFEST"); });
  seen("a flipped bit", [](const fs::path& newest) {
    const fs::path file = newest / "shard-0000-of-0001.h5";
    const FileDescriptor fd = open_to_update(file);
    char byte = 0;
    read_exactly(fd.get(), &byte, 1, tw::file_size(file) / 2, file);
    byte = char(byte ^ 1);
    write_exactly(fd.get(), &byte, 1, tw::file_size(file) / 2, file);
  });
  auto others = states;
  for (auto& [step, sum] : others) sum[0] = sum[0] == '0' ? '1' : '0';
  bool told = false;
  try {
    Tracker(whole, others, kKeep).check();
  } catch (const Error&) {
    told = true;
  }
  TW_CHECK(told, bug, "the tracker does not see other weights");
}

std::string list(const std::map<std::string, int>& counts) {
  std::string text;
  for (const auto& [name, n] : counts) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, n);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const PartOptions options = part_options(argc, argv, 5);
  std::freopen("/dev/null", "w", stderr);  // damaged checkpoints are named
  try {
    const Stopwatch watch;
    // A name space of our own for small disks: they go with the process.
    const bool disks = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    const TemporaryFolder folder;
    const TinyRun tiny(folder.path());
    const int steps = options.brief ? 40 : 160;  // longer than some saves, which go on behind them
    const auto states = states_of(tiny, steps);
    const fs::path whole = folder.path() / "whole";
    const Ended e = run_process(tiny.train(whole, steps, kInterval, kKeep), {.environment = TinyRun::environment()});
    TW_CHECK(e.code == 0, bug, "the run nobody touched ended with {}: {}", e.code, e.err);
    require_sharp(whole, states);
    int64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(whole))
      if (entry.is_regular_file()) bytes += (tw::file_size(entry.path()) + 4095) / 4096 * 4096;
    Storm storm{options, tiny, steps, options.brief ? 15 : 1000, states, exported(whole), disks, bytes * 4, {}, {}};
    std::printf("the run nobody touched: %d steps, SHA-256 %s\n", steps, storm.want.c_str());
    std::vector<std::thread> workers;
    // mpirun takes seconds to end after a kill, and sleeps meanwhile.
    const std::vector<bool> launched = options.brief ? std::vector<bool>{false, true} : std::vector<bool>{false, true, true, true};
    for (size_t w = 0; w < launched.size(); ++w) workers.emplace_back(worker, std::ref(storm), int(w), launched[w]);
    for (std::thread& t : workers) t.join();
    const Totals& t = storm.totals;
    std::printf("killed: %s\non ranks: %s\nwhile: %s\n", list(t.by_target).c_str(), list(t.by_ranks).c_str(), list(t.by_phase).c_str());
    std::printf("%d starts, %d runs finished, %lld commits, %lld damaged, disk full %d times, %d starts fenced, no process later than %.1f s after its launcher\n",
                t.starts, t.runs, static_cast<long long>(t.commits), static_cast<long long>(t.damaged), t.full_disks, t.fenced, t.longest_orphan);
    const bool met = t.failures.empty() && t.kills >= storm.goal && t.runs > 0 && (options.brief || (t.damaged > 0 && t.full_disks > 0));
    int direct = 0;
    for (const auto& [ranks, n] : t.by_ranks)
      if (ranks.starts_with("1 (")) direct += n;
    print_figure("R1", fmt::format("{} kills, 0 lost commits, equal hash", storm.goal),
                 fmt::format("{} kills ({} of one process, {} under mpirun on 1, 2, 4 ranks), {} damages, {} full disks, {} commits, {} runs: {} lost or wrong", t.kills, direct,
                             t.kills - direct, t.damaged, t.full_disks, t.commits, t.runs, t.failures.size()),
                 met, watch.seconds(),
                 {{"kills", t.kills}, {"mpirun_kills", t.kills - direct}, {"rank_counts", "1, 2 and 4"}, {"damaged", t.damaged}, {"full_disks", t.full_disks},
                  {"commits", t.commits}, {"runs", t.runs}, {"fenced", t.fenced}, {"sha256", storm.want}, {"failures", t.failures}});
    return met ? 0 : 1;
  } catch (const std::exception& e) {
    std::printf("kill_storm: %s\n", e.what());
    return 70;
  }
}
