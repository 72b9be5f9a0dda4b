#include "tests/storm/promises.h"

#include <algorithm>

#include "src/core/error.h"

namespace tw::storm {
namespace fs = std::filesystem;

namespace {

// Of "lease.a7"; 0 for other names.
int64_t lease_number(const std::string& path) {
  constexpr std::string_view kPrefix = "lease.a";
  if (!path.starts_with(kPrefix) || path.find_first_not_of("0123456789", kPrefix.size()) != std::string::npos) return 0;
  return std::stoll(path.substr(kPrefix.size()));
}

}  // namespace

std::vector<Promise> promises_of(const std::vector<Record>& calls) {
  std::vector<Promise> promises;
  for (size_t i = 0; i < calls.size(); ++i) {
    const Record& r = calls[i];
    Promise p;
    p.since = i + 1;
    if (r.call == Call::unlink)
      for (Promise& old : promises)
        if (old.lease && old.lease == lease_number(r.path)) old.until = std::min(old.until, i + 1);
    if (r.call == Call::rename && r.other.ends_with("/MANIFEST"))
      p.checkpoint = CheckpointName::parse(fs::path(r.other).parent_path().filename().string());
    else if (r.call == Call::link || r.call == Call::rename)
      p.lease = lease_number(r.other), p.released = r.call == Call::rename;
    if (r.call == Call::rename && !p.lease && r.other.find('/') == std::string::npos && !r.other.starts_with("lease."))
      p.record = r.other, p.renamed = i;
    if (!p.checkpoint && !p.lease && p.record.empty()) continue;
    for (size_t k = i + 1; k < calls.size(); ++k) {
      if (calls[k].thread != r.thread) continue;
      if (r.call == Call::link && calls[k].call == Call::unlink) continue;  // its temporary name
      if (calls[k].call != Call::flush) break;
      p.since = k + 1;
      if (r.call == Call::link) break;
    }
    promises.push_back(p);
  }
  return promises;
}

std::map<int64_t, std::string> states_of(const TinyRun& tiny, int steps) {
  const TemporaryFolder run;
  const Ended e = run_process(tiny.train(run.path() / "run", steps, 1, 100000, false), {.environment = TinyRun::environment()});
  TW_CHECK(e.code == 0, bug, "the run nobody touched ended with {}: {}", e.code, e.err);
  std::map<int64_t, std::string> states;
  for (const CheckpointFolder& f : list_checkpoints(run.path() / "run" / "checkpoints")) {
    const Checkpoint checkpoint = Checkpoint::open(f.path);
    states[checkpoint.info().step] = sha256_of(checkpoint);
  }
  return states;
}

}  // namespace tw::storm
