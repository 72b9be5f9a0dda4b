// The XML of a document, in a ZIP archive that is made around it; or, behind "raw\n", the archive itself.
#include "src/data/formats/format.h"
#include "tests/fuzz/documents.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/archives.h"

TW_FUZZ_TARGET(docx) {
  if (input.starts_with("raw\n")) return read_document_of(tw::kDocx, input.substr(4));
  std::string_view rest = input;
  const std::string_view document = next_part(rest), notes = next_part(rest);
  read_document_of(tw::kDocx, zip({{.name = "word/document.xml", .content = std::string(document), .stored = true},
                                   {.name = "word/footnotes.xml", .content = std::string(notes), .stored = true}}));
}
