#include "src/data/scan.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(inventory) {
  static const Folder folder;
  const Inventory inventory = read_inventory(folder.write("inventory.json", input));
  for (const ScannedFile& f : inventory.files) {
    const std::filesystem::path path = f.path;
    expect(path.is_relative(), "paths stay in the folder");
    for (const auto& part : path) expect(part != "..", "paths stay in the folder");
  }
  use(inventory.table().data());
  use(inventory.fingerprint().data());
}
