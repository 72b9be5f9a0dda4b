#include "src/core/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <new>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "src/core/error.h"

namespace tw {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

std::pair<ExitCode, std::string> ending(const SandboxLimits& limits, const std::function<std::string()>& work) {
  try {
    return {ExitCode::ok, run_sandboxed("x.h5", limits, work)};
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
}

// "" where the call failed, else its name: what the sandbox should have refused.
std::string tried(const char* name, int64_t result) { return result < 0 ? "" : std::string(name) + " "; }

TEST(Sandbox, WhatTheWorkGivesComesBack) {
  EXPECT_EQ(run_sandboxed("x", {}, [] { return std::string("hello"); }), "hello");
  EXPECT_EQ(run_sandboxed("x", {}, [] { return std::string(); }), "");
  const std::string much(10'000'000, 'a');
  EXPECT_EQ(run_sandboxed("x", {}, [&] { return much; }), much);
  int pieces = 0;
  run_sandboxed("x", {}, [](const SandboxWrite& write) { for (int i = 0; i < 100; ++i) write("ab"); }, [&](std::string_view p) { pieces += p == "ab"; });
  EXPECT_EQ(pieces, 100);
  EXPECT_EQ(run_sandboxed("x", {}, [] { return run_sandboxed("y", {}, [] { return std::string("within"); }); }), "within");
}

// Small files: what stands in one, and which process read it.
void tell(std::string_view file, int64_t number, const SandboxWrite& write) {
  if (file == "die") std::abort();
  if (file == "wrong") TW_FAIL(data, "no file");
  if (file == "much") return write(std::string(20'000'000, 'm'));
  write(std::string(file) + " " + std::to_string(number) + " " + std::to_string(::getpid()));
}
// The words that tell() says: file, number, process.
std::vector<std::string> told(std::string_view file, int64_t number) {
  std::string all;
  run_sandboxed_small("x.png", {}, tell, file, number, [&](std::string_view piece) { all += piece; });
  std::istringstream words(all);
  return {std::istream_iterator<std::string>(words), {}};
}

TEST(Sandbox, SmallFilesGoToOneChildWhileThatIsWanted) {
  std::set<std::string> apart, shared;
  for (int i = 0; i < 10; ++i) apart.insert(told("a", i).at(2));
  EXPECT_EQ(apart.size(), 10u);
  {
    const SandboxReuse outer;
    for (int i = 0; i < 2 * kFilesOfAChild; ++i) {
      const SandboxReuse inner;
      const auto words = told("f" + std::to_string(i), -i);
      EXPECT_EQ(words.at(0), "f" + std::to_string(i));
      EXPECT_EQ(words.at(1), std::to_string(-i));
      shared.insert(words.at(2));
    }
    EXPECT_EQ(shared.size(), 2u) << "each reads kFilesOfAChild";
    EXPECT_EQ(run_sandboxed("y", {}, [] { return told("nested", 1).at(0); }), "nested");
    EXPECT_EQ(told(std::string(kSmallFile, 'x'), 1).at(0).size(), kSmallFile);
    EXPECT_EQ(told(std::string(kSmallFile + 1, 'x'), 1).at(0).size(), kSmallFile + 1) << "in a child of its own";
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
  EXPECT_EQ(errno, ECHILD);
}

TEST(Sandbox, ABadSmallFileCostsOnlyItself) {
  const SandboxReuse reuse;
  for (int round = 0; round < 3; ++round) {
    const std::string process = told("a", 1).at(2);
    EXPECT_EQ(told("b", 2).at(2), process);
    EXPECT_THAT([] { told("die", 3); }, testing::ThrowsMessage<Error>(HasSubstr("x.png: its reader was ended by signal")));
    EXPECT_NE(told("c", 4).at(2), process);
    EXPECT_THAT([] { told("wrong", 5); }, testing::ThrowsMessage<Error>(HasSubstr("x.png: no file")));
    EXPECT_EQ(told("much", 6).at(0).size(), 20'000'000u) << "a result larger than what is kept";
    EXPECT_EQ(told("", 7).at(0), "7");
  }
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        if (i % 100 == 99) {
          EXPECT_THROW(told("die", 0), Error);
          continue;
        }
        const auto words = told("t" + std::to_string(t), i);
        right += words.at(0) == "t" + std::to_string(t) && words.at(1) == std::to_string(i);
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(right, 4 * 297);
}

TEST(Sandbox, NothingButMemoryCanBeUsed) {
  const std::filesystem::path here = std::filesystem::temp_directory_path() / ("tw_sandbox_" + std::to_string(::getpid()));
  std::ofstream(here) << "secret";
  for (const SystemCalls calls : {SystemCalls::memory, SystemCalls::files}) {
    const bool reads = calls == SystemCalls::files;
    const auto [code, text] = ending({.calls = calls}, [&] {
      std::string done;
      if (!reads) done += tried("open", ::open(here.c_str(), O_RDONLY));
      if (reads && ::open(here.c_str(), O_RDONLY) < 0) done += "cannot-read ";
      done += tried("open-to-write", ::open(here.c_str(), O_WRONLY));
      done += tried("open-to-update", ::open(here.c_str(), O_RDWR));
      done += tried("create", ::open((here.string() + "2").c_str(), O_RDONLY | O_CREAT, 0600));
      done += tried("temporary", ::open("/tmp", O_TMPFILE | O_RDWR, 0600));
      done += tried("truncate", ::truncate(here.c_str(), 0));
      done += tried("unlink", ::unlink(here.c_str()));
      done += tried("rename", ::rename(here.c_str(), "/tmp/tw_sandbox_renamed"));
      done += tried("link", ::link(here.c_str(), "/tmp/tw_sandbox_link"));
      done += tried("symlink", ::symlink("/etc/passwd", "/tmp/tw_sandbox_link"));
      done += tried("mkdir", ::mkdir("/tmp/tw_sandbox_folder", 0700));
      done += tried("chmod", ::chmod(here.c_str(), 0777));
      done += tried("socket", ::socket(AF_INET, SOCK_STREAM, 0));
      done += tried("socket-unix", ::socket(AF_UNIX, SOCK_STREAM, 0));
      done += tried("pipe", [] { int p[2]; return ::pipe(p); }());
      const pid_t child = ::fork();
      if (child == 0) ::_exit(0);
      done += tried("fork", child);
      done += tried("exec", ::execl("/bin/true", "true", nullptr));
      done += tried("kill", ::kill(::getppid(), 0));
      done += tried("ptrace", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
      const rlimit more{RLIM_INFINITY, RLIM_INFINITY};
      done += tried("setrlimit", ::setrlimit(RLIMIT_DATA, &more));
      void* code = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      done += tried("map-code", code == MAP_FAILED ? -1 : 0);
      void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      done += page == MAP_FAILED ? "no-memory " : tried("make-code", ::mprotect(page, 4096, PROT_READ | PROT_EXEC));
      for (int fd = 4; fd < 100; ++fd)  // 3 is the way back
        if (fd != 4 || !reads) done += tried("descriptor", ::fcntl(fd, F_GETFD));
      return done;
    });
    EXPECT_EQ(code, ExitCode::ok) << text;
    EXPECT_EQ(text, "") << "these went through";
  }
  EXPECT_EQ(std::filesystem::file_size(here), 6u);
  std::filesystem::remove(here);
}

TEST(Sandbox, ThreadsMayHelp) {
  EXPECT_EQ(run_sandboxed("x", {}, [] {
              std::string text;
              std::thread([&] { text = "from a thread"; }).join();
              return text;
            }),
            "from a thread");
}

TEST(Sandbox, ErrorsKeepTheirCodeAndNameTheFile) {
  const auto [code, text] = ending({}, []() -> std::string { TW_FAIL(no_input, "there is no dataset"); });
  EXPECT_EQ(code, ExitCode::no_input);
  EXPECT_EQ(text, "x.h5: there is no dataset");
  EXPECT_EQ(ending({}, []() -> std::string { TW_FAIL(data, "x.h5 is damaged"); }).second, "x.h5 is damaged");
  EXPECT_EQ(ending({}, []() -> std::string { throw std::runtime_error("odd"); }), std::pair(ExitCode::data, std::string("x.h5: odd")));
}

TEST(Sandbox, CrashesAndLimitsEndTheChildAlone) {
  const auto said = [](const SandboxLimits& limits, const std::function<std::string()>& work) {
    const auto [code, text] = ending(limits, work);
    EXPECT_EQ(code, ExitCode::data) << text;
    return text;
  };
  EXPECT_THAT(said({}, []() -> std::string { volatile int* volatile p = nullptr; *p = 1; return ""; }), HasSubstr("signal 11"));
  EXPECT_THAT(said({}, []() -> std::string { std::abort(); }), HasSubstr("ended by signal"));
  EXPECT_THAT(said({}, []() -> std::string { ::_exit(0); }), HasSubstr("without a result"));
  EXPECT_THAT(said({.wall = 200ms}, []() -> std::string { ::pause(); std::this_thread::sleep_for(100s); return ""; }), HasSubstr("longer than 0.2 s"));
  EXPECT_THAT(said({.cpu_seconds = 1},
                   []() -> std::string {
                     for (;;) asm volatile("");
                   }),
              HasSubstr("1 s of processor time"));
  EXPECT_THAT(said({.result = 1000}, [] { return std::string(2000, 'x'); }), HasSubstr("gave more than"));
#ifndef __SANITIZE_ADDRESS__
  EXPECT_THAT(said({.memory = 64 << 20},
                   [] {
                     std::vector<std::string> all;
                     for (int i = 0; i < 200; ++i) all.emplace_back(size_t(1) << 20, 'x');
                     return std::to_string(all.size());
                   }),
              HasSubstr("more than 64.0 MiB of memory"));
  EXPECT_EQ(ending({.memory = 64 << 20}, [] { return std::to_string(std::string(size_t(32) << 20, 'x').size()); }).first, ExitCode::ok);
#endif
}

TEST(Sandbox, AWriterOfNonsenseIsRefused) {
  // What a reader that was taken over might send: bytes that are no frames.
  const auto [code, text] = ending({}, []() -> std::string {
    const std::string garbage(100'000, '\xFF');
    [[maybe_unused]] const auto n = ::write(3, garbage.data(), garbage.size());
    ::_exit(0);
  });
  EXPECT_EQ(code, ExitCode::data) << text;
  EXPECT_THAT(text, HasSubstr("at once"));
}

}  // namespace
}  // namespace tw
