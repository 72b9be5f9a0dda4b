#include "src/core/stacks.h"

#include <cxxabi.h>
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace {

constexpr int kDeepest = 96;
int signal_number() { return SIGRTMIN + 5; }

struct Calls {
  void* address[kDeepest];
  std::atomic<int> count{-1};
};

void on_signal(int, siginfo_t* info, void*) {
  const int error = errno;
  if (info->si_code == SI_QUEUE && info->si_pid == ::getpid()) {
    auto& calls = *static_cast<Calls*>(info->si_value.sival_ptr);
    calls.count.store(::backtrace(calls.address, kDeepest), std::memory_order_release);
  }
  errno = error;
}

// Functions of the program that dladdr does not see: all that no other object calls.
class SymbolTable {
 public:
  SymbolTable() {
    dl_iterate_phdr(
        [](dl_phdr_info* program, size_t, void* base) {
          *static_cast<uintptr_t*>(base) = program->dlpi_addr;
          return 1;
        },
        &base_);
    const FileDescriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    struct stat about {};
    if (!file || ::fstat(file.get(), &about) != 0) return;
    const size_t bytes = size_t(about.st_size);
    void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapped == MAP_FAILED) return;
    read(static_cast<const char*>(mapped), bytes);
    ::munmap(mapped, bytes);
    std::sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) { return a.begin < b.begin; });
  }

  std::string name(void* address) const {
    const uintptr_t at = uintptr_t(address);
    const auto behind = std::upper_bound(functions_.begin(), functions_.end(), at - base_,
                                         [](uintptr_t a, const Function& f) { return a < f.begin; });
    if (behind != functions_.begin()) {
      const Function& f = *(behind - 1);
      if (at - base_ - f.begin < std::max<uint64_t>(f.bytes, 1)) return demangled(f.name) + fmt::format("+{:#x}", at - base_ - f.begin);
    }
    Dl_info info{};
    if (::dladdr(address, &info) == 0 || !info.dli_fname) return fmt::format("{:#x}", at);
    const std::string_view path = info.dli_fname;
    const std::string object(path.substr(path.rfind('/') + 1));
    if (!info.dli_sname) return fmt::format("{}+{:#x}", object, at - uintptr_t(info.dli_fbase));
    return fmt::format("{}+{:#x} ({})", demangled(info.dli_sname), at - uintptr_t(info.dli_saddr), object);
  }

 private:
  struct Function {
    uint64_t begin, bytes;
    std::string name;
  };
  static std::string demangled(const std::string& name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    const std::string result = text ? text : name;
    std::free(text);
    return result;
  }
  void read(const char* file, size_t bytes) {
    ElfW(Ehdr) head;
    if (bytes < sizeof head) return;
    std::memcpy(&head, file, sizeof head);
    if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_shentsize != sizeof(ElfW(Shdr))) return;
    const auto within = [&](uint64_t offset, uint64_t size) { return offset <= bytes && size <= bytes - offset; };
    if (!within(head.e_shoff, uint64_t(head.e_shnum) * sizeof(ElfW(Shdr)))) return;
    std::vector<ElfW(Shdr)> sections(head.e_shnum);
    std::memcpy(sections.data(), file + head.e_shoff, sections.size() * sizeof(ElfW(Shdr)));
    for (const auto& s : sections) {
      if (s.sh_type != SHT_SYMTAB || s.sh_link >= sections.size()) continue;
      const auto& names = sections[s.sh_link];
      if (!within(s.sh_offset, s.sh_size) || !within(names.sh_offset, names.sh_size)) return;
      for (uint64_t i = 0; i < s.sh_size / sizeof(ElfW(Sym)); ++i) {
        ElfW(Sym) symbol;
        std::memcpy(&symbol, file + s.sh_offset + i * sizeof symbol, sizeof symbol);
        if ((symbol.st_info & 15) != STT_FUNC || symbol.st_value == 0 || symbol.st_name >= names.sh_size) continue;
        const char* name = file + names.sh_offset + symbol.st_name;
        functions_.push_back({symbol.st_value, symbol.st_size, std::string(name, ::strnlen(name, names.sh_size - symbol.st_name))});
      }
    }
  }

  uintptr_t base_ = 0;
  std::vector<Function> functions_;
};

std::string first_line(const std::string& path) {
  char text[512] = {};
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t n = file ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return "";
  return std::string(text, size_t(::strcspn(text, "\n")));
}

std::string describe(int thread) {
  const std::string folder = fmt::format("/proc/self/task/{}/", thread);
  const std::string stat = first_line(folder + "stat"), sleeps_in = first_line(folder + "wchan");
  const size_t name_end = stat.rfind(')');
  return fmt::format("thread {} \"{}\", state {}{}", thread, first_line(folder + "comm"),
                     name_end != std::string::npos && name_end + 2 < stat.size() ? stat.substr(name_end + 2, 1) : "unknown",
                     sleeps_in.empty() || sleeps_in == "0" ? "" : ", in " + sleeps_in + " of the kernel");
}

std::vector<int> threads() {
  std::vector<int> all;
  DIR* folder = ::opendir("/proc/self/task");
  if (!folder) return all;
  while (const dirent* entry = ::readdir(folder))
    if (const int id = std::atoi(entry->d_name); id > 0) all.push_back(id);
  ::closedir(folder);
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

void prepare_stacks() {
  void* loads_the_unwinder[2];
  ::backtrace(loads_the_unwinder, 2);
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  TW_CHECK(::sigaction(signal_number(), &action, nullptr) == 0, bug, "cannot install a handler for signal {}", signal_number());
}

std::string stacks_of_all_threads(double seconds) {
  const double deadline = now_seconds() + seconds;
  const SymbolTable symbols;
  const int self = int(::syscall(SYS_gettid));
  const std::vector<int> all = threads();
  std::vector<Calls*> calls;  // never freed: a thread may answer after the deadline
  for (const int thread : all) {
    calls.push_back(new Calls);
    if (thread == self) continue;
    siginfo_t info{};
    info.si_code = SI_QUEUE, info.si_pid = ::getpid(), info.si_uid = ::getuid();
    info.si_value.sival_ptr = calls.back();
    ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), thread, signal_number(), &info);
  }
  std::string text;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] == self) continue;  // the one that asks
    int count;
    while ((count = calls[i]->count.load(std::memory_order_acquire)) < 0 && now_seconds() < deadline) ::usleep(1000);
    text += describe(all[i]) + (count < 0 ? ": no answer\n" : "\n");
    for (int c = 2; c < count; ++c)  // without the handler and the kernel's return from it
      text += fmt::format("  #{:<2} {}\n", c - 2, symbols.name(calls[i]->address[c]));
  }
  return text;
}

}  // namespace tw
