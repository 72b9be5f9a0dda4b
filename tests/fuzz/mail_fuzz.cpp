#include "src/data/formats/format.h"
#include "tests/fuzz/documents.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(mail) { read_document_of(tw::kMail, input); }
