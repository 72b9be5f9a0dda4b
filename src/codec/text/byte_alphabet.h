// GPT-2's way to write any byte as a visible character, used by tokenizer.json and vocab.bpe.
// Radford et al. 2019, encoder.py, bytes_to_unicode.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tw {

// The 256 bytes in the order of their characters: '!' .. '~', 0xA1 .. 0xAC, 0xAE .. 0xFF, then the rest.
const std::array<uint8_t, 256>& alphabet_order();
std::string to_alphabet(std::string_view bytes);
// False where the text has a character that stands for no byte; `bytes` is then undefined.
bool from_alphabet(std::string_view text, std::string& bytes);

}  // namespace tw
