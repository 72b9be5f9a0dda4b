// Format: see read_tokenizer_json.cpp. Written by hand, a token a line, since the vocabulary must keep its order.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/codec/text/byte_alphabet.h"
#include "src/codec/text/chat_template.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

using Json = nlohmann::ordered_json;
using Kind = TokenizerSpec::Kind;
using Prefix = TokenizerSpec::Prefix;
using Units = TokenizerSpec::Units;

std::string escaped(const std::string& text) { return Json(text).dump(); }

// A token as the format writes it.
std::string written(const TokenizerSpec& spec, int32_t id) {
  const std::string& token = spec.tokens[size_t(id)];
  if (spec.kinds[size_t(id)] == Kind::byte) return fmt::format("<0x{:02X}>", uint8_t(token[0]));
  if (spec.kinds[size_t(id)] == Kind::normal && spec.units == Units::bytes) return to_alphabet(token);
  return token;
}

void check_writable(const TokenizerSpec& spec, const std::string& file) {
  const auto refuse = [&](std::string_view what) {
    TW_FAIL(config, "{}: tokenizer.json cannot hold {}; keep the SentencePiece model instead", file, what);
  };
  if (!spec.charsmap.empty() || spec.collapse_spaces) refuse("this SentencePiece model's normalizer");
  if (!spec.extra_characters.empty()) refuse("pieces made of characters that are no pieces themselves");
  if (spec.added_after_normalizer) refuse("user-defined pieces beside a normalizer");
  if (spec.units == Units::characters && !ties_are_runs(spec)) refuse("pieces of equal score");
  if (spec.units == Units::bytes && spec.prefix != Prefix::none &&
      (spec.prefix != Prefix::if_missing || spec.rule != SplitRule::gpt2))
    refuse(fmt::format("a space before the text with the rule {}", rule_name(spec.rule)));
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    if (spec.kinds[id] != Kind::byte && !(spec.kinds[id] == Kind::normal && spec.units == Units::bytes) &&
        !is_utf8(spec.tokens[id]))
      refuse(fmt::format("token {}, which is not UTF-8", id));
}

Json normalizer(const TokenizerSpec& spec) {
  if (spec.units == Units::bytes || spec.prefix == Prefix::if_missing || spec.prefix == Prefix::first_if_missing ||
      spec.rule == SplitRule::each_space)
    return nullptr;
  Json steps = Json::array();
  if (spec.prefix == Prefix::always) steps.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}});
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json pre_tokenizer(const TokenizerSpec& spec) {
  if (spec.units == Units::bytes) {
    const bool own = spec.rule == SplitRule::gpt2;
    Json level = {{"type", "ByteLevel"}, {"add_prefix_space", spec.prefix == Prefix::if_missing}, {"trim_offsets", true},
                  {"use_regex", own}};
    if (own || spec.rule == SplitRule::none) return level;
    const Json split = {{"type", "Split"}, {"pattern", {{"Regex", rule_pattern(spec.rule)}}}, {"behavior", "Isolated"},
                        {"invert", false}};
    return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, level})}};
  }
  if (!normalizer(spec).is_null()) return nullptr;
  const char* scheme = spec.prefix == Prefix::if_missing         ? "always"
                       : spec.prefix == Prefix::first_if_missing ? "first"
                                                                 : "never";
  return {{"type", "Metaspace"}, {"replacement", kSpaceMark}, {"prepend_scheme", scheme},
          {"split", spec.rule == SplitRule::each_space}};
}

