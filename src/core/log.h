// Messages for people go to standard error, results to standard output.
#pragma once
#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

namespace tw {

enum class LogLevel : int { quiet, info, debug };
void set_log_level(LogLevel level) noexcept;
LogLevel log_level() noexcept;
// The rank that stands before each line; -1 (the default) prints none. Per thread, so that ranks
// run as threads can be told apart; threads that never set it take the process's value.
void set_log_rank(int rank) noexcept;
int log_rank() noexcept;

// Whether what is written to this file descriptor may have colours: a terminal that can, and NO_COLOR is unset or empty
// (https://no-color.org).
bool wants_colour(int fd) noexcept;
// `word` as it is shown on standard error.
enum class Colour { red, yellow, green };
std::string coloured(std::string_view word, Colour colour);

void log_line(LogLevel level, const std::string& text) noexcept;  // one write, never throws

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= LogLevel::info) log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
// Shown even with --quiet.
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::quiet, coloured("warning:", Colour::yellow) + " " + fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() >= LogLevel::debug) log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tw
