// The protocol buffer is read here, by hand: five messages of known fields need no generated code, and every length is
// checked. Fields: sentencepiece/src/sentencepiece_model.proto; wire format: protobuf.dev/programming-guides/encoding.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "src/codec/text/readers.h"
#include "src/codec/text/spm_normalizer.h"
#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

using Kind = TokenizerSpec::Kind;

class Message {
 public:
  Message(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  struct Field {
    uint32_t number = 0;
    uint32_t wire = 0;        // 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes
    uint64_t value = 0;       // varint and fixed
    std::string_view bytes;   // counted
  };
  bool next(Field& field) {
    if (at_ == bytes_.size()) return false;
    const uint64_t tag = varint();
    field = {uint32_t(tag >> 3), uint32_t(tag & 7), 0, {}};
    TW_CHECK(tag >> 3 > 0 && tag >> 3 < 1u << 29, data, "{} is damaged: bad field number", file_);
    switch (field.wire) {
      case 0: field.value = varint(); break;
      case 1: field.value = fixed(8); break;
      case 2: field.bytes = counted(); break;
      case 5: field.value = fixed(4); break;
      default: TW_FAIL(data, "{} is no SentencePiece model, or damaged: wire type {}", file_, field.wire);
    }
    return true;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      TW_CHECK(at_ < bytes_.size(), data, "{} is cut off", file_);
      const auto byte = uint8_t(bytes_[at_++]);
      value |= uint64_t(byte & 127) << shift;
      if (byte < 128) return value;
    }
    TW_FAIL(data, "{} is damaged: a number of more than ten bytes", file_);
  }
  uint64_t fixed(size_t n) {
    TW_CHECK(bytes_.size() - at_ >= n, data, "{} is cut off", file_);
    uint64_t value = 0;
    for (size_t i = 0; i < n; ++i) value |= uint64_t(uint8_t(bytes_[at_ + i])) << (8 * i);
    at_ += n;
    return value;
  }
  std::string_view counted() {
    const uint64_t n = varint();
    TW_CHECK(n <= bytes_.size() - at_, data, "{} is cut off: a field of {} bytes, {} are left", file_, n, bytes_.size() - at_);
    const std::string_view out = bytes_.substr(at_, size_t(n));
    at_ += size_t(n);
    return out;
  }

  std::string_view bytes_;
  const std::string& file_;
  size_t at_ = 0;
};

struct Piece {
  std::string_view text;
  float score = 0;
  uint64_t type = 1;  // NORMAL UNKNOWN CONTROL USER_DEFINED UNUSED BYTE, from 1
};

struct Model {
  std::vector<Piece> pieces;
  uint64_t model_type = 1;  // UNIGRAM BPE WORD CHAR, from 1
  bool byte_fallback = false, suffix_space = false;
  std::string_view unknown = "<unk>", bos = "<s>", eos = "</s>", pad = "<pad>";
  std::string_view charsmap, denormalizer;
  bool dummy_prefix = true, remove_extra_spaces = true, escape_spaces = true;
};

Piece parse_piece(std::string_view bytes, const std::string& file) {
  Piece piece;
  Message message(bytes, file);
  for (Message::Field f; message.next(f);) {
    if (f.number == 1 && f.wire == 2) piece.text = f.bytes;
    if (f.number == 2 && f.wire == 5) piece.score = std::bit_cast<float>(uint32_t(f.value));
    if (f.number == 3 && f.wire == 0) piece.type = f.value;
  }
  return piece;
}

void parse_trainer(Model& model, std::string_view bytes, const std::string& file) {
  Message message(bytes, file);
  for (Message::Field f; message.next(f);) {
    if (f.wire == 0 && f.number == 3) model.model_type = f.value;
    if (f.wire == 0 && f.number == 24) model.suffix_space = f.value;
    if (f.wire == 0 && f.number == 35) model.byte_fallback = f.value;
    if (f.wire == 2 && f.number == 45) model.unknown = f.bytes;
    if (f.wire == 2 && f.number == 46) model.bos = f.bytes;
    if (f.wire == 2 && f.number == 47) model.eos = f.bytes;
    if (f.wire == 2 && f.number == 48) model.pad = f.bytes;
  }
}

void parse_normalizer(Model& model, std::string_view bytes, const std::string& file) {
  Message message(bytes, file);
  for (Message::Field f; message.next(f);) {
    if (f.wire == 2 && f.number == 2) model.charsmap = f.bytes;
    if (f.wire == 0 && f.number == 3) model.dummy_prefix = f.value;
    if (f.wire == 0 && f.number == 4) model.remove_extra_spaces = f.value;
    if (f.wire == 0 && f.number == 5) model.escape_spaces = f.value;
  }
}

