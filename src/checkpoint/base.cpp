#include "src/checkpoint/base.h"

#include "src/core/error.h"

namespace tw {
namespace fs = std::filesystem;

void WeightsHash::add(const std::string& name, ConstView values) {
  sha_.update(fmt::format("{} {} {}\n", name, values.count(), tw::hex(xxh3(values.data, values.bytes()))));
}

fs::path base_folder(const fs::path& checkpoints, const std::string& hash) { return checkpoints / kBaseName / hash.substr(0, 16); }

fs::path base_of(const Checkpoint& adapters) {
  const std::string& hash = adapters.info().base_hash;
  TW_CHECK(!hash.empty(), data, "{} does not say which weights its adapters belong to", adapters.folder().string());
  const fs::path folder = base_folder(fs::absolute(adapters.folder()).parent_path(), hash);
  TW_CHECK(fs::is_directory(folder), data, "{} holds adapters, and their base weights ({:.12}) are not in {}: copy the folder {} along with its checkpoints",
           adapters.folder().string(), hash, folder.string(), kBaseName);
  return folder;
}

}  // namespace tw
