// R2b: every state of the disk that a power loss may leave.
// The calls of writers are recorded; at each point between two of them every state of the model (disk_model.h) is made in memory
// and opened. Then the same with one flush taken out, for each flush: a check that does not see that sees nothing.
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_set>

#include "src/checkpoint/names.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/log.h"
#include "tests/checkpoint/fixture.h"
#include "tests/storm/disk_model.h"
#include "tests/storm/part.h"
#include "tests/storm/promises.h"
#include "tests/storm/toy_run.h"
#include "tests/storm/trace.h"

namespace {
using namespace tw;
using namespace tw::storm;
namespace fs = std::filesystem;

struct Case {
  std::string name;
  std::vector<Record> calls;
  std::vector<Promise> promises;
  uint64_t root = 0;                         // inode
  std::map<int64_t, std::string> reference;  // sha256_of by step; empty = the toy's values
  std::map<std::string, std::vector<std::pair<size_t, uint64_t>>> records;  // by name: the call that put it into place, hash of its bytes
};

// A folder in memory that follows the states: only what differs is written.
class Disk {
 public:
  const fs::path& root() const { return folder_.path(); }
  void become(const DiskState& state) {
    for (auto it = now_.rbegin(); it != now_.rend(); ++it) {
      const auto wanted = state.find(it->first);
      if (wanted == state.end() || bool(wanted->second) != bool(it->second)) fs::remove_all(root() / it->first);
    }
    for (const auto& [path, content] : state) {
      const auto had = now_.find(path);
      if (had != now_.end() && had->second == content) continue;
      if (!content) fs::create_directory(root() / path);
      else std::ofstream(root() / path, std::ios::binary).write(content->bytes.data(), std::streamsize(content->bytes.size()));
    }
    now_ = state;
  }
  // After a program has worked here: what it may have changed is made anew.
  void forget(const std::string& prefix) {
    for (const auto& entry : fs::directory_iterator(root()))
      if (entry.path().filename().string().starts_with(prefix)) fs::remove_all(entry.path());
    std::erase_if(now_, [&](const auto& e) { return e.first.starts_with(prefix); });
  }

