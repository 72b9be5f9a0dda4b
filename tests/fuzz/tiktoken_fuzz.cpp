#include "src/codec/text/readers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tokenizer.h"

namespace {
// All bytes have a token, so that an input need not say so to be read.
const std::string& bytes() {
  static const std::string lines = [] {
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string all;
    for (unsigned b = 0; b < 256; ++b) {
      all += kDigits[b >> 2];
      all += kDigits[(b & 3) << 4];
      all += "== " + std::to_string(b) + "\n";
    }
    return all;
  }();
  return lines;
}
}  // namespace

TW_FUZZ_TARGET(tiktoken) {
  if (input.starts_with("#")) {  // the whole file
    try_tokenizer(read_tiktoken(input.substr(1), std::nullopt, "a.tiktoken"));
    return;
  }
  try_tokenizer(read_tiktoken(bytes() + std::string(input), SplitRule(input.size() % 6), "a.tiktoken"));
}