Model parse_model(std::string_view bytes, const std::string& file) {
  Model model;
  Message message(bytes, file);
  for (Message::Field f; message.next(f);) {
    if (f.wire != 2) continue;
    if (f.number == 1) {
      TW_CHECK(int64_t(model.pieces.size()) < kMaxTokens, data, "{} has more than {} pieces", file, kMaxTokens);
      model.pieces.push_back(parse_piece(f.bytes, file));
    }
    if (f.number == 2) parse_trainer(model, f.bytes, file);
    if (f.number == 3) parse_normalizer(model, f.bytes, file);
    if (f.number == 5) {
      Model denormalizer;
      parse_normalizer(denormalizer, f.bytes, file);
      model.denormalizer = denormalizer.charsmap;
    }
  }
  return model;
}

// "<0x0A>" -> 10, or -1.
int byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  const int high = digit(piece[3]), low = digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace

TokenizerSpec read_sentencepiece(std::string_view bytes, const std::string& file) {
  const Model model = parse_model(bytes, file);
  TW_CHECK(!model.pieces.empty(), data, "{} has no pieces: it is no SentencePiece model", file);
  TW_CHECK(model.model_type == 2, data, "{}: trainer_spec.model_type is {}; only BPE (2) is read", file,
           model.model_type == 1 ? "UNIGRAM (1)" : fmt::format("{}", model.model_type));
  TW_CHECK(!model.suffix_space, data, "{}: trainer_spec.treat_whitespace_as_suffix is not supported", file);
  TW_CHECK(model.escape_spaces, data, "{}: normalizer_spec.escape_whitespaces = false is not supported", file);
  TW_CHECK(model.denormalizer.empty(), data, "{}: denormalizer_spec is not supported", file);
  check_charsmap(model.charsmap, file);

  TokenizerSpec spec;
  spec.units = TokenizerSpec::Units::characters;
  spec.rule = SplitRule::none;
  spec.byte_fallback = model.byte_fallback;
  spec.fuse_unknown = true;
  spec.charsmap = std::string(model.charsmap);
  spec.collapse_spaces = model.remove_extra_spaces;
  spec.strip_prefix = model.dummy_prefix;
  std::map<float, uint32_t, std::greater<>> rank_of_score;  // higher scores merge first
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const Piece& piece = model.pieces[id];
    TW_CHECK(!piece.text.empty() && piece.text.size() <= kMaxTokenBytes && is_utf8(piece.text), data,
             "{}: piece {} has {} bytes of text; wanted are 1 to {} of UTF-8", file, id, piece.text.size(), kMaxTokenBytes);
    TW_CHECK(std::isfinite(piece.score), data, "{}: the score of piece {} is not finite", file, id);
    std::string text(piece.text);
    Kind kind = Kind::normal;
    switch (piece.type) {
      case 1: rank_of_score.emplace(piece.score, 0); break;
      case 2: {
        TW_CHECK(spec.unknown < 0, data, "{}: piece {} is a second unknown one, after piece {}", file, id, spec.unknown);
        kind = Kind::unknown;
        spec.unknown = int32_t(id);
        break;
      }
      case 3:
        kind = Kind::special;
        spec.added.push_back({int32_t(id), text});
        break;
      case 4: {
        kind = Kind::special;
        spec.added_after_normalizer = true;
        spec.added.push_back({int32_t(id), text, false});
        break;
      }
      case 6: {
        const int byte = byte_of(piece.text);
        TW_CHECK(byte >= 0, data, "{}: piece {} is a byte, but not written as \"<0x0A>\"", file, id);
        kind = Kind::byte;
        text = std::string(1, char(byte));
        break;
      }
      default: TW_FAIL(data, "{}: piece {} has type {}, which is not supported", file, id, piece.type);
    }
    spec.tokens.push_back(std::move(text));
    spec.kinds.push_back(kind);
    if (kind == Kind::special) {
      const auto is = [&](std::string_view name, int32_t& slot) {
        if (piece.type == 3 && piece.text == name && slot < 0) slot = int32_t(id);
      };
      is(model.bos, spec.bos), is(model.eos, spec.eos), is(model.pad, spec.pad);
    }
  }
  TW_CHECK(spec.unknown >= 0, data, "{} has no unknown piece", file);
  uint32_t next = 0;
  for (auto& [score, rank] : rank_of_score) rank = next++;
  std::vector<uint32_t> rank(spec.tokens.size(), MergeTable::kNone);
  for (size_t id = 0; id < rank.size(); ++id)
    if (spec.kinds[id] == Kind::normal) rank[id] = rank_of_score.at(model.pieces[id].score);
  fill_merges_by_rank(spec, rank, file);
  // Text after a control token gets a space too, as models with such a tokenizer were trained (Llama 2's templates).
  if (model.dummy_prefix) spec.prefix = TokenizerSpec::Prefix::always;
  // Where the normaliser does nothing, text and normalised text are the same (Gemma); tokenizer.json can say that.
  const auto has_mark = [](const AddedToken& a) { return a.text.find(kSpaceMark) != a.text.npos; };
  if (!model.dummy_prefix && spec.charsmap.empty() && !spec.collapse_spaces &&
      std::none_of(spec.added.begin(), spec.added.end(), has_mark))
    spec.added_after_normalizer = false;
  spec.add_bos = spec.bos >= 0;
  return spec;
}

}  // namespace tw
