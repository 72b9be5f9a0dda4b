#include "src/data/formats/format.h"
#include "tests/fuzz/documents.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(csv) { read_document_of(tw::kCsv, input); }
