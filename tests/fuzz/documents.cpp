#include "tests/fuzz/documents.h"

#include "src/core/utf8.h"
#include "src/data/formats/format.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

struct Taken final : DocumentSink {
  std::string all;
  void text(std::string_view piece) override {
    expect(is_utf8(piece), "text is UTF-8");
    all += piece;
  }
  void end_document() override { all += '\0'; }
  void note(std::string text) override { expect(text.size() < 1000, "notes are short"); }
};

}  // namespace

void read_document_of(const Format& format, std::string_view input) {
  MemoryBytes first(input);
  const DocumentReport report = inspect_document(format, first);
  if (!report.reason.empty()) return;
  std::string before;
  for (int i = 0; i < 2; ++i) {
    MemoryBytes bytes(input);
    Taken taken;
    extract(format, report.encoding, bytes, taken);
    if (i == 0) before = std::move(taken.all);
    else expect(taken.all == before, "the text is the same each time");
  }
}

}  // namespace tw::fuzz
