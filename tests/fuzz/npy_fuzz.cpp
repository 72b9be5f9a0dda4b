#include "src/interop/npy.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(npy) {
  static const Folder folder;
  for (const auto& row : read_ids(folder.write("ids.npy", input)))
    for (const int32_t id : row) expect(id >= 0, "ids are not negative");
}
