#include "src/meter/status.h"

#include <ctime>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/host.h"
#include "src/core/json_guard.h"

namespace tw {
namespace {
using Json = nlohmann::ordered_json;
constexpr RunState kStates[] = {RunState::running, RunState::done, RunState::failed, RunState::stopped};

double unix_time_of(const std::string& iso, const std::filesystem::path& path) {
  std::tm parts{};
  const char* end = ::strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  TW_CHECK(end && *end == 0, data, "{}: \"{}\" is no time", path.string(), iso);
  return double(::timegm(&parts));
}

}  // namespace

std::string_view name_of(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::done:
      return "done";
    case RunState::failed:
      return "failed";
    case RunState::stopped:
      return "stopped";
  }
  return "";
}

RunState state_of(int exit_code) {
  if (exit_code == int(ExitCode::ok)) return RunState::done;
  return exit_code == int(ExitCode::requeue) || exit_code == int(ExitCode::budget) ? RunState::stopped
                                                                                   : RunState::failed;
}

std::string program_version() { return TW_VERSION; }

void write_status(const std::filesystem::path& folder, RunStatus s) {
  // The process's start: it does not move with later writes.
  static const double started = unix_seconds() - process_age_seconds();
  Json json;
  json["state"] = name_of(s.state);
  json["exit_code"] = s.state == RunState::running ? Json(nullptr) : Json(s.exit_code);
  json["reason"] = s.reason;
  json["command"] = s.command;
  json["step"] = s.step;
  json["steps"] = s.steps;
  json["ranks"] = s.ranks;
  json["host"] = s.host.empty() ? host_name() : s.host;
  json["pid"] = s.pid ? s.pid : int64_t(::getpid());
  json["started"] = iso_time(s.started > 0 ? s.started : started);
  json["updated"] = iso_time(s.updated > 0 ? s.updated : unix_seconds());
  json["version"] = s.version.empty() ? program_version() : s.version;
  write_file_atomically(folder / "status.json", json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<RunStatus> read_status(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "status.json";
  std::error_code absent;
  if (!std::filesystem::exists(path, absent)) return std::nullopt;
  const std::string text = read_file(path, 1 << 20);
  try {
    const Json json = Json::parse(text);
    RunStatus s;
    const std::string state = json.at("state");
    bool known = false;
    for (const RunState candidate : kStates)
      if (name_of(candidate) == state) s.state = candidate, known = true;
    TW_CHECK(known, data, "{}: state \"{}\" is not known", path.string(), state);
    const auto whole = [&](const char* key, int64_t high) {
      const auto n = whole_number(json.at(key), 0, high);
      TW_CHECK(n, data, "{} is damaged: \"{}\" is no whole number", path.string(), key);
      return *n;
    };
    s.exit_code = json.at("exit_code").is_null() ? 0 : int(whole("exit_code", 255));
    s.reason = json.at("reason");
    s.command = json.at("command");
    s.step = whole("step", int64_t(1) << 53);
    s.steps = whole("steps", int64_t(1) << 53);
    s.ranks = int(whole("ranks", 1 << 20));
    s.host = json.at("host");
    s.pid = whole("pid", INT32_MAX);
    s.started = unix_time_of(json.at("started"), path);
    s.updated = unix_time_of(json.at("updated"), path);
    s.version = json.at("version");
    return s;
  } catch (const Json::exception& e) {
    TW_FAIL(data, "{} is damaged: {}", path.string(), e.what());
  }
}

}  // namespace tw
