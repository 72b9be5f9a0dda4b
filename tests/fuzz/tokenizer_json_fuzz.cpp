#include "src/codec/text/readers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tokenizer.h"

TW_FUZZ_TARGET(tokenizer_json) { try_tokenizer(read_tokenizer_json(input, "tokenizer.json")); }
