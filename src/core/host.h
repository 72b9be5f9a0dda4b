// What the kernel says of this host and its processes. Nothing throws: what cannot be seen is "".
#pragma once
#include <string>

namespace tw {

std::string host_name();                        // "unknown" where there is none
std::string boot_id();                          // another after each start of the host
std::string namespace_id(const char* kind);     // of this process: "pid", "net" (namespaces(7))

// /proc/PROCESS/stat (proc(5)), read once. process: a number, or "self".
class ProcessStat {
 public:
  explicit ProcessStat(const std::string& process);
  std::string field(int number) const;  // from 3, the state, on

 private:
  std::string rest_;  // behind the name, which may hold anything
};

}  // namespace tw
