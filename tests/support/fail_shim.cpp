// Put before the C library by LD_PRELOAD: calls on files below a folder fail when their turn comes.
//   TW_FAIL=N:once|forever:ERRNO[:CALL]   the N-th call (from 1, of all threads), or each from the N-th on, fails with this
//                                         errno; ERRNO "short" = reads and writes do half, the others are not counted;
//                                         CALL = count this one alone (fsync, rename, ...)
//   TW_FAIL_UNDER=FOLDER                  what is counted: calls whose path or file lies in it
// The first call that fails is told on standard error: "fail_shim: N fsync /path".
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Plan {
  long turn = 0;
  bool forever = false, halves = false;
  int error = EIO;
  char call[32] = "", under[PATH_MAX] = "";

  Plan() {
    const char *text = std::getenv("TW_FAIL"), *folder = std::getenv("TW_FAIL_UNDER");
    char mode[16] = "", error_text[16] = "";
    if (!text || !folder || std::sscanf(text, "%ld:%15[a-z]:%15[a-z0-9]:%31s", &turn, mode, error_text, call) < 3) return;
    forever = std::strcmp(mode, "forever") == 0;
    halves = std::strcmp(error_text, "short") == 0;
    if (!halves) error = std::atoi(error_text);
    std::snprintf(under, sizeof under, "%s", folder);
  }
};
std::atomic<long> calls{0};

// Whether this call's turn has come. path: null = of the file `fd`.
bool fails(const char* call, const char* path, int fd = -1, bool moves_data = false) {
  static const Plan plan;
  if (plan.turn == 0 || (plan.halves && !moves_data) || (plan.call[0] && std::strcmp(plan.call, call) != 0)) return false;
  char buffer[PATH_MAX];
  const int kept = errno;
  if (!path || path[0] != '/') {  // of a folder that is open, or relative to it: its own path will do
    char link[64];
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const long n = syscall(SYS_readlink, link, buffer, sizeof buffer - 1);
    errno = kept;
    if (n <= 0) return false;
    buffer[n] = 0;
    path = buffer;
  }
  if (std::strncmp(path, plan.under, std::strlen(plan.under)) != 0) return false;
  const long number = ++calls;
  if (plan.forever ? number < plan.turn : number != plan.turn) return false;
  if (number == plan.turn) {
    char line[PATH_MAX + 64];
    const int n = std::snprintf(line, sizeof line, "fail_shim: %ld %s %s\n", number, call, path);
    syscall(SYS_write, 2, line, size_t(n));
  }
  errno = plan.halves ? kept : plan.error;
  return true;
}
bool halves() {
  static const Plan plan;
  return plan.halves;
}

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
#define REAL(name) static const auto next = real<decltype(&::name)>(#name)

int mode_of(int flags, va_list more) { return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, int) : 0; }

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int mode = mode_of(flags, more);
  va_end(more);
  REAL(open);
  return fails("open", path) ? -1 : next(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int mode = mode_of(flags, more);
  va_end(more);
  REAL(open64);
  return fails("open", path) ? -1 : next(path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int mode = mode_of(flags, more);
  va_end(more);
  REAL(openat);
  return fails("open", path, folder) ? -1 : next(folder, path, flags, mode);
}
int openat64(int folder, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int mode = mode_of(flags, more);
  va_end(more);
  REAL(openat64);
  return fails("open", path, folder) ? -1 : next(folder, path, flags, mode);
}
// A close that fails has closed all the same, as on Linux.
int close(int fd) {
  REAL(close);
  const bool bad = fails("close", nullptr, fd);
  const int error = errno, result = next(fd);
  if (!bad || result != 0) return result;
  errno = error;
  return -1;
}

ssize_t write(int fd, const void* data, size_t bytes) {
  REAL(write);
  if (!fails("write", nullptr, fd, true)) return next(fd, data, bytes);
  return halves() ? next(fd, data, (bytes + 1) / 2) : -1;
}
ssize_t pwrite(int fd, const void* data, size_t bytes, off_t at) {
  REAL(pwrite);
  if (!fails("pwrite", nullptr, fd, true)) return next(fd, data, bytes, at);
  return halves() ? next(fd, data, (bytes + 1) / 2, at) : -1;
}
ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t at) { return pwrite(fd, data, bytes, at); }
ssize_t read(int fd, void* data, size_t bytes) {
  REAL(read);
  if (!fails("read", nullptr, fd, true)) return next(fd, data, bytes);
  return halves() ? next(fd, data, (bytes + 1) / 2) : -1;
}
ssize_t pread(int fd, void* data, size_t bytes, off_t at) {
  REAL(pread);
  if (!fails("pread", nullptr, fd, true)) return next(fd, data, bytes, at);
  return halves() ? next(fd, data, (bytes + 1) / 2, at) : -1;
}
ssize_t pread64(int fd, void* data, size_t bytes, off64_t at) { return pread(fd, data, bytes, at); }

int fsync(int fd) {
  REAL(fsync);
  return fails("fsync", nullptr, fd) ? -1 : next(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return fails("fdatasync", nullptr, fd) ? -1 : next(fd);
}
int ftruncate(int fd, off_t bytes) noexcept {
  REAL(ftruncate);
  return fails("ftruncate", nullptr, fd) ? -1 : next(fd, bytes);
}
int ftruncate64(int fd, off64_t bytes) noexcept { return ftruncate(fd, bytes); }
int posix_fallocate(int fd, off_t at, off_t bytes) {
  REAL(posix_fallocate);
  return fails("posix_fallocate", nullptr, fd) ? errno : next(fd, at, bytes);
}
int posix_fallocate64(int fd, off64_t at, off64_t bytes) { return posix_fallocate(fd, at, bytes); }

int rename(const char* from, const char* to) noexcept {
  REAL(rename);
  return fails("rename", to) ? -1 : next(from, to);
}
int link(const char* from, const char* to) noexcept {
  REAL(link);
  return fails("link", to) ? -1 : next(from, to);
}
int unlink(const char* path) noexcept {
  REAL(unlink);
  return fails("unlink", path) ? -1 : next(path);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  REAL(unlinkat);
  return fails("unlink", path, folder) ? -1 : next(folder, path, flags);
}
int rmdir(const char* path) noexcept {
  REAL(rmdir);
  return fails("rmdir", path) ? -1 : next(path);
}
int remove(const char* path) noexcept {
  REAL(remove);
  return fails("remove", path) ? -1 : next(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  REAL(mkdir);
  return fails("mkdir", path) ? -1 : next(path, mode);
}
int stat(const char* path, struct stat* to) noexcept {
  REAL(stat);
  return fails("stat", path) ? -1 : next(path, to);
}
int fstat(int fd, struct stat* to) noexcept {
  REAL(fstat);
  return fails("fstat", nullptr, fd) ? -1 : next(fd, to);
}
DIR* opendir(const char* path) {
  REAL(opendir);
  return fails("opendir", path) ? nullptr : next(path);
}
}  // extern "C"
