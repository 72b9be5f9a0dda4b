#include "src/core/clock.h"

#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "src/core/host.h"

namespace tw {

double process_age_seconds() noexcept {
  const std::string start = ProcessStat("self").field(22);  // clock ticks since boot
  if (start.empty()) return 0;
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9 - std::strtod(start.c_str(), nullptr) / double(sysconf(_SC_CLK_TCK));
}

double unix_seconds() noexcept {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string iso_time(double unix_s) {
  const std::time_t t = std::time_t(unix_s);
  std::tm parts{};
  gmtime_r(&t, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace tw
