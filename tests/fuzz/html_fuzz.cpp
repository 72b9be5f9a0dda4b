#include "src/core/utf8.h"
#include "src/data/formats/format.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(html) {
  const std::string text = html_to_text(repaired_utf8(input));  // the reader gives it valid UTF-8
  expect(is_utf8(text), "text is UTF-8");
  expect(text.size() <= 8 * input.size() + 64, "text is not much longer than its source");
}
