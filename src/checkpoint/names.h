// Names of checkpoint folders and of the files in them.
#pragma once
#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

inline constexpr std::string_view kManifestName = "MANIFEST";
inline constexpr std::string_view kModelViewName = "model.h5";
inline constexpr std::string_view kTrashName = ".trash";
inline constexpr std::string_view kBestName = "best";  // stands for the checkpoint of the lowest validation loss
inline constexpr std::string_view kTemporaryEnd = ".tmp";

// step-00001200.a7, or step-00001200.a7-2 for the second time attempt 7 saved that step.
struct CheckpointName {
  int64_t attempt = 0, step = 0, repeat = 1;
  // The newest is the greatest: a later attempt comes after an earlier one even where it went back some steps.
  auto operator<=>(const CheckpointName&) const = default;
  std::string str() const;
  static std::optional<CheckpointName> parse(std::string_view text);
};

std::string shard_name(int rank, int ranks);  // shard-0003-of-0016.h5
// A plain file name that cannot leave its folder: letters, digits and . _ -, not starting with a dot.
bool is_plain_name(std::string_view name) noexcept;

// make_folders whose result survives a power loss: the folders above the new ones are flushed too.
void make_folders_durably(const std::filesystem::path& path);

struct CheckpointFolder {
  CheckpointName name;
  std::filesystem::path path;
  bool committed = false;  // has a MANIFEST, as far as can be known: what cannot be looked at is not taken for litter
};
// All checkpoint folders in `folder`, newest first. A missing folder has none; Error(io) where it cannot be read: a run
// whose disk fails for a moment must not begin anew.
std::vector<CheckpointFolder> list_checkpoints(const std::filesystem::path& folder);

}  // namespace tw
