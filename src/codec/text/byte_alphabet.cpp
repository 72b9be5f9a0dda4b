#include "src/codec/text/byte_alphabet.h"

#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr bool is_visible(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<uint8_t, 256> order{};
  std::array<char32_t, 256> code{};    // of a byte
  std::array<int16_t, 0x144> byte{};   // of a code point, -1 = none
  constexpr Alphabet() {
    for (auto& b : byte) b = -1;
    int n = 0;
    char32_t shifted = 256;
    for (int pass = 0; pass < 2; ++pass)
      for (int b = 0; b < 256; ++b) {
        if (is_visible(b) != (pass == 0)) continue;
        order[size_t(n++)] = uint8_t(b);
        code[size_t(b)] = pass == 0 ? char32_t(b) : shifted++;
        byte[code[size_t(b)]] = int16_t(b);
      }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

const std::array<uint8_t, 256>& alphabet_order() { return kAlphabet.order; }

std::string to_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (unsigned char b : bytes) append_utf8(text, kAlphabet.code[b]);
  return text;
}

bool from_alphabet(std::string_view text, std::string& bytes) {
  bytes.clear();
  for (char32_t code; !text.empty();) {
    const int n = decode_utf8(text, code);
    if (!n || code >= kAlphabet.byte.size() || kAlphabet.byte[code] < 0) return false;
    bytes += char(kAlphabet.byte[code]);
    text.remove_prefix(size_t(n));
  }
  return true;
}

}  // namespace tw
