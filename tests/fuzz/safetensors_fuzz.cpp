#include <vector>

#include "src/interop/safetensors.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(safetensors) {
  static const Folder folder;
  parse_safetensors(input, "model.safetensors");  // here, where a crash is one
  const SafetensorsFile file(folder.write("model.safetensors", input));
  std::vector<float> values(64);
  int looked = 0;
  for (const auto& entry : file.entries()) {
    if (++looked > 100) break;  // it looks through all names
    expect(file.find(entry.name) != nullptr, "entries are found by name");
    const int64_t n = std::min<int64_t>(entry.count(), 64);
    file.read(entry, 0, n, values.data());
    file.read(entry, entry.count() - n, n, values.data());
  }
}
