#include "tests/storm/process_tree.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "tests/storm/part.h"

namespace tw::storm {
namespace {

struct Stat { Process process; char state = '?'; };

std::optional<Stat> read_stat(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(file, text)) return std::nullopt;
  const size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  Stat s;
  s.process.pid = pid, s.process.name = text.substr(open + 1, close - open - 1);
  std::istringstream rest(text.substr(close + 2));
  rest >> s.state >> s.process.parent;
  std::string skip;
  for (int field = 5; field < 22; ++field) rest >> skip;  // proc(5)
  rest >> s.process.start;
  return s;
}

}  // namespace

std::vector<Process> descendants(pid_t root) {
  std::vector<Process> all;
  if (DIR* proc = ::opendir("/proc")) {
    while (const dirent* entry = ::readdir(proc))
      if (const pid_t pid = std::atoi(entry->d_name); pid > 0)
        if (const auto s = read_stat(pid); s && s->state != 'Z') all.push_back(s->process);
    ::closedir(proc);
  }
  std::vector<Process> found;
  std::vector<pid_t> parents = {root};
  for (size_t p = 0; p < parents.size(); ++p)
    for (const Process& process : all)
      if (process.parent == parents[p]) found.push_back(process), parents.push_back(process.pid);
  return found;
}

bool runs(const Process& process) {
  const auto now = read_stat(process.pid);
  return now && now->process.start == process.start && now->state != 'Z';
}

std::vector<Process> kill_late(std::vector<Process> processes, double limit, double& seconds) {
  const Stopwatch watch;
  for (;; ::usleep(20000)) {
    std::erase_if(processes, [](const Process& p) { return !runs(p); });
    seconds = watch.seconds();
    if (processes.empty() || seconds > limit) break;
  }
  for (const Process& p : processes) ::kill(p.pid, SIGKILL);
  return processes;
}

}  // namespace tw::storm
