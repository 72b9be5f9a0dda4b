#include "tests/storm/tracker.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "src/checkpoint/checkpoint.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/storm/part.h"

namespace tw::storm {
namespace fs = std::filesystem;

Tracker::Tracker(fs::path run, const std::map<int64_t, std::string>& states, int keep)
    : folder_(std::move(run) / "checkpoints"), states_(states), keep_(keep) {}

void Tracker::look() {
  std::error_code e;
  for (fs::directory_iterator entries(folder_, e); !e && entries != fs::directory_iterator(); entries.increment(e)) {
    const auto name = CheckpointName::parse(entries->path().filename().string());
    std::error_code gone;
    if (name && !seen_.contains(*name) && fs::exists(entries->path() / "MANIFEST", gone)) seen_.insert(*name);
  }
}

std::optional<CheckpointName> Tracker::newest_whole() const {
  for (auto name = seen_.rbegin(); name != seen_.rend(); ++name)
    if (!flipped_.contains(*name) && !cut_.contains(*name)) return *name;
  return std::nullopt;
}

void Tracker::check() {
  look();
  int kept = 0;
  for (auto name = seen_.rbegin(); name != seen_.rend() && kept < keep_; ++name) {
    if (cut_.contains(*name) || retired_.contains(*name)) continue;
    ++kept;
    if (flipped_.contains(*name)) continue;
    const fs::path path = folder_ / name->str();
    TW_CHECK(fs::exists(path / "MANIFEST"), bug, "lost: {} was committed", path.string());
    const CheckpointReport report = verify_checkpoint(path);
    TW_CHECK(report.ok(), bug, "{} is damaged, and not by us: {}", path.string(), report.damage[0]);
    const Checkpoint checkpoint = Checkpoint::open(path);
    const auto want = states_.find(name->step);
    TW_CHECK(want != states_.end(), bug, "{}: the run nobody touched has no step {}", path.string(), name->step);
    TW_CHECK(sha256_of(checkpoint) == want->second, bug,
             "{} holds other bits than the run nobody touched", path.string());
  }
  for (const CheckpointName& name : seen_)
    if (!fs::exists(folder_ / name.str() / "MANIFEST")) retired_.insert(name);
  const auto want = newest_whole();
  if (!want) return;
  const Checkpoint opened = Checkpoint::open(folder_.parent_path());
  TW_CHECK(opened.folder().filename() == want->str(), bug, "{}: opened {} instead of {}", folder_.string(),
           opened.folder().filename().string(), want->str());
}

bool Tracker::damage(std::mt19937_64& random) {
  std::vector<CheckpointName> whole;
  for (auto name = seen_.rbegin(); name != seen_.rend(); ++name)
    if (!flipped_.contains(*name) && !cut_.contains(*name) && fs::exists(folder_ / name->str() / "MANIFEST")) whole.push_back(*name);
  if (whole.size() < 2 || whole[0] != *seen_.rbegin()) return false;
  std::vector<fs::path> files;  // all that loading reads
  for (const auto& entry : fs::directory_iterator(folder_ / whole[0].str()))
    if (entry.path().filename() != "model.h5") files.push_back(entry.path());
  const fs::path file = files[random() % files.size()];
  const int64_t bytes = tw::file_size(file), at = int64_t(random() % uint64_t(bytes));
  if (random() % 4 == 0) {
    fs::resize_file(file, uint64_t(at));
    cut_.insert(whole[0]);
    return true;
  }
  const FileDescriptor fd = open_to_update(file);
  char byte = 0;
  read_exactly(fd.get(), &byte, 1, at, file);
  byte = char(byte ^ (1 << random() % 8));
  write_exactly(fd.get(), &byte, 1, at, file);
  // A MANIFEST whose sum is wrong is no checkpoint to the run either.
  (file.filename() == "MANIFEST" ? cut_ : flipped_).insert(whole[0]);
  return true;
}

}  // namespace tw::storm
