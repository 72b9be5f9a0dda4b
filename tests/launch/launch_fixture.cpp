#include "tests/launch/launch_fixture.h"

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/core/file.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

Launch::Launch() { fs::create_directories(path("tmp")); }

Cli::Words Launch::train(const std::string& run, int steps) const {
  return Words{"train", "--out", path(run), "--data.train", raw_tokens(), "--data.raw_bits", "16", "--model.vocab_size", "61",
               "--training.threads", "1", "--checkpoint.interval", "50"} + tiny(steps);
}

ProcessOptions Launch::options() const { return {.environment = {{"TW_BIN", TW_BINARY}, {"TMPDIR", path("tmp")}}}; }

Cli::Words Launch::supervise(int ranks, const Words& hosts) {
  return Words{TW_LAUNCH "/supervise", "-n", std::to_string(ranks)} + hosts;
}

std::string Launch::undisturbed(int steps) {
  const std::string run = "undisturbed" + std::to_string(steps);
  const Ended e = tokenwerk(train(run, steps));
  EXPECT_EQ(e.code, 0) << e.err;
  return weights(path(run));
}

int64_t Launch::reached(const std::string& run) const {
  const std::string text = content(fs::path(path(run)) / "metrics.jsonl");
  const size_t end = text.rfind('\n');
  if (end == text.npos) return 0;
  const size_t begin = text.rfind('\n', end - 1) + 1;
  constexpr std::string_view kStep = "{\"step\":";
  return text.compare(begin, kStep.size(), kStep) == 0 ? std::atoll(text.c_str() + begin + kStep.size()) : 0;
}

std::vector<nlohmann::json> Launch::history(const std::string& run, const std::string& kind) const {
  std::vector<nlohmann::json> some;
  for (const nlohmann::json& line : lines(fs::path(path(run)) / "supervise.jsonl"))
    if (line.at("event") == kind) some.push_back(line);
  return some;
}

std::vector<std::string> Launch::litter() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path("tmp"))) names.push_back(entry.path().filename());
  return names;
}

std::function<void(int)> when(std::function<int64_t()> step, std::vector<Hit> hits) {
  const auto next = std::make_shared<size_t>(0);
  return [step, hits, next](int pid) {
    if (*next < hits.size() && step() >= hits[*next].step) hits[(*next)++].strike(pid);
  };
}

std::vector<int> descendants(int pid, const std::string& program, const std::string& word) {
  std::map<int, int> parent;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const int process = std::atoi(entry.path().filename().c_str());
    if (process <= 0) continue;
    const std::string stat = content(entry.path() / "stat");
    const size_t name_end = stat.rfind(')');
    if (name_end != stat.npos && name_end + 4 < stat.size()) parent[process] = std::atoi(stat.c_str() + name_end + 4);
  }
  std::vector<int> found;
  for (const auto& [process, above] : parent) {
    int up = above;
    while (up > 1 && up != pid && parent.contains(up)) up = parent[up];
    const fs::path folder = "/proc/" + std::to_string(process);
    if (up == pid && content(folder / "comm") == program + "\n" && content(folder / "cmdline").find(word) != std::string::npos)
      found.push_back(process);
  }
  return found;
}

}  // namespace tw
