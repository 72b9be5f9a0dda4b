// Errors are exceptions: a training rank cannot go on after one, and an unread status is silence.
#pragma once
#include <fmt/core.h>

#include <source_location>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "src/core/format.h"

namespace tw {

// Exit codes of every command (BSD sysexits where one fits). mpirun masks codes of its ranks, so
// a run's status.json repeats them.
enum class ExitCode : int {
  ok = 0,
  config = 64,        // a setting is unknown, of the wrong type or out of range
  data = 65,          // a data file or checkpoint is damaged or of the wrong kind
  no_input = 66,      // an input is missing or unreadable
  peer_lost = 69,     // another rank is gone
  bug = 70,           // an internal contract was broken
  cannot_create = 73, // an output cannot be created
  io = 74,            // reading or writing failed
  requeue = 75,       // saved on request: start me again
  fenced = 76,        // another run owns the folder
  budget = 77,        // energy, cost or time budget reached
  numerics = 79,      // loss or gradients are not finite
  hang = 80,          // a rank made no progress
  corruption = 81     // silent data corruption was found
};
struct ExitCodeInfo {
  ExitCode code;
  std::string_view meaning;  // for people: what happened and what may be done
};
std::span<const ExitCodeInfo> exit_codes() noexcept;  // all of them

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message,
        std::source_location where = std::source_location::current())
      : std::runtime_error(message.size() <= kLongest ? message : shortened(message, kLongest)), code_(code), where_(where) {}
  ExitCode code() const noexcept { return code_; }
  const std::source_location& where() const noexcept { return where_; }

 private:
  static constexpr size_t kLongest = 8000;  // bytes of a message: what a damaged file holds may be part of it
  ExitCode code_;
  std::source_location where_;
};

}  // namespace tw

// TW_FAIL(code, "format", args...) throws; TW_CHECK(condition, code, "format", args...) throws
// where the condition is false. `code` is the enumerator's bare name: TW_CHECK(n > 0, data, ...).
#define TW_FAIL(code, ...) throw ::tw::Error(::tw::ExitCode::code, ::fmt::format(__VA_ARGS__))
#define TW_CHECK(condition, code, ...)               \
  do {                                               \
    if (!(condition)) [[unlikely]] TW_FAIL(code, __VA_ARGS__); \
  } while (false)
