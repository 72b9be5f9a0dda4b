#include "tests/watchdog/job_fixture.h"

#include <unistd.h>

#include <fstream>
#include <iterator>

namespace tw {
namespace fs = std::filesystem;
namespace {

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::map<int, int> Job::pids() const {
  std::map<int, int> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const std::string environment = content(entry.path() / "environ");  // empty of a process that has ended
    if (environment.find("TW_TEST_JOB=" + path("") + '\0') == std::string::npos) continue;
    const size_t rank = environment.find("OMPI_COMM_WORLD_RANK=");
    if (rank != std::string::npos) found[std::atoi(environment.c_str() + rank + 21)] = pid;
  }
  return found;
}

bool Job::all_gone(double seconds) const {
  for (int i = 0; i < int(seconds * 20); ++i) {
    if (pids().empty()) return true;
    ::usleep(50000);
  }
  return false;
}

int64_t Job::steps_done() const {
  const std::string text = content(fs::path(path("run")) / "metrics.jsonl");
  return std::count(text.begin(), text.end(), '\n');
}

std::string Job::stacks(int rank) const { return content(fs::path(path("run")) / ("stacks-rank-" + std::to_string(rank) + ".txt")); }

}  // namespace tw
