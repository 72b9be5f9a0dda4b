#include "tests/storm/trace.h"

#include <cstring>

#include "src/core/error.h"
#include "src/core/file.h"

namespace tw::storm {
namespace fs = std::filesystem;

std::vector<Record> read_trace(const fs::path& log) {
  const std::string all = read_file(log);
  std::vector<Record> records;
  for (size_t at = 0; at < all.size();) {
    RecordHead head;
    TW_CHECK(at + sizeof head <= all.size(), bug, "{} ends within a record", log.string());
    std::memcpy(&head, all.data() + at, sizeof head);
    at += sizeof head;
    const auto text = [&](size_t bytes) {
      TW_CHECK(bytes <= all.size() - at, bug, "{} ends within a record", log.string());
      return all.substr(std::exchange(at, at + bytes), bytes);
    };
    Record r{head.call, head.thread, head.inode, head.offset, head.length, {}, {}, {}};
    r.path = text(head.path_bytes), r.other = text(head.other_bytes), r.data = text(head.data_bytes);
    records.push_back(std::move(r));
  }
  return records;
}

std::string describe(const Record& r) {
  const std::string path = r.path.empty() ? "the run folder" : r.path;
  switch (r.call) {
    case Call::create: return "create " + path;
    case Call::write: return fmt::format("write {} [{}, {})", path, r.offset, r.offset + r.length);
    case Call::truncate: return fmt::format("truncate {} to {}", path, r.length);
    case Call::allocate: return fmt::format("allocate {} [{}, {})", path, r.offset, r.offset + r.length);
    case Call::flush: return "flush " + path;
    case Call::rename: return "rename " + path + " to " + r.other;
    case Call::link: return "link " + path + " as " + r.other;
    case Call::unlink: return "unlink " + path;
    case Call::make_folder: return "make the folder " + path;
    case Call::remove_folder: return "remove the folder " + path;
  }
  return "?";
}

Tap::Tap(const fs::path& root, const fs::path& folder) : root_(fs::absolute(root)), folder_(folder) {
  make_folders(folder_);
  restart();
}

void Tap::restart() const {
  write_file_atomically(folder_ / "state", std::string(8, '\0'));
  fs::remove(log());
}

uint64_t Tap::calls() const {
  uint64_t n = 0;
  std::memcpy(&n, read_file(folder_ / "state").data(), sizeof n);
  return n;
}

std::vector<std::pair<std::string, std::string>> Tap::environment(Log log, uint64_t kill_at) const {
  std::vector<std::pair<std::string, std::string>> e = {
      {"LD_PRELOAD", TW_DISK_TAP}, {"TW_TAP_ROOT", root_.string()}, {"TW_TAP_STATE", (folder_ / "state").string()}};
  if (log == Log::yes) e.emplace_back("TW_TAP_LOG", this->log().string());
  if (kill_at) e.emplace_back("TW_TAP_KILL", std::to_string(kill_at));
  return e;
}

}  // namespace tw::storm