 private:
  FastFolder folder_;
  DiskState now_;
};

bool right_content(const Case& c, const Checkpoint& checkpoint) {
  const int64_t step = checkpoint.info().step;
  if (c.reference.empty()) return wrong_elements(checkpoint, step, kToyElements) == 0;
  const auto want = c.reference.find(step);
  return want != c.reference.end() && sha256_of(checkpoint) == want->second;
}

// What is wrong with the state on `disk` at call `at`; "" = nothing. All checks are promises of docs/checkpoint_format.md.
std::string judge(const Case& c, Disk& disk, size_t at) {
  const fs::path folder = disk.root() / "checkpoints";
  std::set<CheckpointName> promised;
  int64_t token = 0;
  bool released = false;
  for (const Promise& p : c.promises) {
    if (!p.holds(at)) continue;
    if (p.checkpoint) promised.insert(*p.checkpoint);
    if (p.lease) token = p.lease, released = p.released;
  }
  // Every folder with a MANIFEST is whole, whatever the moment: MANIFEST's existence is the commit.
  std::set<CheckpointName> whole;
  for (const CheckpointFolder& f : list_checkpoints(folder)) {
    if (!f.committed) continue;
    try {
      const CheckpointReport report = verify_checkpoint(f.path);
      if (!report.ok()) return "damaged commit: " + f.name.str() + ": " + report.damage[0];
    } catch (const Error& e) {
      return "damaged commit: " + f.name.str() + ": " + e.what();
    }
    whole.insert(f.name);
  }
  // The newest promised one or a newer one is opened, and holds what was saved.
  std::optional<Checkpoint> opened;
  try {
    opened = Checkpoint::open_newest(disk.root());
  } catch (const Error& e) {
    return std::string("cannot be opened: ") + e.what();
  }
  if (!promised.empty()) {
    if (!opened) return "lost: " + promised.rbegin()->str() + " and all others";
    const auto found = CheckpointName::parse(opened->folder().filename().string());
    if (*found < *promised.rbegin()) return "lost: " + promised.rbegin()->str() + ", opened " + found->str();
  }
  if (opened && !right_content(c, *opened)) return "wrong content: " + opened->folder().filename().string();
  // The newest kToyKept promised ones are kept to fall back to.
  int behind = 0;
  for (auto p = promised.rbegin(); p != promised.rend() && behind < kToyKept; ++p, ++behind)
    if (!whole.contains(*p) && std::distance(whole.lower_bound(*p), whole.end()) < kToyKept) return "not kept: " + p->str();
  // The next start gets the run folder without hand work, under a new number; a lease that was given is still there.
  int64_t highest = 0;
  for (const auto& entry : fs::directory_iterator(disk.root())) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("lease.a") && name.find_first_not_of("0123456789", 7) == std::string::npos)
      highest = std::max(highest, int64_t(std::stoll(name.substr(7))));
  }
  if (highest < token) return fmt::format("lost: lease {}, found {}", token, highest);
  if (released && highest == token && read_file(disk.root() / fmt::format("lease.a{}", token)).find("\"released\": true") == std::string::npos)
    return fmt::format("lost: that lease {} was given back", token);
  std::string failure;
  try {
    const RunLease next = RunLease::acquire(disk.root());
    if (next.token() <= token || (!promised.empty() && next.token() <= promised.rbegin()->attempt)) failure = fmt::format("lease {} was given twice", next.token());
  } catch (const Error& e) {
    failure = std::string("no next start: ") + e.what();
  }
  disk.forget("lease.");
  if (!failure.empty()) return failure;
  // A record of the run is whole, and not older than the one that was last told of.
  for (const auto& [name, versions] : c.records) {
    size_t told = 0;
    for (const Promise& p : c.promises)
      if (p.record == name && p.holds(at)) told = p.renamed + 1;
    if (!fs::exists(disk.root() / name)) {
      if (told) return "lost: " + name;
      continue;
    }
    const std::string bytes = read_file(disk.root() / name);
    const uint64_t hash = xxh3(bytes.data(), bytes.size());
    const auto found = std::find_if(versions.rbegin(), versions.rend(), [&](const auto& v) { return v.second == hash; });
    if (found == versions.rend()) return "half a record: " + name;
    if (found->first + 1 < told) return "an old record: " + name;
  }
  return "";
}

struct Outcome { int64_t points = 0, made = 0, judged = 0, failed = 0; std::string first; };

// Judges each state of each point. `dropped` is a flush that the disk did not do; then the first failure ends it, and states
// in `known` were good already.
Outcome walk(const Case& c, uint64_t seed, int draws, std::unordered_set<uint64_t>& known, std::optional<size_t> dropped = {}) {
  Outcome o;
  Disk disk;
  DiskModel model(c.root);
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < c.calls.size(); ++i) {
    model.apply(c.calls[i], dropped != i);
    if (dropped && i < *dropped) continue;
    ++o.points;
    uint64_t told = 0;
    for (const Promise& p : c.promises) told = told * 2 + p.holds(i + 1);
    model.each_state(random, draws, [&](const DiskState& state, const std::string& what) {
      if (dropped && o.failed) return;
      ++o.made;
      DiskState counted = state;
      counted.erase("metrics.jsonl");  // no promise hangs on it
      if (!known.insert(hash_of(counted) * 31 + xxh3(&told, sizeof told)).second) return;
      ++o.judged;
      disk.become(state);
      const std::string wrong = judge(c, disk, i + 1);
      if (wrong.empty()) return;
      ++o.failed;
      const std::string text = fmt::format("after call {} ({}), {}: {}", i + 1, describe(c.calls[i]), what, wrong);
      if (o.first.empty()) o.first = text;
      if (!dropped && o.failed <= 5) std::printf("  FAILED %s: %s\n", c.name.c_str(), text.c_str());
    });
    if (dropped && o.failed) return o;
  }
  return o;
}

