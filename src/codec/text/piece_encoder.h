// Text without special tokens to ids: cuts pieces, merges each, and remembers what came out.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/codec/text/spec.h"

namespace tw {

class PieceEncoder {
 public:
  explicit PieceEncoder(const TokenizerSpec& spec);  // keeps a reference

  // What one thread needs while it encodes: the cache of pieces and room for merging.
  class Scratch {
   public:
    Scratch() : cache_(kCacheEntries) {}

   private:
    friend class PieceEncoder;
    static constexpr size_t kCacheEntries = size_t(1) << 15;
    struct alignas(64) CacheEntry {
      std::array<uint64_t, 4> key{};  // up to 31 bytes of the piece, zeros, and its length in the last byte
      std::array<int32_t, 7> ids;
      int32_t count;
    };
    std::vector<CacheEntry> cache_;
    MergeTable::Piece piece_;
  };

  // A piece of more bytes is encoded in blocks of this size, so that memory stays bounded: there, and only there, ids
  // may differ from what one pass over the whole piece would give. Bytes come back all the same.
  static constexpr size_t kMaxPiece = size_t(1) << 22;

  void encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  template <SplitRule kRule>
  void encode_by(std::string_view text, Scratch& scratch, std::vector<int32_t>& ids) const;
  void encode_piece(std::string_view text, size_t begin, size_t end, Scratch& scratch, std::vector<int32_t>& ids) const;
  void merge_piece(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void merge_bytes(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  void merge_characters(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
  size_t next_word(const Glyphs& g, size_t i) const noexcept;
  void find_word_cuts();

  const TokenizerSpec& spec_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_symbol_;              // units bytes: of a byte; characters: the fall-back token; -1 = none
  std::unordered_map<char32_t, int32_t> char_symbol_; // units characters
  std::unordered_map<std::string_view, int32_t> whole_;  // ignore_merges: tokens by text
  // Where no token joins a character and a following space, cutting there changes nothing and makes pieces short.
  bool words_ = false;
  std::unordered_map<char32_t, bool> joins_space_;
};

}  // namespace tw
