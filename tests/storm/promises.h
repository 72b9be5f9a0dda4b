// What a run has told to somebody, read from its calls, and what its checkpoints must hold.
#pragma once
#include <map>
#include <optional>

#include "src/checkpoint/names.h"
#include "tests/storm/part.h"
#include "tests/storm/trace.h"

namespace tw::storm {

// From the moment on when `since` calls were made, until `until` were: a checkpoint, a lease, held or given back, or a record of the run.
struct Promise {
  size_t since = 0, until = SIZE_MAX;
  std::optional<CheckpointName> checkpoint;
  int64_t lease = 0;
  bool released = false;
  std::string record;  // status.json
  size_t renamed = 0;  // the call that put it into its place
  bool holds(size_t calls) const { return since <= calls && calls < until; }
};
// Told when the thread that renamed MANIFEST or a record, linked the lease, or renamed one that says "released" into its place has done
// the flushes that follow and goes on to something else. A lease holds until another takes its place.
std::vector<Promise> promises_of(const std::vector<Record>& calls);

// sha256_of by step, of a run that nobody touched.
std::map<int64_t, std::string> states_of(const TinyRun& tiny, int steps);

}  // namespace tw::storm
