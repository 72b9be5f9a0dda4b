#include "src/codec/text/vocabulary.h"

#include "src/codec/text/byte_alphabet.h"

namespace tw {
namespace {

// What a stranger wrote, for a terminal.
std::string escaped(std::string_view text) {
  return nlohmann::json(std::string(text.substr(0, 100))).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Vocabulary::Vocabulary(TokenizerSpec& spec, const JsonNode& table) : spec_(spec) {
  TW_CHECK(table.is_object(), data, "{} is not an object of tokens and ids", table.where());
  ids_.reserve(table.raw().size() * 2);
  for (const auto& item : table.raw().items()) {
    const auto where = [&] { return fmt::format("{}[{}]", table.where(), escaped(item.key())); };
    const auto& id = item.value();
    TW_CHECK(id.is_number_unsigned() && id.get<uint64_t>() < uint64_t(kMaxTokens), data, "{} = {} is no id in [0, {})",
             where(), id.dump().substr(0, 100), kMaxTokens);
    add(id.get<int32_t>(), item.key(), where);
  }
  TW_CHECK(!ids_.empty(), data, "{} is empty", table.where());
  TW_CHECK(spec.tokens.size() <= 2 * ids_.size() + 65536, data, "{} has {} tokens but ids up to {}", table.where(),
           ids_.size(), spec.tokens.size() - 1);
}

int32_t Vocabulary::find(std::string_view text) const {
  const auto found = ids_.find(std::string(text));
  return found == ids_.end() ? -1 : found->second;
}

void Vocabulary::add(int32_t id, const std::string& text, const Where& where) {
  TW_CHECK(text.size() <= 2 * kMaxTokenBytes, data, "{}: a token of {} bytes is too long", where(), text.size());
  if (size_t(id) >= spec_.tokens.size()) {
    spec_.tokens.resize(size_t(id) + 1);
    spec_.kinds.resize(size_t(id) + 1, TokenizerSpec::Kind::hole);
  }
  TW_CHECK(spec_.kinds[size_t(id)] == TokenizerSpec::Kind::hole, data, "{}: id {} is given twice", where(), id);
  spec_.tokens[size_t(id)] = text;
  spec_.kinds[size_t(id)] = TokenizerSpec::Kind::normal;
  ids_.emplace(text, id);
}

void Vocabulary::add_merge(std::string_view left, std::string_view right, const Where& where) {
  const auto known = [&](std::string_view text) {
    const int32_t id = find(text);
    TW_CHECK(id >= 0, data, "{}: {} is not in the vocabulary", where(), escaped(text));
    return id;
  };
  spec_.merges.push_back({known(left), known(right), known(std::string(left).append(right)), uint32_t(spec_.merges.size())});
}

void Vocabulary::to_bytes() {
  std::string bytes;
  for (size_t id = 0; id < spec_.tokens.size(); ++id) {
    if (spec_.kinds[id] != TokenizerSpec::Kind::normal) continue;
    if (from_alphabet(spec_.tokens[id], bytes))
      spec_.tokens[id] = bytes;
    else
      spec_.kinds[id] = TokenizerSpec::Kind::special;
  }
}

}  // namespace tw
