#include "src/core/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace tw {
namespace {
std::atomic<LogLevel> level_{LogLevel::info};
std::atomic<int> process_rank_{-1};
thread_local int thread_rank_ = -1;
}  // namespace

void set_log_level(LogLevel level) noexcept { level_ = level; }
LogLevel log_level() noexcept { return level_; }
void set_log_rank(int rank) noexcept {
  thread_rank_ = rank;
  if (process_rank_ < 0) process_rank_ = rank;
}
int log_rank() noexcept { return thread_rank_ >= 0 ? thread_rank_ : process_rank_.load(); }

bool wants_colour(int fd) noexcept {
  const char *none = std::getenv("NO_COLOR"), *terminal = std::getenv("TERM");
  // Under mpirun a rank has a terminal of its own, wherever the output goes.
  if (std::getenv("OMPI_COMM_WORLD_SIZE")) return false;
  return !(none && *none) && terminal && std::strcmp(terminal, "dumb") != 0 && ::isatty(fd);
}

std::string coloured(std::string_view word, Colour colour) {
  static const bool wanted = wants_colour(STDERR_FILENO);
  if (!wanted) return std::string(word);
  const char* code = colour == Colour::red ? "31" : colour == Colour::yellow ? "33" : "32";
  return fmt::format("\033[1;{}m{}\033[0m", code, word);
}

void log_line(LogLevel level, const std::string& text) noexcept {
  try {
    if (level > level_) return;
    const int rank = log_rank();
    std::string line = rank > 0 ? fmt::format("[rank {}] {}\n", rank, text) : text + "\n";
    [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // a lost message is better than a lost run
  }
}

}  // namespace tw
