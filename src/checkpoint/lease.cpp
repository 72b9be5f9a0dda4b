#include "src/checkpoint/lease.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "src/checkpoint/names.h"
#include "src/checkpoint/vote.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/host.h"
#include "src/core/json_guard.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kLeasePrefix = "lease.a";
constexpr std::string_view kTemporaryPrefix = "lease.tmp.";

std::string first_line(const fs::path& path) {
  try {
    const std::string text = read_file(path, 1 << 16);
    return text.substr(0, text.find('\n'));
  } catch (const Error&) {
    return "";
  }
}

// Field 22 of /proc/PID/stat: when the process was started, in ticks since boot. Tells it from a later process that
// got the same number. "" = not to be seen (it may be hidden from us), "ended" = it only was not collected yet (a
// killed rank whose launcher went first).
std::string process_start(int64_t pid) {
  const ProcessStat stat(std::to_string(pid));
  const std::string state = stat.field(3);
  return state == "Z" || state == "X" ? "ended" : stat.field(22);
}

struct Holder {
  int64_t token = 0, pid = 0, job_restart = 0;
  std::string host, machine, boot, pid_space, pid_start, start, job;
  bool released = false;

  static Holder self() {
    Holder h;
    h.pid = ::getpid();
    h.host = host_name();
    h.machine = first_line("/etc/machine-id");
    h.boot = boot_id();
    h.pid_space = namespace_id("pid");
    h.pid_start = process_start(h.pid);
    h.start = iso_time(unix_seconds());
    // launch/supervise and Slurm start a job again only after the earlier attempt has ended, or its host is lost.
    const char* job = std::getenv("TW_JOB");
    const char* restart = std::getenv("TW_JOB_START");
    if (!job || !restart) {
      job = std::getenv("SLURM_JOB_ID"), restart = std::getenv("SLURM_RESTART_COUNT");
      if (const char* cluster = std::getenv("SLURM_CLUSTER_NAME"); job) h.job = std::string(cluster ? cluster : "") + ":";
    }
    if (job) h.job += job;
    if (restart) h.job_restart = std::strtoll(restart, nullptr, 10);
    return h;
  }

  std::string text() const {
    const nlohmann::ordered_json json = {
        {"token", token},       {"released", released}, {"host", host},   {"pid", pid},
        {"start", start},       {"boot", boot},         {"machine", machine}, {"pid_space", pid_space},
        {"pid_start", pid_start}, {"job", job},         {"job_restart", job_restart}};
    return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  // Nothing where the text is not a lease.
  static std::optional<Holder> parse(const std::string& text) {
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    try {
      Holder h;
      const auto token = whole_number(json.at("token")), process = whole_number(json.at("pid"), 1, INT32_MAX),
                 restart = whole_number(json.at("job_restart"));
      if (!token || !process || !restart) return std::nullopt;
      h.token = *token, h.pid = *process, h.job_restart = *restart;
      h.released = json.at("released").get<bool>();
      h.host = json.at("host").get<std::string>();
      h.start = json.at("start").get<std::string>();
      h.boot = json.at("boot").get<std::string>();
      h.machine = json.at("machine").get<std::string>();
      h.pid_space = json.at("pid_space").get<std::string>();
      h.pid_start = json.at("pid_start").get<std::string>();
      h.job = json.at("job").get<std::string>();
      return h;
    } catch (const nlohmann::json::exception&) {
      return std::nullopt;
    }
  }

  // True only where it is certain. What cannot be known counts as alive.
  bool is_over(const Holder& now) const {
    if (released) return true;
    if (!job.empty() && job == now.job && job_restart < now.job_restart) return true;
    if (host != now.host || machine != now.machine || boot.empty() || now.boot.empty()) return false;
    if (boot != now.boot) return !machine.empty();  // this machine was started anew since
    if (pid_space != now.pid_space) return false;
    const std::string alive = process_start(pid);
    if (alive.empty() || pid_start.empty()) return ::kill(pid_t(pid), 0) != 0 && errno == ESRCH;
    return alive != pid_start;
  }
};

std::optional<int64_t> lease_token(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kLeasePrefix)) return std::nullopt;
  const std::string digits = name.substr(kLeasePrefix.size());
  if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  return std::stoll(digits);
}

