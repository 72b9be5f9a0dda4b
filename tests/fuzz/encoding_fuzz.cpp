// Detection, and the text read as each encoding.
#include "src/core/utf8.h"
#include "src/data/formats/encoding.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(encoding) {
  static const Folder folder;
  const auto path = folder.write("text", input);
  const size_t block = 16 + input.size() % 50;  // so that characters stand across two of them
  const ByteReport report = inspect_bytes(path, block);
  expect(report.bytes == int64_t(input.size()), "all bytes are counted");
  const Encoding all[] = {Encoding::utf8_repaired, Encoding::utf16le, Encoding::utf16be, Encoding::latin1};
  // One besides the one found: reading is most of the time.
  for (const Encoding encoding : {report.encoding, all[input.size() % 4]}) {
    FileBytes file(path);
    TextReader reader(file, encoding, block);
    std::string piece, text;
    while (reader.next(piece)) {
      expect(!piece.empty() && is_utf8(piece), "pieces are whole characters");
      text += piece;
    }
    expect(file.bytes() == report.bytes && file.sha256() == report.sha256, "the bytes read are those inspected");
    if (encoding == Encoding::utf8 && !report.binary) expect(text == input, "UTF-8 stays as it is");
  }
}
