// The XML of a document, in a ZIP archive that is made around it; or, behind "raw\n", the archive itself.
#include "src/data/formats/format.h"
#include "tests/fuzz/documents.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/stored_zip.h"

TW_FUZZ_TARGET(docx) {
  if (input.starts_with("raw\n")) return read_document_of(tw::kDocx, input.substr(4));
  std::string_view rest = input;
  const std::string_view document = next_part(rest), notes = next_part(rest);
  read_document_of(tw::kDocx, stored_zip({{"word/document.xml", document}, {"word/footnotes.xml", notes}}));
}
