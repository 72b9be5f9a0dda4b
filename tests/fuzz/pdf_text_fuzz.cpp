// What pdftotext may write: pages of lines.
#include <array>
#include <vector>

#include "src/core/utf8.h"
#include "src/data/formats/format.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(pdf_text) {
  struct Taken final : tw::DocumentSink {
    std::string all;
    void text(std::string_view piece) override {
      expect(tw::is_utf8(piece), "text is UTF-8");
      all += piece;
    }
  } whole, pieces;
  tw::pdf_paragraphs(std::array{input}, whole);
  std::vector<std::string_view> cut;
  for (size_t i = 0; i < input.size(); i += 3) cut.push_back(input.substr(i, 3));
  tw::pdf_paragraphs(cut, pieces);
  expect(whole.all == pieces.all, "where the text is cut changes nothing");
  expect(whole.all.size() <= 3 * input.size() + 2, "text is not much longer than its source");
}
