#include "src/train/rollback.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "src/checkpoint/names.h"
#include "src/checkpoint/retention.h"
#include "src/checkpoint/vote.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;

std::optional<Checkpoint> go_back(const fs::path& folder, int64_t most_steps, Communicator& comm) {
  const bool leader = comm.rank() == 0;
  std::vector<CheckpointFolder> there;
  if (leader) {
    there = list_checkpoints(folder);
    std::erase_if(there, [&](const CheckpointFolder& c) { return !c.committed; });
  }
  // Rank 0 proposes one after the other; all open it together.
  for (size_t i = 0;; ++i) {
    while (leader && i < there.size() && there[i].name.step > most_steps) ++i;
    const std::string path = broadcast_text(comm, leader && i < there.size() ? there[i].path.string() : "", 0);
    if (path.empty()) return std::nullopt;
    try {
      std::optional<Checkpoint> found = open_checkpoint(path, comm);
      if (!found || found->info().trainer_json.empty()) continue;
      for (size_t newer = 0; leader && newer < i; ++newer) {
        const Vote moved = cast_vote([&] { return move_to_trash(folder, there[newer].path), std::string(); });
        if (!moved.ok()) log_warning("{} is left behind: {}", there[newer].path.string(), moved.text);
      }
      return found;
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      if (leader) log_warning("{}. The checkpoint before is tried", e.what());
    }
  }
}

int64_t batches_to_leave_out(int64_t saved, int64_t step, int tries) noexcept {
  return std::max<int64_t>(10, 2 * (step - saved)) << std::clamp(tries - 1, 0, 30);
}

void IntegrityLog::append(const nlohmann::json& line) noexcept {
  try {
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    const FileDescriptor fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != ssize_t(text.size()))
      log_warning("{}: a line could not be written: {}", path_.string(), std::strerror(errno));
  } catch (const std::exception& e) {
    log_warning("{}: a line could not be written: {}", path_.string(), e.what());
  }
}

void IntegrityLog::add(const Alarm& alarm) noexcept {
  append({{"step", alarm.step}, {"kind", name_of(alarm.kind)}, {"rank", alarm.rank}, {"what", alarm.what}, {"outcome", alarm.outcome}});
}

void IntegrityLog::add_rollback(int64_t from, int64_t to, int64_t batches_left_out, const std::string& why) noexcept {
  append({{"step", from}, {"kind", "rollback"}, {"to", to}, {"batches_left_out", batches_left_out}, {"what", why}});
}

}  // namespace tw
