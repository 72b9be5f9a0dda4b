// tokenwerk COMMAND [words]: finds the command, brings up MPI where the program was started by it, and turns errors
// into a sentence and an exit code.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "comm/marked_communicator.h"
#include "comm/mpi.h"
#include "comm/self.h"
#include "src/cli/command.h"
#include "src/cli/run_folder.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/machine/kernel_files.h"
#include "src/watchdog/watchdog.h"

namespace tw {
namespace {

void print_overview(std::FILE* to) {
  std::string text = "tokenwerk " TW_VERSION
                     ": an AI factory. Files go in, tokens are made of them, models are trained on the tokens.\n\n"
                     "Usage: tokenwerk COMMAND [words] [settings.toml] [--section.key VALUE]\n\nCommands:\n";
  for (const Command* c : commands()) text += fmt::format("  {:<12} {}\n", c->name, c->summary);
  text += "\nExample:\n  tokenwerk factory ~/documents --out runs/first\n\n"
          "tokenwerk COMMAND --help says more; tokenwerk man | man -l - is the manual.\n";
  std::fputs(text.c_str(), to);
}

// What this process has of memory and what it may have, where the kernel says so.
std::string memory_in_use() {
  const std::string status = kernel_text("/proc/self/status"), machine = kernel_text("/proc/meminfo");
  const auto bytes = [](const std::string& of, std::string_view name) { return human_bytes(1024 * std::strtod(kernel_field(of, name).c_str(), nullptr)); };
  std::string text = fmt::format("this process holds {} of {} of address space; {} are left on this machine", bytes(status, "VmRSS"),
                                 bytes(status, "VmSize"), bytes(machine, "MemAvailable"));
  for (const auto& [resource, name] : {std::pair(RLIMIT_AS, "address space (ulimit -v)"), std::pair(RLIMIT_DATA, "memory (ulimit -d)")}) {
    rlimit most{};
    if (::getrlimit(resource, &most) == 0 && most.rlim_cur != RLIM_INFINITY)
      text += fmt::format("; it may have {} of {}", human_bytes(double(most.rlim_cur)), name);
  }
  return text;
}

struct Failure {
  ExitCode code;
  std::string text, place;
};

Failure current_failure() {
  try {
    throw;
  } catch (const Error& e) {
    const std::string file = std::filesystem::path(e.where().file_name()).filename().string();
    return {e.code(), e.what(), fmt::format("{}:{}", file, e.where().line())};
  } catch (const std::bad_alloc&) {
    return {ExitCode::config, "out of memory: " + memory_in_use() + ". Use smaller micro batches (training.micro_batch_size), or more ranks", ""};
  } catch (const std::filesystem::filesystem_error& e) {
    return {ExitCode::io, e.what(), ""};
  } catch (const std::exception& e) {
    return {ExitCode::bug, e.what(), ""};
  }
}

// Says what went wrong, writes it to the run folder, and ends the job. Returns only where this is the only rank.
int fail(const Failure& failure, Communicator& world) {
  leave_watchdog(failure.code);
  // What every rank found is said once: rank 0 ends the others before they speak.
  if (world.rank() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const bool show_place = failure.code == ExitCode::bug || log_level() >= LogLevel::debug;
  log_line(LogLevel::quiet, fmt::format("{} {}{}", coloured("error:", Colour::red), failure.text,
                                        show_place && !failure.place.empty() ? " [" + failure.place + "]" : ""));
  record_failure(failure.code, failure.text, world.rank());
  if (world.size() > 1) world.abort(int(failure.code));
  return int(failure.code);
}

int run(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const std::string name = words.empty() ? "" : words[0];
  std::optional<MpiSession> session;
  std::unique_ptr<Communicator> world = make_self_communicator();
  try {
    if (name == "--help" || name == "-h" || name == "help") {
      print_overview(stdout);
      flush_output();  // a full disk behind a redirection shows only here
      return 0;
    }
    if (name == "--version") {
      std::puts("tokenwerk " TW_VERSION);
      flush_output();
      return 0;
    }
    const Command* command = find_command(name);
    if (!command) {
      if (name.empty()) print_overview(stderr);
      const std::string near = nearest_command(name);
      TW_CHECK(!name.empty(), config, "no command was given");
      TW_FAIL(config, "there is no command \"{}\"{}; tokenwerk --help lists them", name,
              near.empty() ? "" : ", did you mean " + near + "?");
    }
    MpiSession::refuse_unconnected_tasks();
    if (MpiSession::launched_by_mpi()) {
      session.emplace(argc, argv);
      world = std::make_unique<MarkedCommunicator>(session->world());
      check_same_build(*world);
    }
    set_log_rank(world->rank());
    catch_stop_signals();
    const ExitCode code = command->run({words.begin() + 1, words.end()}, *world);
    flush_output();
    end_watchdog(*world);
    world.reset();
    return int(code);
  } catch (const ClosedOutput&) {
    leave_watchdog(ExitCode::io);
    if (world->size() > 1) world->abort(int(ExitCode::io));
    return 128 + SIGPIPE;  // as a shell says it of a program that the signal ended
  } catch (...) {
    return fail(current_failure(), *world);
  }
}

}  // namespace
}  // namespace tw

int main(int argc, char** argv) {
  const int code = tw::run(argc, argv);
  if (code == 0) return 0;
  // Not by way of the libraries' own ends: after a failure they may crash (HDF5 on a full disk), or wait for ever for a
  // thread of theirs that waits for memory (OpenBLAS).
  std::fflush(nullptr);
  ::_exit(code);
}
