// Runs that are started by the scripts of launch/, and hit while they are under way.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tests/cli/cli_fixture.h"

namespace tw {

class Launch : public Cli {
 protected:
  Launch();
  // train on made-up tokens, four virtual ranks, a checkpoint every 50 steps.
  Words train(const std::string& run, int steps) const;
  // With the program under test, and a TMPDIR of this test.
  ProcessOptions options() const;
  static Words supervise(int ranks, const Words& hosts = {});
  // SHA-256 of the weights that `steps` steps end with, of one process that nobody touched.
  std::string undisturbed(int steps);
  // The newest step in metrics.jsonl of a run, as far as it can be read now.
  int64_t reached(const std::string& run) const;
  // Lines of supervise.jsonl of the kind "start" or "end".
  std::vector<nlohmann::json> history(const std::string& run, const std::string& kind) const;
  // What is left in TMPDIR.
  std::vector<std::string> litter() const;
};

// A function for ProcessOptions::watch that calls each of `hits` once, in order, as soon as `step()` is at its step or beyond.
struct Hit {
  int64_t step;
  std::function<void(int pid)> strike;  // of the process that is watched
};
std::function<void(int)> when(std::function<int64_t()> step, std::vector<Hit> hits);

// Processes below `pid`, by the name of their program (/proc/PID/comm) and a word of the command line.
std::vector<int> descendants(int pid, const std::string& program, const std::string& word = "");

}  // namespace tw
