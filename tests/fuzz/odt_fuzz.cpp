// The XML of a document, in a ZIP archive that is made around it; or, behind "raw\n", the archive itself.
#include "src/data/formats/format.h"
#include "tests/fuzz/documents.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/archives.h"

TW_FUZZ_TARGET(odt) {
  if (input.starts_with("raw\n")) return read_document_of(tw::kOdt, input.substr(4));
  read_document_of(tw::kOdt, zip({{.name = "content.xml", .content = std::string(input), .stored = true}}));
}
