// Real ranks under mpirun, told from all other processes of the machine.
#pragma once
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/cli/cli_fixture.h"

namespace tw {

class Job : public Cli {
 protected:
  // Processes of this test's job that are there, by rank; ended ones are not, wherever their parent is.
  std::map<int, int> pids() const;
  // Whether all are gone within some seconds.
  bool all_gone(double seconds) const;

  Words train(int steps, const Words& more = {}) const {
    return Words{"train", "--out", path("run"), "--data.train", path("tokens.u16"), "--model.vocab_size", "61", "--training.threads", "1",
                 "--metrics.tensorboard", "false", "--watchdog.timeout_seconds", "4"} + tiny(steps) + more;
  }
  Ended run(int n, const Words& words, const std::string& fault = "", std::function<void(int)> watch = {}) {
    ProcessOptions options{.environment = {{"TW_TEST_JOB", path("")}, {"TW_FAULT", fault}}, .watch = std::move(watch)};
    return ranks(n, words, options);
  }
  nlohmann::json status() const { return json(std::filesystem::path(path("run")) / "status.json"); }
  int64_t steps_done() const;  // as metrics.jsonl says
  std::string stacks(int rank) const;
};

}  // namespace tw
