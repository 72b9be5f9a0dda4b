// Preloaded into a program (LD_PRELOAD): sees each call that changes a file system below TW_TAP_ROOT, in one order over all
// threads and processes, and records it with its bytes, or kills the caller before it.
//   TW_TAP_ROOT   absolute folder; calls elsewhere pass by
//   TW_TAP_STATE  a file of 8 zero bytes: the number of calls so far, and the lock
//   TW_TAP_LOG    where calls are appended (tests/storm/trace.h reads them); none = they are only counted
//   TW_TAP_KILL   N: SIGKILL to the process that is about to make call N (from 1)
// Calls that glibc makes inside itself (a FILE's writes) go unseen; whoever reads a trace checks that it gives the same files.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>

#include "tests/storm/trace_format.h"

namespace {
using tw::storm::Call;
using tw::storm::RecordHead;

template <typename F>
F real(F, const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}
#define REAL(name) static const auto next = real(&::name, #name)

struct Tap {
  std::string root;
  int state = -1, log = -1;
  volatile uint64_t* count = nullptr;
  uint64_t kill_at = 0;
  std::mutex mutex;

  Tap() {
    const char* where = std::getenv("TW_TAP_ROOT");
    const char* file = std::getenv("TW_TAP_STATE");
    if (!where || !file) return;
    state = int(::syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC));
    if (state < 0) std::abort();
    void* p = ::mmap(nullptr, 8, PROT_READ | PROT_WRITE, MAP_SHARED, state, 0);
    if (p == MAP_FAILED) std::abort();
    count = static_cast<volatile uint64_t*>(p);
    if (const char* path = std::getenv("TW_TAP_LOG")) {
      log = int(::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
      if (log < 0) std::abort();
    }
    if (const char* n = std::getenv("TW_TAP_KILL")) kill_at = std::strtoull(n, nullptr, 10);
    root = where;
  }
};
Tap& tap() {
  static Tap* const one = new Tap;  // outlives every destructor that still writes
  return *one;
}

// The path below the root, "" for the root itself; false where it lies elsewhere.
bool below_root(std::string path, std::string& relative) {
  const std::string& root = tap().root;
  if (root.empty() || path.compare(0, root.size(), root) != 0) return false;
  if (path.size() > root.size() && path[root.size()] != '/') return false;
  relative = path.size() > root.size() ? path.substr(root.size() + 1) : "";
  while (!relative.empty() && relative.back() == '/') relative.pop_back();
  return true;
}

std::string path_of(int fd) {
  char link[64], target[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t n = ::readlink(link, target, sizeof target);
  return n > 0 ? std::string(target, size_t(n)) : "";
}

// Absolute, without "." and doubled slashes; ".." is not used by the programs under test.
std::string absolute(int folder, const char* path) {
  std::string text = path;
  if (text.empty() || text[0] != '/') {
    char here[PATH_MAX];
    const std::string base = folder == AT_FDCWD ? (::getcwd(here, sizeof here) ? here : "") : path_of(folder);
    text = base + "/" + text;
  }
  std::string clean;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('/', at), text.size());
    const std::string part = text.substr(at, end - at);
    if (!part.empty() && part != ".") clean += "/" + part;
    at = end + 1;
  }
  return clean;
}

uint64_t inode(const struct stat& s) { return uint64_t(s.st_ino); }

// One call: waits for its turn, counts, kills; afterwards records what was done if it worked.
class Turn {
 public:
  Turn() : hold_(tap().mutex) {
    while (::flock(tap().state, LOCK_EX) != 0 && errno == EINTR) {}
    *tap().count = *tap().count + 1;
    if (tap().kill_at && *tap().count == tap().kill_at) {
      ::kill(::getpid(), SIGKILL);
      for (;;) ::pause();  // no other thread of this process may make a call meanwhile
    }
  }
  ~Turn() {
    const int error = errno;
    ::flock(tap().state, LOCK_UN);
    errno = error;
  }
  void record(Call call, const std::string& path, const std::string& other, uint64_t ino, int64_t offset, int64_t length,
              const void* data = nullptr) const {
    if (tap().log < 0) return;
    const int error = errno;
    RecordHead head{};
    head.call = call, head.thread = uint32_t(::syscall(SYS_gettid)), head.inode = ino, head.offset = offset, head.length = length;
    head.path_bytes = uint32_t(path.size()), head.other_bytes = uint32_t(other.size());
    head.data_bytes = data ? uint64_t(length) : 0;
    std::string record(reinterpret_cast<const char*>(&head), sizeof head);
    record += path + other;
    if (data) record.append(static_cast<const char*>(data), size_t(length));
    for (size_t at = 0; at < record.size();) {
      const long n = ::syscall(SYS_write, tap().log, record.data() + at, record.size() - at);
      if (n <= 0) std::abort();
      at += size_t(n);
    }
    errno = error;
  }

