#include "src/codec/text/piece_encoder.h"

#include <cstring>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr char32_t kMark = 0x2581;
constexpr size_t kKeyBytes = 31;

using Key = std::array<uint64_t, 4>;

constexpr std::array<Key, 32> kMasks = [] {
  std::array<Key, 32> masks{};
  for (size_t bytes = 0; bytes < 32; ++bytes)
    for (size_t b = 0; b < bytes; ++b) masks[bytes][b / 8] |= uint64_t(255) << (b % 8 * 8);
  return masks;
}();

uint64_t fold(uint64_t a, uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = Wide(a) * b;
  return uint64_t(product) ^ uint64_t(product >> 64);
}

uint64_t hash_of(const Key& key) noexcept {
  return fold(key[0] ^ 0x9E3779B97F4A7C15ull, key[1] ^ 0xC2B2AE3D27D4EB4Full) ^
         fold(key[2] ^ 0x165667B19E3779F9ull, key[3] ^ 0xD6E8FEB86659FD93ull);
}

bool next_code(std::string_view text, size_t i, char32_t& code, size_t& bytes) noexcept {
  bytes = size_t(decode_utf8(text.substr(i), code));
  if (bytes) return true;
  bytes = 1;
  return false;
}

}  // namespace

PieceEncoder::PieceEncoder(const TokenizerSpec& spec) : spec_(spec), merges_(spec.merges) {
  byte_symbol_.fill(-1);
  for (int32_t id = 0; id < spec.size(); ++id) {
    const std::string& token = spec.tokens[size_t(id)];
    const auto kind = spec.kinds[size_t(id)];
    if (spec.units == TokenizerSpec::Units::bytes) {
      if (kind == TokenizerSpec::Kind::normal && token.size() == 1) byte_symbol_[uint8_t(token[0])] = id;
    } else if (kind == TokenizerSpec::Kind::byte) {
      byte_symbol_[uint8_t(token[0])] = id;
    } else if (kind == TokenizerSpec::Kind::normal) {
      char32_t code;
      size_t bytes = 0;
      if (!token.empty() && next_code(token, 0, code, bytes) && bytes == token.size()) char_symbol_.emplace(code, id);
    }
    if (spec.ignore_merges && kind == TokenizerSpec::Kind::normal && !token.empty()) whole_.emplace(token, id);
  }
  for (size_t i = 0; i < spec.extra_characters.size(); ++i)
    char_symbol_.emplace(spec.extra_characters[i], spec.size() + int32_t(i));
  if (spec.units == TokenizerSpec::Units::characters && spec.rule == SplitRule::none) find_word_cuts();
}

void PieceEncoder::find_word_cuts() {
  if (spec_.ignore_merges || !char_symbol_.contains(kMark)) return;
  for (const Merge& m : spec_.merges) {
    const std::string_view token = spec_.tokens[size_t(m.result)];
    char32_t previous = kMark, code;
    for (size_t i = 0, n; i < token.size(); i += n) {
      if (!next_code(token, i, code, n)) return;
      if (code == kMark && previous != kMark) joins_space_[previous] = true;
      previous = code;
    }
  }
  words_ = true;
}

size_t PieceEncoder::next_word(const Glyphs& g, size_t i) const noexcept {
  bool was_space = false;
  size_t last = i;
  for (size_t j = i; j < g.size();) {
    const bool space = pieces::is_space_mark(g, j);
    if (space && !was_space && j > i) {
      bool joined = false;
      if (!joins_space_.empty()) {
        char32_t code;
        joined = decode_utf8(g.text(last, j), code) && joins_space_.contains(code);
      }
      if (!joined) return j;
    }
    was_space = space;
    last = j;
    j += g.at(j).bytes;
  }
  return g.size();
}

void PieceEncoder::encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (words_) {
    const Glyphs g(text);
    for (size_t i = 0; i < text.size();) {
      const size_t end = next_word(g, i);
      encode_piece(text, i, end, scratch, ids);
      i = end;
    }
    return;
  }
  switch (spec_.rule) {
    case SplitRule::none: return encode_by<SplitRule::none>(text, scratch, ids);
    case SplitRule::gpt2: return encode_by<SplitRule::gpt2>(text, scratch, ids);
    case SplitRule::cl100k: return encode_by<SplitRule::cl100k>(text, scratch, ids);
    case SplitRule::llama3: return encode_by<SplitRule::llama3>(text, scratch, ids);
    case SplitRule::qwen2: return encode_by<SplitRule::qwen2>(text, scratch, ids);
    case SplitRule::each_space: return encode_by<SplitRule::each_space>(text, scratch, ids);
  }
}

