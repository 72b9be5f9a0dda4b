#include "src/core/clock.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>

namespace tw {

double process_age_seconds() noexcept {
  // Field 22 of /proc/self/stat: start in clock ticks since boot; the name may hold spaces, so
  // fields are counted from the last ')'.
  char text[1024] = {};
  std::FILE* f = std::fopen("/proc/self/stat", "r");
  if (!f) return 0;
  const size_t n = std::fread(text, 1, sizeof text - 1, f);
  std::fclose(f);
  if (n == 0) return 0;
  const char* p = std::strrchr(text, ')');
  for (int field = 2; p && field < 22; ++field) p = std::strchr(p + 1, ' ');
  if (!p) return 0;
  unsigned long long ticks = 0;
  if (std::sscanf(p, " %llu", &ticks) != 1) return 0;
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return double(t.tv_sec) + double(t.tv_nsec) * 1e-9 - double(ticks) / double(sysconf(_SC_CLK_TCK));
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
