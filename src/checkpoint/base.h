// The frozen weights that adapters (nn/adapter.h) were trained beside. They are saved once, as a checkpoint of weights alone in
// base/HASH of the folder of checkpoints, so that the folder holds all that its checkpoints need; HASH begins their hash, which each
// checkpoint of adapters holds in full.
#pragma once
#include <filesystem>
#include <string>

#include "src/checkpoint/checkpoint.h"
#include "src/core/hash.h"

namespace tw {

inline constexpr std::string_view kBaseName = "base";

// SHA-256 of names and XXH3 of values (fp32, host) of all parameters, in the order of their table: the same for equal weights, however
// they are stored.
class WeightsHash {
 public:
  void add(const std::string& name, ConstView values);
  std::string hex() { return sha_.hex(); }  // 64 digits; once

 private:
  Sha256 sha_;
};

std::filesystem::path base_folder(const std::filesystem::path& checkpoints, const std::string& hash);
// Where the base of a checkpoint of adapters lies. Error(data) where it is none, or nothing lies there.
std::filesystem::path base_of(const Checkpoint& adapters);

}  // namespace tw
