// What is known of a folder, from a file of anyone. A record's sum is put right, so that what it sums is looked at.
#include "src/core/hash.h"
#include "src/data/scan_cache.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(scan_cache) {
  static const Folder folder;
  std::string bytes = "tokenwerk scan 7\n";
  const auto put = [&](int64_t v) { bytes.append(reinterpret_cast<const char*>(&v), sizeof v); };
  put(2);
  bytes += "/x";
  for (std::string_view rest = input; !rest.empty();) {
    const std::string_view record = next_part(rest);
    put(int64_t(record.size())), put(int64_t(tw::xxh3(record.data(), record.size())));
    bytes += record;
  }
  const auto path = folder.write("scan.cache", bytes);
  tw::ScanCache cache(path, "/x");
  tw::ScannedFile file;
  file.path = "a", file.kind = "text", file.bytes = 1;
  if (const auto known = cache.take(file)) {
    expect(known->file.sha256.size() == 64 && known->file.text_bytes >= 0, "what is known is whole");
    cache.add(*known);
  }
  cache.keep(0, nullptr);
}