template <SplitRule kRule>
void PieceEncoder::encode_by(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const {
  const Glyphs g(text);
  for (size_t i = 0; i < text.size();) {
    const size_t end = next_piece<kRule>(g, i);
    encode_piece(text, i, end, scratch, ids);
    i = end;
  }
}

void PieceEncoder::encode_piece(std::string_view text, size_t begin, size_t end, Scratch& scratch,
                                std::vector<int32_t>& ids) const {
  const size_t bytes = end - begin;
  if (bytes > kKeyBytes) [[unlikely]] {
    while (end - begin > kMaxPiece) {
      size_t cut = begin + kMaxPiece;
      for (int back = 0; back < 3 && (uint8_t(text[cut]) & 0xC0) == 0x80; ++back) --cut;
      merge_piece(text.substr(begin, cut - begin), scratch, ids);
      begin = cut;
    }
    return merge_piece(text.substr(begin, end - begin), scratch, ids);
  }
  Key key{};
  if (begin + 32 <= text.size()) [[likely]] {
    std::memcpy(key.data(), text.data() + begin, 32);
    for (size_t w = 0; w < 4; ++w) key[w] &= kMasks[bytes][w];
  } else {
    std::memcpy(key.data(), text.data() + begin, bytes);
  }
  key[3] |= uint64_t(bytes) << 56;
  auto& entry = scratch.cache_[hash_of(key) & (Scratch::kCacheEntries - 1)];
  if (entry.key == key) [[likely]] {
    if (entry.count == 1) [[likely]]
      ids.push_back(entry.ids[0]);
    else
      ids.insert(ids.end(), entry.ids.data(), entry.ids.data() + entry.count);
    return;
  }
  const size_t before = ids.size();
  merge_piece(text.substr(begin, bytes), scratch, ids);
  const size_t count = ids.size() - before;
  if (count > entry.ids.size()) return;
  entry.key = key;
  entry.count = int32_t(count);
  std::memcpy(entry.ids.data(), ids.data() + before, count * sizeof(int32_t));
}

void PieceEncoder::merge_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (spec_.ignore_merges) {
    const auto found = whole_.find(piece);
    if (found != whole_.end()) return ids.push_back(found->second);
  }
  if (spec_.units == TokenizerSpec::Units::bytes)
    merge_bytes(piece, scratch, ids);
  else
    merge_characters(piece, scratch, ids);
}

void PieceEncoder::merge_bytes(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  auto& p = scratch.piece_;
  p.symbols.clear();
  p.origin.assign(piece.size(), 0);  // of no use here
  for (unsigned char b : piece) {
    // A vocabulary without some byte: its unknown token, or nothing, as Hugging Face does.
    const int32_t symbol = byte_symbol_[b] < 0 ? spec_.unknown : byte_symbol_[b];
    const bool again = byte_symbol_[b] < 0 && spec_.fuse_unknown && !p.symbols.empty() && p.symbols.back() == symbol;
    if (symbol >= 0 && !again) p.symbols.push_back(symbol);
  }
  merges_.apply(p);
  ids.insert(ids.end(), p.symbols.begin(), p.symbols.end());
}

void PieceEncoder::merge_characters(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  constexpr int32_t kUnknown = -1;  // pairs with it are in no table
  auto& p = scratch.piece_;
  p.symbols.clear();
  p.origin.clear();
  char32_t code;
  for (size_t i = 0, n; i < piece.size(); i += n) {
    int32_t symbol = kUnknown;
    if (next_code(piece, i, code, n)) {
      const auto found = char_symbol_.find(code == ' ' ? kMark : code);
      if (found != char_symbol_.end()) symbol = found->second;
    }
    p.symbols.push_back(symbol);
    p.origin.push_back(uint32_t(i));
  }
  merges_.apply(p);
  bool after_unknown = false;
  for (size_t s = 0; s < p.symbols.size(); ++s) {
    const bool known = p.symbols[s] >= 0 && p.symbols[s] < spec_.size();
    if (known) {
      ids.push_back(p.symbols[s]);
    } else {
      // Never merged, so one character; a space without a token of its own is the bytes of its mark.
      const size_t begin = p.origin[s], end = s + 1 < p.symbols.size() ? p.origin[s + 1] : piece.size();
      std::string_view character = piece.substr(begin, end - begin);
      if (character == " ") character = kSpaceMark;
      bool bytes = spec_.byte_fallback;
      for (unsigned char b : character) bytes = bytes && byte_symbol_[b] >= 0;
      if (bytes) {
        for (unsigned char b : character) ids.push_back(byte_symbol_[b]);
      } else if (spec_.unknown >= 0 && !(after_unknown && spec_.fuse_unknown)) {
        ids.push_back(spec_.unknown);
      }
      after_unknown = !bytes;
      continue;
    }
    after_unknown = false;
  }
}

}  // namespace tw