 private:
  std::lock_guard<std::mutex> hold_;
};

bool tracked(int fd, std::string& path) { return fd > 2 && !tap().root.empty() && below_root(path_of(fd), path); }

// Opens that create or truncate; others are no business of the tap.
template <typename Open>
auto opened(int folder, const char* name, bool creates, bool truncates, Open open) -> decltype(open()) {
  std::string path;
  if ((!creates && !truncates) || tap().root.empty() || !below_root(absolute(folder, name), path)) return open();
  struct stat s {};
  const bool there = ::stat((tap().root + "/" + path).c_str(), &s) == 0;
  if (there && (!truncates || s.st_size == 0)) return open();
  const Turn turn;
  const auto result = open();
  if (::stat((tap().root + "/" + path).c_str(), &s) == 0)
    turn.record(there ? Call::truncate : Call::create, path, "", inode(s), 0, 0);
  return result;
}

ssize_t written(int fd, const std::string& path, const Turn& turn, ssize_t n, const void* data, int64_t offset) {
  struct stat s {};
  if (n > 0 && ::fstat(fd, &s) == 0) turn.record(Call::write, path, "", inode(s), offset, n, data);
  return n;
}

int64_t position(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  struct stat s {};
  if (flags >= 0 && (flags & O_APPEND) && ::fstat(fd, &s) == 0) return s.st_size;
  return ::lseek(fd, 0, SEEK_CUR);
}

template <typename Do>
int on_file(int fd, Call call, int64_t offset, int64_t length, Do act) {
  std::string path;
  if (!tracked(fd, path)) return act();
  const Turn turn;
  const int code = act();
  struct stat s {};
  if (code == 0 && ::fstat(fd, &s) == 0) turn.record(call, path, "", inode(s), offset, length);
  return code;
}

template <typename Do>
int on_name(Call call, const std::string& name, const std::string& other, Do act) {
  std::string path, second;
  if (tap().root.empty() || !below_root(name, path)) return act();
  if (!other.empty() && !below_root(other, second)) return act();
  const Turn turn;
  struct stat s {};
  ::lstat(name.c_str(), &s);
  const bool folder = S_ISDIR(s.st_mode);
  const int code = act();
  if (code != 0) return code;
  if (call == Call::make_folder) ::lstat(name.c_str(), &s);
  if (call == Call::unlink && folder) call = Call::remove_folder;
  turn.record(call, path, second, inode(s), 0, 0);
  return code;
}

bool wants_mode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }
#define TAKE_MODE                \
  mode_t mode = 0;               \
  if (wants_mode(flags)) {       \
    va_list rest;                \
    va_start(rest, flags);       \
    mode = va_arg(rest, mode_t); \
    va_end(rest);                \
  }
