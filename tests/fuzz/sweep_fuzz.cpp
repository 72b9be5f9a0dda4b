#include "src/config/files.h"
#include "src/sweep/plan.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(sweep) {
  static const Folder folder;
  std::vector<FileNode> tables, again;
  load_config({folder.write("sweep.toml", input)}, {}, &tables);
  const SweepPlan plan = read_sweep_plan(tables, {});
  const std::vector<SweepPoint> points = sweep_points(plan);
  expect(points.size() <= size_t(kMostTrials), "no more trials than allowed");
  load_config({folder.write("again.toml", plan.to_toml())}, {}, &again);
  const SweepPlan same = read_sweep_plan(again, {});
  expect(same.to_toml() == plan.to_toml() && same.contradiction(plan).empty(), "the table loads back equal");
  expect(sweep_points(same) == points, "equal tables have equal points");
}