// That the tap saw everything: the model with nothing lost is the real folder. Takes note of the records that were put into place.
void complete(Case& c, const fs::path& root) {
  DiskModel model(c.root);
  for (size_t i = 0; i < c.calls.size(); ++i) {
    model.apply(c.calls[i]);
    for (const Promise& p : c.promises)
      if (!p.record.empty() && p.renamed == i) c.records[p.record].emplace_back(i, model.everything_kept().at(p.record)->hash);
  }
  const DiskState kept = model.everything_kept();
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = entry.path().lexically_relative(root).string();
    const auto found = kept.find(path);
    TW_CHECK(found != kept.end(), bug, "{}: {} is there, but no recorded call made it", c.name, path);
    TW_CHECK(entry.is_directory() || (found->second && found->second->bytes == read_file(entry.path())), bug,
             "{}: {} has other bytes than the recorded calls wrote", c.name, path);
    ++files;
  }
  TW_CHECK(files == kept.size(), bug, "{}: recorded calls give {} names, the folder has {}", c.name, kept.size(), files);
}

class Recorder {
 public:
  explicit Recorder(std::string name) : name_(std::move(name)), tap_(run_.path(), logs_.path()) {}
  const fs::path& run() const { return run_.path(); }
  void add(const std::vector<std::string>& words, int want, const std::string& fault = "") {
    ProcessOptions options;
    options.environment = tap_.environment(Tap::Log::yes);
    for (auto& e : TinyRun::environment()) options.environment.push_back(e);
    if (!fault.empty()) options.environment.emplace_back("TW_FAULT", fault);
    const Ended e = run_process(words, options);
    TW_CHECK(e.code == want, bug, "{} ended with {} instead of {}: {}", words[0], e.code, want, e.err);
  }
  Case finish() {
    struct stat s {};
    TW_CHECK(::stat(run_.path().c_str(), &s) == 0, bug, "no {}", run_.path().string());
    Case c{name_, read_trace(tap_.log()), {}, uint64_t(s.st_ino), {}, {}};
    c.promises = promises_of(c.calls);
    complete(c, run_.path());
    return c;
  }

 private:
  std::string name_;
  TemporaryFolder run_, logs_;
  Tap tap_;
};

// Four starts: two that end well, one killed within a save, one that ends without giving the lease back.
Case toy(int ranks) {
  Recorder r(fmt::format("saves on {} ranks (threads)", ranks));
  const auto save = [&](int first, int last, const char* end, int want = 0, const char* fault = "") {
    r.add({TW_STORM_WRITER, r.run().string(), std::to_string(ranks), std::to_string(first), std::to_string(last), end}, want, fault);
  };
  save(1, 3, "release");
  save(3, 4, "release", 128 + 9, "checkpoint.before_manifest:*:2:kill");
  save(4, 5, "leave");
  save(6, 6, "release");
  return r.finish();
}

// `tokenwerk train` as a user starts it: stopped within a save, and gone on with.
Case training(int ranks, const TinyRun& tiny, const std::map<int64_t, std::string>& reference) {
  Recorder r(ranks == 0 ? "tokenwerk train" : fmt::format("mpirun -np {} tokenwerk train", ranks));
  const TemporaryFolder scratch;
  TinyRun::Words words = TinyRun::start(ranks, scratch.path());
  for (const std::string& w : tiny.train(r.run(), 6, 2, kToyKept)) words.push_back(w);
  r.add(words, 128 + 9, "checkpoint.before_manifest:0:2:kill");
  r.add(words, 0);
  Case c = r.finish();
  c.reference = reference;
  return c;
}

// Whether anything was promised that hangs on this flush: not of metrics.jsonl, nor within a save that never was committed.
bool matters(const Case& c, size_t flush) {
  const fs::path path = c.calls[flush].path;
  if (path == "metrics.jsonl") return false;
  for (const fs::path& part : path)
    if (const auto name = CheckpointName::parse(part.string()))
      return std::any_of(c.promises.begin(), c.promises.end(), [&](const Promise& p) { return p.checkpoint == name; });
  return true;
}

