// A folder of one file, scanned and read as the tokenizer reads it: every format by its extension. The input is the
// file's name, a line, then its content.
#include "src/core/utf8.h"
#include "src/data/document_text.h"
#include "src/data/formats/format.h"
#include "src/data/scan.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(scan) {
  static const Folder folder;
  const size_t line = std::min(input.find('\n'), input.size());
  std::string extension(input.substr(0, line));
  if (extension.empty() || extension.size() > 12 ||
      extension.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.") != extension.npos)
    return;
  const std::string name = "a." + extension;
  const auto path = folder.write(name, input.substr(std::min(line + 1, input.size())));
  struct Removed {
    std::filesystem::path path;
    ~Removed() {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  } const removed{path};
  const Inventory inventory = scan(folder.path());
  for (const ScannedFile& f : inventory.files) {
    if (f.state != FileState::used) continue;
    int64_t bytes = 0;
    const bool same = read_document(inventory.folder, f, {}, [&](std::string_view piece) {
      expect(is_utf8(piece), "text is UTF-8");
      bytes += int64_t(piece.size());
    });
    expect(same && bytes == f.text_bytes, "a file has the text that was scanned");
  }
  use(inventory.table().data());
}
