// MANIFEST, whose checksum is put right first: else no mutation would get past it. A first line "report" leads to the
// reader of ranks' reports.
#include "src/checkpoint/manifest.h"
#include "src/checkpoint/names.h"
#include "src/core/hash.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(manifest) {
  if (input.starts_with("report\n")) {
    use(to_text(parse_stored_file(std::string(input.substr(7)))).data());
    return;
  }
  std::string text(input);
  const size_t sum = text.rfind(",\n \"crc32c\": \"");
  if (sum != text.npos) text.resize(sum);
  if (!text.starts_with("raw"))
    text += fmt::format(",\n \"crc32c\": \"{:08x}\"\n}}\n", crc32c(text.data(), text.size()));
  const Manifest manifest = parse_manifest(text, "MANIFEST");
  for (const StoredFile& f : manifest.shards) expect(is_plain_name(f.file), "names stay in their folder");
  std::string again;
  try {
    again = to_text(manifest);
  } catch (const Error&) {
    return;  // texts that are no UTF-8 or too long to be read back
  }
  expect(to_text(parse_manifest(again, "again")) == again, "what was read can be written and read again");
}