std::vector<int64_t> lease_tokens(const fs::path& folder) {
  std::vector<int64_t> tokens;
  std::error_code e;
  fs::directory_iterator entries(folder, e);
  for (; !e && entries != fs::directory_iterator(); entries.increment(e))
    if (const auto token = lease_token(entries->path())) tokens.push_back(*token);
  TW_CHECK(!e, io, "cannot list the folder {}: {}", folder.string(), e.message());
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

// Tokens stay above every attempt that left a checkpoint, even where somebody deleted the lease file.
int64_t highest_attempt(const fs::path& folder) {
  int64_t highest = 0;
  for (const fs::path& where : {folder, folder / "checkpoints"})
    for (const CheckpointFolder& c : list_checkpoints(where)) highest = std::max(highest, c.name.attempt);
  return highest;
}

fs::path lease_path(const fs::path& folder, int64_t token) {
  return folder / (std::string(kLeasePrefix) + std::to_string(token));
}

void remove_quietly(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

// Left by processes that were killed while they took a lease. Younger ones may belong to one that takes it now.
void sweep_temporaries(const fs::path& folder, const fs::path& newest) {
  std::error_code e;
  const auto now = fs::last_write_time(newest, e);
  fs::directory_iterator entries(folder, e);
  for (; !e && entries != fs::directory_iterator(); entries.increment(e)) {
    std::error_code ignored;
    if (entries->path().filename().string().starts_with(kTemporaryPrefix) &&
        now - fs::last_write_time(entries->path(), ignored) > std::chrono::hours(1))
      remove_quietly(entries->path());
  }
}

}  // namespace

RunLease RunLease::acquire(const fs::path& folder) {
  make_folders_durably(folder);
  Holder self = Holder::self();
  // A try fails only when another process took a token meanwhile, so a few are enough.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::vector<int64_t> tokens = lease_tokens(folder);
    const int64_t highest = tokens.empty() ? 0 : tokens.back();
    std::string taken_over;
    if (highest > 0) {
      const fs::path path = lease_path(folder, highest);
      std::string text;
      try {
        text = read_file(path, 1 << 16);
      } catch (const Error& e) {
        if (!fs::exists(path)) continue;  // gone since it was listed
        throw;
      }
      const std::optional<Holder> holder = Holder::parse(text);
      TW_CHECK(holder, fenced, "{} cannot be understood, so it is not known whether another run uses {}. If none does, "
               "delete that file", path.string(), folder.string());
      TW_CHECK(holder->is_over(self), fenced,
               "{} is in use by another run: host {}, process {}, started {}. Wait for it, stop it, or choose another "
               "folder; if that process is surely dead, delete {}",
               folder.string(), holder->host, holder->pid, holder->start, path.string());
      if (!holder->released)
        taken_over = fmt::format("{}: the run on host {}, process {}, started {}, ended without notice; taking over",
                                 folder.string(), holder->host, holder->pid, holder->start);
    }
    self.token = std::max(highest, highest_attempt(folder)) + 1;
    RunLease lease;
    lease.folder_ = folder, lease.token_ = self.token, lease.file_ = lease_path(folder, self.token);
    lease.content_ = self.text();
    // Threads of one process are ranks of a test; their leases need different names too.
    const fs::path temporary = folder / fmt::format("{}{}.{}.{}", kTemporaryPrefix, self.host, self.pid, ::gettid());
    bool won = false;
    try {
      write_flushed(temporary, lease.content_);
      won = ::link(temporary.c_str(), lease.file_.c_str()) == 0;
      if (!won && errno == EEXIST) {
        // NFS may answer so to a call that was sent twice and succeeded the first time.
        std::error_code gone;
        won = fs::hard_link_count(temporary, gone) == 2 && !gone;
        errno = EEXIST;
      }
      TW_CHECK(won || errno == EEXIST || errno == ENOENT, cannot_create, "cannot create {}: {}", lease.file_.string(),
               std::strerror(errno));
    } catch (...) {
      remove_quietly(temporary);
      lease.token_ = 0;
      throw;
    }
    remove_quietly(temporary);
    // A process that was stopped between listing and linking may have linked a number that is no longer the highest.
    if (!won || lease_tokens(folder).back() != self.token) {
      if (won) remove_quietly(lease.file_);
      lease.token_ = 0;
      continue;
    }
    if (!taken_over.empty()) log_warning("{}", taken_over);
    fsync_path(folder);  // it lasts before those it replaces go
    for (int64_t token : tokens) remove_quietly(lease_path(folder, token));
    sweep_temporaries(folder, lease.file_);
    return lease;
  }
  TW_FAIL(fenced, "{}: other processes kept taking its lease", folder.string());
}

RunLease::RunLease(RunLease&& other) noexcept
    : folder_(std::move(other.folder_)), file_(std::move(other.file_)), content_(std::move(other.content_)),
      token_(std::exchange(other.token_, 0)) {}

RunLease& RunLease::operator=(RunLease&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(file_, other.file_);
  std::swap(content_, other.content_);
  std::swap(token_, other.token_);
  return *this;
}

RunLease::~RunLease() {
  try {
    release();
  } catch (const std::exception& e) {
    log_line(LogLevel::quiet, std::string("warning: ") + e.what());
  }
}

void RunLease::check() const {
  TW_CHECK(token_ > 0, fenced, "the lease of {} was released", folder_.string());
  const std::vector<int64_t> tokens = lease_tokens(folder_);
  std::string text, why;
  try {
    text = read_file(file_, 1 << 16);
  } catch (const Error& e) {
    why = e.what();
  }
  std::error_code unknown;
  // Where the disk does not answer nobody has taken anything over.
  TW_CHECK(why.empty() || tokens.empty() || tokens.back() != token_ || !(fs::exists(file_, unknown) || unknown), io, "{}", why);
  TW_CHECK(text == content_ && !tokens.empty() && tokens.back() == token_, fenced,
           "another run has taken over {}: the lease {} is no longer this process's", folder_.string(), file_.string());
}

void RunLease::release() {
  if (token_ == 0) return;
  const fs::path folder = folder_;
  std::optional<Holder> holder = Holder::parse(content_);
  try {
    check();
  } catch (...) {
    token_ = 0;
    throw;
  }
  token_ = 0;
  holder->released = true;  // the file stays: its number must not be used again
  write_file_atomically(file_, holder->text());
}

std::optional<RunLease> acquire_lease(const fs::path& folder, Communicator& comm) {
  std::optional<RunLease> lease;
  Vote vote;
  if (comm.rank() == 0) vote = cast_vote([&] { return lease.emplace(RunLease::acquire(folder)), std::string(); });
  decide(comm, vote);
  return lease;
}

}  // namespace tw
