// Processes below another one, and their ends.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace tw::storm {

struct Process {
  pid_t pid = 0, parent = 0;
  unsigned long long start = 0;  // clock ticks since boot: tells a process from a later one of its number
  std::string name;              // as in /proc/PID/stat, 15 letters
};
std::vector<Process> descendants(pid_t root);  // without `root`
bool runs(const Process& process);             // a zombie does not
// Waits until none of them runs, for `limit` seconds at most; those left get SIGKILL and are returned. `seconds`: how long it waited.
std::vector<Process> kill_late(std::vector<Process> processes, double limit, double& seconds);

}  // namespace tw::storm
