#include "src/core/system_call_filter.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace tw {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kMachine = 0;  // install() says no
#endif

constexpr long kMemory[] = {SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_write, SYS_writev, SYS_read, SYS_readv, SYS_pread64, SYS_lseek,
                            SYS_close, SYS_fstat, SYS_futex, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_clock_nanosleep,
                            SYS_nanosleep, SYS_getrandom, SYS_getpid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
                            SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_exit, SYS_exit_group, SYS_sysinfo,
                            SYS_getrusage, SYS_times, SYS_sched_yield, SYS_sched_getaffinity, SYS_getcpu, SYS_set_robust_list, SYS_restart_syscall,
                            SYS_uname, SYS_ppoll, SYS_rseq,
#ifdef SYS_poll
                            SYS_poll,
#endif
};
constexpr long kFiles[] = {SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64,
                           SYS_getcwd, SYS_fadvise64, SYS_dup, SYS_fcntl, SYS_readahead,
#ifdef SYS_stat
                           SYS_stat, SYS_lstat, SYS_access, SYS_readlink,
#endif
};
constexpr long kProgram[] = {SYS_execve, SYS_set_tid_address, SYS_ioctl, SYS_dup3, SYS_pipe2, SYS_getppid, SYS_mprotect, SYS_mmap,
#ifdef SYS_arch_prctl
                             SYS_arch_prctl, SYS_dup2,
#endif
};

}  // namespace

SystemCallFilter::SystemCallFilter(SystemCalls allowed) {
  constexpr uint32_t kNo = SECCOMP_RET_ERRNO | EPERM, kAbsent = SECCOMP_RET_ERRNO | ENOSYS, kYes = SECCOMP_RET_ALLOW;
  const auto put = [&](uint16_t operation, uint32_t k, uint8_t if_true = 0, uint8_t if_false = 0) {
    code_.push_back({operation, if_true, if_false, k});
  };
  const auto load = [&](size_t offset) { put(BPF_LD | BPF_W | BPF_ABS, uint32_t(offset)); };
  const auto answer = [&](uint32_t what) { put(BPF_RET | BPF_K, what); };
  const auto argument = [](int i) { return offsetof(seccomp_data, args) + 8 * size_t(i); };  // its lower half: little-endian
  const auto always = [&](long call, uint32_t what) {
    put(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(call), 0, 1);
    answer(what);
  };
  // Answers `set` where one of `bits` is set in the argument, else `clear`.
  const auto by_bits = [&](long call, int i, uint32_t bits, uint32_t set, uint32_t clear) {
    put(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(call), 0, 4);
    load(argument(i));
    put(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    answer(set);
    answer(clear);
  };

  load(offsetof(seccomp_data, arch));
  put(BPF_JMP | BPF_JEQ | BPF_K, kMachine, 1, 0);
  answer(SECCOMP_RET_KILL_PROCESS);
  load(offsetof(seccomp_data, nr));
#ifdef __x86_64__
  put(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);  // x32 has numbers of its own
  answer(SECCOMP_RET_KILL_PROCESS);
#endif
  if (allowed >= SystemCalls::program) {
    for (const long call : kProgram) always(call, kYes);
    by_bits(SYS_prlimit64, 2, ~0u, kNo, kYes);  // to look, not to set
  }
  if (allowed >= SystemCalls::files) {
    constexpr uint32_t kWrites = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
#ifdef SYS_open
    by_bits(SYS_open, 1, kWrites, kNo, kYes);
#endif
    by_bits(SYS_openat, 2, kWrites, kNo, kYes);
    for (const long call : kFiles) always(call, kYes);
  }
  for (const long call : kMemory) always(call, kYes);
  by_bits(SYS_mmap, 2, PROT_EXEC, kNo, kYes);
  by_bits(SYS_mprotect, 2, PROT_EXEC, kNo, kYes);
  by_bits(SYS_clone, 0, CLONE_THREAD, kYes, kNo);
#ifdef SYS_clone3
  always(SYS_clone3, kAbsent);  // its flags lie in memory, where a filter cannot look: the C library then takes clone
#endif
  answer(kNo);
}

bool SystemCallFilter::install() const noexcept {
  if (kMachine == 0) return false;
  const sock_fprog program{static_cast<unsigned short>(code_.size()), const_cast<sock_filter*>(code_.data())};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

}  // namespace tw