bool creates(int flags) { return (flags & O_CREAT) != 0; }
bool truncates(int flags) { return (flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  TAKE_MODE
  REAL(open);
  return opened(AT_FDCWD, path, creates(flags), truncates(flags), [&] { return next(path, flags, mode); });
}
int open64(const char* path, int flags, ...) {
  TAKE_MODE
  REAL(open64);
  return opened(AT_FDCWD, path, creates(flags), truncates(flags), [&] { return next(path, flags, mode); });
}
int openat(int folder, const char* path, int flags, ...) {
  TAKE_MODE
  REAL(openat);
  return opened(folder, path, creates(flags), truncates(flags), [&] { return next(folder, path, flags, mode); });
}
int openat64(int folder, const char* path, int flags, ...) {
  TAKE_MODE
  REAL(openat64);
  return opened(folder, path, creates(flags), truncates(flags), [&] { return next(folder, path, flags, mode); });
}
FILE* fopen(const char* path, const char* mode) {
  REAL(fopen);
  return opened(AT_FDCWD, path, mode[0] != 'r', mode[0] == 'w', [&] { return next(path, mode); });
}
FILE* fopen64(const char* path, const char* mode) {
  REAL(fopen64);
  return opened(AT_FDCWD, path, mode[0] != 'r', mode[0] == 'w', [&] { return next(path, mode); });
}

ssize_t write(int fd, const void* data, size_t bytes) {
  REAL(write);
  std::string path;
  if (!tracked(fd, path)) return next(fd, data, bytes);
  const Turn turn;
  const int64_t at = position(fd);
  return written(fd, path, turn, next(fd, data, bytes), data, at);
}
ssize_t writev(int fd, const struct iovec* parts, int count) {
  REAL(writev);
  std::string path;
  if (!tracked(fd, path)) return next(fd, parts, count);
  const Turn turn;
  const int64_t at = position(fd);
  std::string all;
  for (int i = 0; i < count; ++i) all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return written(fd, path, turn, next(fd, parts, count), all.data(), at);
}
ssize_t pwrite(int fd, const void* data, size_t bytes, off_t at) {
  REAL(pwrite);
  std::string path;
  if (!tracked(fd, path)) return next(fd, data, bytes, at);
  const Turn turn;
  return written(fd, path, turn, next(fd, data, bytes, at), data, at);
}
ssize_t pwrite64(int fd, const void* data, size_t bytes, off64_t at) {
  REAL(pwrite64);
  std::string path;
  if (!tracked(fd, path)) return next(fd, data, bytes, at);
  const Turn turn;
  return written(fd, path, turn, next(fd, data, bytes, at), data, at);
}
int ftruncate(int fd, off_t length) noexcept {
  REAL(ftruncate);
  return on_file(fd, Call::truncate, 0, length, [&] { return next(fd, length); });
}
int ftruncate64(int fd, off64_t length) noexcept {
  REAL(ftruncate64);
  return on_file(fd, Call::truncate, 0, length, [&] { return next(fd, length); });
}
int posix_fallocate(int fd, off_t offset, off_t length) {
  REAL(posix_fallocate);
  return on_file(fd, Call::allocate, offset, length, [&] { return next(fd, offset, length); });
}
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
  REAL(posix_fallocate64);
  return on_file(fd, Call::allocate, offset, length, [&] { return next(fd, offset, length); });
}
int fsync(int fd) {
  REAL(fsync);
  return on_file(fd, Call::flush, 0, 0, [&] { return next(fd); });
}
int fdatasync(int fd) {
  REAL(fdatasync);
  return on_file(fd, Call::flush, 0, 0, [&] { return next(fd); });
}

int rename(const char* from, const char* to) noexcept {
  REAL(rename);
  return on_name(Call::rename, absolute(AT_FDCWD, from), absolute(AT_FDCWD, to), [&] { return next(from, to); });
}
int renameat(int f, const char* from, int t, const char* to) noexcept {
  REAL(renameat);
  return on_name(Call::rename, absolute(f, from), absolute(t, to), [&] { return next(f, from, t, to); });
}
int link(const char* from, const char* to) noexcept {
  REAL(link);
  return on_name(Call::link, absolute(AT_FDCWD, from), absolute(AT_FDCWD, to), [&] { return next(from, to); });
}
int unlink(const char* path) noexcept {
  REAL(unlink);
  return on_name(Call::unlink, absolute(AT_FDCWD, path), "", [&] { return next(path); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  REAL(unlinkat);
  return on_name(Call::unlink, absolute(folder, path), "", [&] { return next(folder, path, flags); });
}
int remove(const char* path) noexcept {
  REAL(remove);
  return on_name(Call::unlink, absolute(AT_FDCWD, path), "", [&] { return next(path); });
}
int rmdir(const char* path) noexcept {
  REAL(rmdir);
  return on_name(Call::unlink, absolute(AT_FDCWD, path), "", [&] { return next(path); });
}
int mkdir(const char* path, mode_t mode) noexcept {
  REAL(mkdir);
  return on_name(Call::make_folder, absolute(AT_FDCWD, path), "", [&] { return next(path, mode); });
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  REAL(mkdirat);
  return on_name(Call::make_folder, absolute(folder, path), "", [&] { return next(folder, path, mode); });
}

}  // extern "C"
