#include "src/codec/text/tokenizer.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "src/codec/text/spm_normalizer.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"

namespace tw {
namespace {

using Kind = TokenizerSpec::Kind;
using Prefix = TokenizerSpec::Prefix;
using Units = TokenizerSpec::Units;

// Ids that later code uses as indices.
TokenizerSpec checked(TokenizerSpec spec) {
  const int64_t n = int64_t(spec.tokens.size());
  TW_CHECK(n > 0 && n <= kMaxTokens && spec.kinds.size() == spec.tokens.size(), bug, "tokenizer of {} tokens and {} kinds",
           n, spec.kinds.size());
  const int64_t symbols = n + int64_t(spec.extra_characters.size());
  const auto check_id = [&](int64_t id, int64_t limit, const char* what) {
    TW_CHECK(id >= 0 && id < limit, bug, "tokenizer: {} {} is not in [0, {})", what, id, limit);
  };
  for (const Merge& m : spec.merges) {
    check_id(m.left, symbols, "left side of a merge");
    check_id(m.right, symbols, "right side of a merge");
    check_id(m.result, n, "result of a merge");
  }
  for (const AddedToken& a : spec.added) {
    check_id(a.id, n, "added token");
    TW_CHECK(!a.text.empty(), bug, "tokenizer: added token {} has no text", a.id);
  }
  for (const int32_t id : {spec.bos, spec.eos, spec.pad, spec.unknown})
    if (id != -1) check_id(id, n, "special token");
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    TW_CHECK(spec.kinds[id] != Kind::byte || spec.tokens[id].size() == 1, bug, "tokenizer: byte token {} is no byte", id);
  return spec;
}

std::string with_spaces(std::string_view token) {
  std::string out(token);
  for (size_t at = 0; (at = out.find(kSpaceMark, at)) != out.npos; ++at) out.replace(at, kSpaceMark.size(), 1, ' ');
  return out;
}

std::string with_marks(std::string_view text) {
  std::string out;
  out.reserve(text.size() * 2);
  for (const char c : text) c == ' ' ? out += kSpaceMark : out += c;
  return out;
}

// Of all that decides ids; equal for equal specs only.
std::string hash_of(const TokenizerSpec& spec) {
  Sha256 sum;
  std::string block;
  const auto number = [&](uint64_t value) {
    for (int i = 0; i < 8; ++i) block += char(value >> (8 * i) & 255);
    if (block.size() > 60000) sum.update(block), block.clear();
  };
  const auto text = [&](std::string_view s) {
    number(s.size());
    block += s;
  };
  text("tokenwerk text codec 1");
  number(uint64_t(spec.units)), number(uint64_t(spec.rule)), number(uint64_t(spec.prefix));
  number(spec.ignore_merges), number(spec.byte_fallback), number(spec.fuse_unknown), number(spec.strip_prefix);
  number(uint64_t(spec.collapse_spaces) | uint64_t(spec.added_after_normalizer) << 1), number(uint64_t(int64_t(spec.unknown)));
  text(spec.charsmap);
  number(spec.tokens.size());
  for (size_t id = 0; id < spec.tokens.size(); ++id) number(uint64_t(spec.kinds[id])), text(spec.tokens[id]);
  number(spec.extra_characters.size());
  for (const char32_t c : spec.extra_characters) number(c);
  uint64_t place = 0;
  uint32_t rank = 0;
  number(spec.merges.size());
  for (const Merge& m : ordered_merges(spec)) {
    place += m.rank != rank || place == 0;  // ranks 3, 3, 7 say the same as 1, 1, 2
    rank = m.rank;
    number(uint64_t(uint32_t(m.left)) << 32 | uint32_t(m.right)), number(place << 32 | uint32_t(m.result));
  }
  auto added = spec.added;
  std::sort(added.begin(), added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (const AddedToken& a : added)
    number(uint64_t(a.id) << 3 | uint64_t(a.special) << 2 | uint64_t(a.left_space) << 1 | a.right_space), text(a.text);
  sum.update(block);
  return sum.hex();
}

size_t after_spaces(std::string_view text, size_t i) {
  const Glyphs g(text);
  return g.run(i, CharClass::space);
}

size_t before_spaces(std::string_view text, size_t begin, size_t end) {
  const Glyphs g(text);
  while (end > begin) {
    size_t i = end - 1;
    while (i > begin && end - i < 4 && (g.byte(i) & 0xC0) == 0x80) --i;
    const Glyph last = g.at(i);
    if (last.type != CharClass::space || i + last.bytes != end) break;
    end = i;
  }
  return end;
}

}  // namespace

void TextTokenizer::Matcher::add(const AddedToken& token) {
  by_text.emplace(token.text, &token);
  lengths.resize(256);
  lengths[uint8_t(token.text[0])].push_back(uint32_t(token.text.size()));
}

void TextTokenizer::Matcher::finish() {
  int starts = 0;
  for (size_t c = 0; c < lengths.size(); ++c) {
    auto& l = lengths[c];
    if (l.empty()) continue;
    std::sort(l.begin(), l.end(), std::greater<>());
    l.erase(std::unique(l.begin(), l.end()), l.end());
    only_start = ++starts == 1 ? int(c) : -1;
  }
}

const AddedToken* TextTokenizer::Matcher::at_start(std::string_view text) const {
  for (const uint32_t n : lengths[uint8_t(text[0])]) {
    if (n > text.size()) continue;
    const auto found = by_text.find(text.substr(0, n));
    if (found != by_text.end()) return found->second;
  }
  return nullptr;
}

const AddedToken* TextTokenizer::Matcher::find(std::string_view text, size_t& position) const {
  if (by_text.empty()) return nullptr;
  for (size_t i = position; i < text.size(); ++i) {
    if (only_start >= 0) {
      const void* next = std::memchr(text.data() + i, only_start, text.size() - i);
      if (!next) break;
      i = size_t(static_cast<const char*>(next) - text.data());
    }
    if (const AddedToken* token = at_start(text.substr(i))) {
      position = i;
      return token;
    }
  }
  return nullptr;
}

// A thread's room while it encodes, from the free ones.
struct TextTokenizer::ScratchLease {
  explicit ScratchLease(const TextTokenizer& t) : tokenizer(t) {
    {
      const std::lock_guard lock(t.mutex_);
      if (!t.free_.empty()) {
        scratch = std::move(t.free_.back());
        t.free_.pop_back();
        return;
      }
    }
    scratch = std::make_unique<PieceEncoder::Scratch>();
  }
  ~ScratchLease() {
    const std::lock_guard lock(tokenizer.mutex_);
    tokenizer.free_.push_back(std::move(scratch));
  }
  const TextTokenizer& tokenizer;
  std::unique_ptr<PieceEncoder::Scratch> scratch;
};

TextTokenizer::TextTokenizer(TokenizerSpec spec)
    : spec_(checked(std::move(spec))), encoder_(spec_), hash_(hash_of(spec_)) {
  special_flags_.resize(spec_.tokens.size());
  for (size_t id = 0; id < spec_.tokens.size(); ++id)
    special_flags_[id] = spec_.kinds[id] == Kind::special || spec_.kinds[id] == Kind::unknown;
  for (const AddedToken& a : spec_.added) {
    special_flags_[size_t(a.id)] = a.special;
    special_.emplace(a.text, a.id);
    if (!a.special && spec_.added_after_normalizer) {
      normalized_.add(a);
      continue;
    }
    with_special_.add(a);
    if (!a.special) always_.add(a);
  }
  for (Matcher* matcher : {&with_special_, &always_, &normalized_}) matcher->finish();
  const bool characters = spec_.units == Units::characters;
  std::array<bool, 256> has_byte{};
  offsets_.reserve(spec_.tokens.size() + 1);
  offsets_.push_back(0);
  for (size_t id = 0; id < spec_.tokens.size(); ++id) {
    const std::string& token = spec_.tokens[id];
    const bool marked = spec_.kinds[id] == Kind::normal || (spec_.added_after_normalizer && spec_.kinds[id] == Kind::special);
    bytes_ += characters && marked ? with_spaces(token) : token;
    TW_CHECK(bytes_.size() <= UINT32_MAX, bug, "tokenizer: its tokens are longer than 4 GiB together");
    offsets_.push_back(uint32_t(bytes_.size()));
    if (spec_.kinds[id] == (characters ? Kind::byte : Kind::normal) && token.size() == 1) has_byte[uint8_t(token[0])] = true;
  }
  lossless_ = std::all_of(has_byte.begin(), has_byte.end(), [](bool b) { return b; }) &&
              (!characters || spec_.byte_fallback) && spec_.charsmap.empty() && !spec_.collapse_spaces &&
              (spec_.prefix == Prefix::none ? !spec_.strip_prefix
                                            : spec_.strip_prefix && always_.by_text.empty() &&
                                                  spec_.prefix == Prefix::always) &&
              std::none_of(spec_.added.begin(), spec_.added.end(),
                           [](const AddedToken& a) { return !a.special && (a.left_space || a.right_space); });
}

TextTokenizer::~TextTokenizer() = default;

std::vector<int32_t> TextTokenizer::encode(std::string_view bytes) const { return encode(bytes, EncodeOptions{}); }

std::vector<int32_t> TextTokenizer::encode(std::string_view bytes, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  ids.reserve(bytes.size() / 3 + 8);
  encode(bytes, options, ids);
  return ids;
}

void TextTokenizer::encode(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const {
  ScratchLease lease(*this);
  if (options.add_bos && spec_.bos >= 0) ids.push_back(spec_.bos);
  const Matcher& matcher = options.parse_special ? with_special_ : always_;
  for (size_t begin = 0; !text.empty();) {
    size_t at = begin;
    const AddedToken* token = matcher.find(text, at);
    size_t end = token ? at : text.size();
    if (token && token->left_space) end = before_spaces(text, begin, end);
    encode_segment(text.substr(begin, end - begin), begin == 0, *lease.scratch, ids);
    if (!token) break;
    ids.push_back(token->id);
    begin = at + token->text.size();
    if (token->right_space) begin = after_spaces(text, begin);
  }
  if (options.add_eos && spec_.eos >= 0) ids.push_back(spec_.eos);
}

void TextTokenizer::encode_segment(std::string_view text, bool first, PieceEncoder::Scratch& scratch,
                                   std::vector<int32_t>& ids) const {
  if (text.empty()) return;
  std::string changed;
  if (!spec_.charsmap.empty() || spec_.collapse_spaces) {
    KeptLength keep;
    if (!normalized_.by_text.empty())
      keep = [this](std::string_view rest) {
        const AddedToken* token = normalized_.at_start(rest);
        return token ? token->text.size() : 0;
      };
    changed = spm_normalize(text, spec_.charsmap, spec_.collapse_spaces, keep);
    text = changed;
    if (text.empty()) return;
  }
  const bool has_space = text.starts_with(' ') || (spec_.units == Units::characters && text.starts_with(kSpaceMark));
  const bool missing = spec_.prefix == Prefix::if_missing || (first && spec_.prefix == Prefix::first_if_missing);
  if (spec_.prefix == Prefix::always || (missing && !has_space)) {
    std::string prefixed;
    prefixed.reserve(text.size() + 1);
    prefixed += ' ';
    prefixed += text;
    changed = std::move(prefixed);
    text = changed;
  }
  if (normalized_.by_text.empty()) return encoder_.encode(text, scratch, ids);
  const std::string marked = with_marks(text);
  text = marked;
  for (size_t begin = 0; begin < text.size();) {
    size_t at = begin;
    const AddedToken* token = normalized_.find(text, at);
    encoder_.encode(text.substr(begin, (token ? at : text.size()) - begin), scratch, ids);
    if (!token) break;
    ids.push_back(token->id);
    begin = at + token->text.size();
  }
}

std::string TextTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  out.reserve(ids.size() * 4);
  for (const int32_t id : ids) {
    const std::string_view bytes = token_bytes(id);
    if (!skip_special || !special_flags_[size_t(id)]) out += bytes;
  }
  if (spec_.strip_prefix && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

std::string_view TextTokenizer::token_bytes(int32_t id) const {
  TW_CHECK(id >= 0 && id < spec_.size(), data, "token id {} is not in [0, {})", id, spec_.size());
  const uint32_t begin = offsets_[size_t(id)];
  return std::string_view(bytes_).substr(begin, offsets_[size_t(id) + 1] - begin);
}

bool TextTokenizer::is_special(int32_t id) const {
  TW_CHECK(id >= 0 && id < spec_.size(), data, "token id {} is not in [0, {})", id, spec_.size());
  return special_flags_[size_t(id)];
}

std::optional<int32_t> TextTokenizer::special_id(std::string_view text) const {
  const auto found = special_.find(text);
  return found == special_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<CodecQuality> TextTokenizer::quality(std::span<const std::filesystem::path> files) const {
  CodecQuality quality{"bytes per token, larger is better", 0, "one token a byte", 1, true};
  uint64_t bytes = 0, tokens = 0;
  for (const auto& path : files) {
    const MappedFile file(path);
    const std::vector<int32_t> ids = encode(file.text());
    bytes += file.size();
    tokens += ids.size();
    quality.lossless = quality.lossless && decode(ids) == file.text();
  }
  quality.value = tokens ? double(bytes) / double(tokens) : 0;
  return {quality};
}

}  // namespace tw
