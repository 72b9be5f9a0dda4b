#include "src/checkpoint/names.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// Takes a number of 1 to 18 digits from the front.
bool take_number(std::string_view& text, int64_t& value) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  if (digits == 0 || digits > 18) return false;
  std::from_chars(text.data(), text.data() + digits, value);
  text.remove_prefix(digits);
  return true;
}
bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string CheckpointName::str() const {
  const std::string name = fmt::format("step-{:08d}.a{}", step, attempt);
  return repeat == 1 ? name : fmt::format("{}-{}", name, repeat);
}

std::optional<CheckpointName> CheckpointName::parse(std::string_view text) {
  CheckpointName name;
  std::string_view rest = text;
  if (!take(rest, "step-") || !take_number(rest, name.step) || !take(rest, ".a") || !take_number(rest, name.attempt))
    return std::nullopt;
  if (!rest.empty() && !(take(rest, "-") && take_number(rest, name.repeat) && rest.empty())) return std::nullopt;
  if (name.str() != text) return std::nullopt;  // one spelling a checkpoint
  return name;
}

std::string shard_name(int rank, int ranks) { return fmt::format("shard-{:04d}-of-{:04d}.h5", rank, ranks); }

bool is_plain_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 255 || name[0] == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

void make_folders_durably(const fs::path& path) {
  std::vector<fs::path> parents;  // of each folder that is not there yet
  std::error_code ignored;
  for (fs::path p = fs::absolute(path); !fs::exists(p, ignored) && p.has_relative_path(); p = p.parent_path())
    parents.push_back(p.parent_path());
  make_folders(path);
  for (const fs::path& parent : parents) fsync_path(parent);
}

std::vector<CheckpointFolder> list_checkpoints(const fs::path& folder) {
  std::vector<CheckpointFolder> found;
  std::error_code e;
  const bool there = fs::exists(folder, e);
  TW_CHECK(!e, io, "cannot look for the folder {}: {}", folder.string(), e.message());
  if (!there) return found;
  fs::directory_iterator entries(folder, e);
  TW_CHECK(!e, io, "cannot list the folder {}: {}", folder.string(), e.message());
  for (; entries != fs::directory_iterator(); entries.increment(e)) {
    const auto name = CheckpointName::parse(entries->path().filename().string());
    if (!name) continue;
    const bool is_folder = entries->is_directory(e);
    if (e == std::errc::no_such_file_or_directory) {  // gone since it was listed
      e.clear();
      continue;
    }
    TW_CHECK(!e, io, "cannot look at {}: {}", entries->path().string(), e.message());
    if (!is_folder) continue;
    std::error_code unknown;
    const bool committed = fs::exists(entries->path() / kManifestName, unknown);
    found.push_back({*name, entries->path(), committed || unknown});
  }
  TW_CHECK(!e, io, "cannot list the folder {}: {}", folder.string(), e.message());
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name > b.name; });
  return found;
}

}  // namespace tw
