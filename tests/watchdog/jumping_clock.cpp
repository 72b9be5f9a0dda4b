// Loaded before libc: the wall clock jumps back and forth by hours from one reading to the next, as no clock does. The
// monotonic one stays.
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>

namespace {
long jump() {
  static std::atomic<unsigned> readings{0};
  const unsigned n = readings.fetch_add(1);
  return (long(n * 2654435761u >> 16) % 200001) - 100000;  // seconds
}
}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* t) noexcept {
  using Call = int (*)(clockid_t, timespec*);
  static const Call real = reinterpret_cast<Call>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, t);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) t->tv_sec += jump();
  return result;
}

extern "C" time_t time(time_t* out) noexcept {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}

extern "C" int gettimeofday(timeval* out, void*) noexcept {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  out->tv_sec = t.tv_sec, out->tv_usec = t.tv_nsec / 1000;
  return 0;
}