// A flush by what it is for: "flush shard-0000-of-0002.h5.tmp", "flush checkpoints after rename MANIFEST".
std::string site_of(const Case& c, size_t flush) {
  const auto plain = [](const std::string& path) {
    std::string name = path.empty() ? "run folder" : fs::path(path).filename().string(), out;
    if (name.starts_with("shard-")) name = "shard" + name.substr(name.find(".h5"));
    if (const size_t tmp = name.find(".tmp."); tmp != std::string::npos) name.resize(tmp + 4);
    for (const char ch : name)
      if (ch < '0' || ch > '9') out += ch;
      else if (out.empty() || out.back() != '#') out += '#';
    return out;
  };
  std::string after = "at the start";
  for (size_t k = flush; k-- > 0;)
    if (c.calls[k].thread == c.calls[flush].thread && c.calls[k].call != Call::flush) {
      after = "after " + describe(c.calls[k]).substr(0, describe(c.calls[k]).find(' ')) + " " +
              plain(c.calls[k].other.empty() ? c.calls[k].path : c.calls[k].other);
      break;
    }
  return plain(c.calls[flush].path) + " " + after;
}

}  // namespace

int main(int argc, char** argv) {
  const PartOptions options = part_options(argc, argv, 4);
  std::freopen("/dev/null", "w", stderr);  // unfinished checkpoints are named, ten thousand times
  try {
    const Stopwatch watch;
    const TemporaryFolder folder;
    const TinyRun tiny(folder.path());
    std::vector<Case> cases;
    cases.push_back(toy(1));
    cases.push_back(toy(2));
    if (!options.brief) {
      cases.push_back(toy(4));
      const auto reference = states_of(tiny, 6);
      cases.push_back(training(0, tiny, reference));
      cases.push_back(training(2, tiny, reference));
    }
    Outcome sum;
    std::map<std::string, std::pair<int, int>> sites;  // found, of
    std::map<std::string, std::string> example;
    for (const Case& c : cases) {
      std::unordered_set<uint64_t> known;
      const Outcome o = walk(c, options.seed, options.brief ? 2 : 40, known);
      std::printf("%-32s %4zu calls, %2zu promises: %7lld states made, %6lld different ones opened, %lld failed\n", c.name.c_str(), c.calls.size(),
                  c.promises.size(), static_cast<long long>(o.made), static_cast<long long>(o.judged), static_cast<long long>(o.failed));
      sum.made += o.made, sum.judged += o.judged, sum.failed += o.failed, sum.points += o.points;
      if (options.brief && &c != &cases.back()) continue;
      for (size_t i = 0; i < c.calls.size(); ++i) {
        if (c.calls[i].call != Call::flush || !matters(c, i)) continue;
        const std::string site = site_of(c, i);
        auto& [found, of] = sites[site];
        if (options.brief && of > 0) continue;
        ++of;
        std::unordered_set<uint64_t> good = known;
        const Outcome without = walk(c, options.seed, 2, good, i);
        found += without.failed > 0;
        if (without.failed && example[site].empty()) example[site] = without.first;
      }
    }
    int blind = 0, flushes = 0;
    std::printf("without one flush:\n");
    for (const auto& [site, count] : sites) {
      std::printf("  %-60s fails %d of %d%s%s\n", site.c_str(), count.first, count.second, count.first ? ", as " : "",
                  example[site].c_str());
      blind += count.second - count.first, flushes += count.second;
    }
    const bool enough = sum.judged >= (options.brief ? 500 : 10000);
    print_figure("R2b", "10,000 power-loss states: 0 lost; without any one fsync it fails",
                 fmt::format("{} states at {} points: {} lost; {} of {} fsyncs taken out one at a time fail", sum.judged, sum.points,
                             sum.failed, flushes - blind, flushes),
                 sum.failed == 0 && enough && blind == 0, watch.seconds(),
                 {{"states", sum.judged}, {"points", sum.points}, {"lost", sum.failed}, {"fsyncs", flushes}, {"fsyncs_that_matter", flushes - blind}});
    return sum.failed == 0 && enough && blind == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    std::printf("power_loss: %s\n", e.what());
    return 70;
  }
}
