// What a tokenizer read from an input must be able to do, whatever the input said.
#pragma once
#include "src/codec/text/spec.h"

namespace tw::fuzz {
// Builds it, encodes a few texts and decodes the ids; where it says that it is lossless, they must come back.
void try_tokenizer(TokenizerSpec spec);
}  // namespace tw::fuzz
