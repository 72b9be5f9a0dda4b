#include "src/codec/text/readers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tokenizer.h"

TW_FUZZ_TARGET(sentencepiece) { try_tokenizer(read_sentencepiece(input, "tokenizer.model")); }
