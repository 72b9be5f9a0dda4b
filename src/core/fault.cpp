#include "src/core/fault.h"

#if defined(TW_FAULT_POINTS)
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "src/core/error.h"
#include "src/core/log.h"

namespace tw {
namespace {
struct Fault {
  std::string point, rank, action;
  long pass = 0;
  static Fault parse() {
    Fault f;
    const char* text = std::getenv("TW_FAULT");
    if (!text) return f;
    std::string s = text, parts[4];
    for (int i = 0; i < 4 && !s.empty(); ++i) {
      const size_t colon = i < 3 ? s.find(':') : std::string::npos;
      parts[i] = s.substr(0, colon);
      s = colon == std::string::npos ? "" : s.substr(colon + 1);
    }
    f.point = parts[0], f.rank = parts[1].empty() ? "*" : parts[1];
    f.pass = parts[2].empty() ? 1 : std::strtol(parts[2].c_str(), nullptr, 10);
    f.action = parts[3].empty() ? "kill" : parts[3];
    return f;
  }
};
}  // namespace

void fault_point(const char* name) {
  static const Fault fault = Fault::parse();
  static std::atomic<long> passes{0};
  if (fault.point.empty() || fault.point != name) return;
  if (fault.rank != "*" && fault.rank != std::to_string(log_rank() < 0 ? 0 : log_rank())) return;
  const long pass = ++passes;
  if (fault.action == "slow" && pass > fault.pass) ::usleep(50000);
  if (pass != fault.pass) return;
  if (fault.action == "error") TW_FAIL(io, "fault point {} fired", name);
  if (fault.action == "exit") ::_exit(70);
  if (fault.action == "slow") return void(::usleep(50000));
  if (fault.action == "sleep" || fault.action == "loop") log_warning("fault point {}: {}", name, fault.action);
  if (fault.action == "sleep")
    for (;;) ::pause();
  if (fault.action == "loop")
    for (std::atomic<long> turns{0};; ++turns) {}
  ::kill(::getpid(), fault.action == "stop" ? SIGSTOP : SIGKILL);
}
}  // namespace tw
#endif
