// The first byte chooses what it is packed with.
#include "src/data/formats/packed.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(packed) {
  if (input.empty()) return;
  const char* const names[] = {"a.gz", "a.zst", "a.xz"};
  tw::MemoryBytes bytes(input.substr(1));
  const auto inside = tw::unpack(names[static_cast<unsigned char>(input[0]) % 3], bytes);
  std::string block(4096, '\0');
  int64_t all = 0;
  while (const size_t n = inside->read(block.data(), block.size())) {
    expect(n <= block.size(), "no more comes out than there is room for");
    all += int64_t(n);
  }
  expect(all <= (int64_t(64) << 20) + 200 * int64_t(input.size()), "the limit of what comes out");
}