Json decoder(const TokenizerSpec& spec) {
  if (spec.units == Units::bytes)
    return {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  Json steps = Json::array({{{"type", "Replace"}, {"pattern", {{"String", kSpaceMark}}}, {"content", " "}},
                            {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (spec.strip_prefix) steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json post_processor(const TokenizerSpec& spec) {
  const bool bos = spec.add_bos && spec.bos >= 0, eos = spec.add_eos && spec.eos >= 0;
  const Json level = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  if (!bos && !eos) return spec.units == Units::bytes ? level : Json(nullptr);
  Json single = Json::array(), pair = Json::array(), tokens = Json::object();
  const auto special = [&](int32_t id, int type) -> Json {
    const std::string name = written(spec, id);
    tokens[name] = {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
    return {{"SpecialToken", {{"id", name}, {"type_id", type}}}};
  };
  for (int type = 0; type < 2; ++type) {
    const auto add = [&](const Json& item) {
      if (type == 0) single.push_back(item);
      pair.push_back(item);
    };
    if (bos) add(special(spec.bos, type));
    add({{"Sequence", {{"id", type ? "B" : "A"}, {"type_id", type}}}});
    if (eos) add(special(spec.eos, type));
  }
  const Json processing = {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
  if (spec.units == Units::characters) return processing;
  return {{"type", "Sequence"}, {"processors", Json::array({level, processing})}};
}

std::vector<AddedToken> sorted_added(const TokenizerSpec& spec) {
  auto added = spec.added;
  std::sort(added.begin(), added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return added;
}

std::string tokenizer_json(const TokenizerSpec& spec) {
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  const auto added = sorted_added(spec);
  const char* separator = "\n";
  for (const AddedToken& a : added) {
    const Json json = {{"id", a.id}, {"content", a.text}, {"single_word", false}, {"lstrip", a.left_space},
                       {"rstrip", a.right_space}, {"normalized", false}, {"special", a.special}};
    out += fmt::format("{}    {}", separator, json.dump());
    separator = ",\n";
  }
  out += "\n  ],\n";
  for (const auto& [key, value] : {std::pair<const char*, Json>{"normalizer", normalizer(spec)},
                                   {"pre_tokenizer", pre_tokenizer(spec)},
                                   {"post_processor", post_processor(spec)},
                                   {"decoder", decoder(spec)}})
    out += fmt::format("  \"{}\": {},\n", key, value.dump());
  const Json unknown = spec.unknown >= 0 ? Json(written(spec, spec.unknown)) : Json(nullptr);
  out += fmt::format("  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": {},\n"
                     "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": {},\n"
                     "    \"byte_fallback\": {},\n    \"ignore_merges\": {},\n    \"vocab\": {{",
                     unknown.dump(), spec.fuse_unknown, spec.byte_fallback, spec.ignore_merges);
  // Added tokens that follow the others get the ids they have without being in the vocabulary, where text could make
  // them by chance.
  int32_t end = spec.size();
  for (auto last = added.rbegin(); last != added.rend() && last->id == end - 1; ++last) {
    if (spec.kinds[size_t(last->id)] != Kind::special || last->id == spec.unknown) break;
    --end;
  }
  if (std::find(spec.kinds.begin(), spec.kinds.begin() + end, Kind::hole) != spec.kinds.begin() + end) end = spec.size();
  separator = "\n";
  for (int32_t id = 0; id < end; ++id) {
    if (spec.kinds[size_t(id)] == Kind::hole) continue;
    out += fmt::format("{}      {}: {}", separator, escaped(written(spec, id)), id);
    separator = ",\n";
  }
  out += "\n    },\n    \"merges\": [";
  separator = "\n";
  for (const Merge& m : ordered_merges(spec)) {
    out += fmt::format("{}      [{}, {}]", separator, escaped(written(spec, m.left)), escaped(written(spec, m.right)));
    separator = ",\n";
  }
  return out + "\n    ]\n  }\n}\n";
}

}  // namespace

void TextTokenizer::save_tokenizer_json(const std::filesystem::path& path) const {
  check_writable(spec_, path.string());
  write_file_atomically(path, tokenizer_json(spec_));
}

void TextTokenizer::save_hf(const std::filesystem::path& folder, int64_t model_max_length) const {
  make_folders(folder);
  save_tokenizer_json(folder / "tokenizer.json");
  Json names = Json::object();
  const auto name = [&](const char* key, int32_t id) {
    if (id >= 0) names[key] = written(spec_, id);
  };
  name("bos_token", spec_.bos), name("eos_token", spec_.eos), name("unk_token", spec_.unknown), name("pad_token", spec_.pad);
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"model_max_length", model_max_length},
                 {"clean_up_tokenization_spaces", false},
                 {"model_input_names", {"input_ids", "attention_mask"}}};
  config.update(names);
  if (ChatTemplate::known_to(*this)) config["chat_template"] = ChatTemplate(*this).jinja();
  write_file_atomically(folder / "special_tokens_map.json", names.dump(2) + "\n");
  write_file_atomically(folder / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace tw
