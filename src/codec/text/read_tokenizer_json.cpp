// Format: huggingface/tokenizers, tokenizers/src/tokenizer/serialization.rs and the types it names.
#include <unordered_set>

#include "src/codec/text/byte_alphabet.h"
#include "src/codec/text/readers.h"
#include "src/codec/text/vocabulary.h"

namespace tw {
namespace {

using Kind = TokenizerSpec::Kind;
using Prefix = TokenizerSpec::Prefix;

[[noreturn]] void refuse(const JsonNode& node, std::string_view what) {
  TW_FAIL(data, "{}: {} is not supported", node.where(), what);
}

// The steps of a component: none, one, or those of a Sequence.
std::vector<JsonNode> steps_of(const JsonNode& node, const char* list) {
  if (node.is_null()) return {};
  if (node["type"].text() != "Sequence") return {node};
  std::vector<JsonNode> steps;
  const JsonNode all = node[list];
  for (size_t i = 0; i < all.size(); ++i)
    for (JsonNode& step : steps_of(all.at(i), list)) steps.push_back(std::move(step));
  return steps;
}

bool is_mark(const JsonNode& text) { return text.is_text() && text.text() == kSpaceMark; }

// What the normaliser and the pre-tokenizer say, checked to be of a kind we know.
class Preparation {
 public:
  explicit Preparation(const JsonNode& root) {
    for (const JsonNode& step : steps_of(root["normalizer"], "normalizers")) normalizer(step);
    for (const JsonNode& step : steps_of(root["pre_tokenizer"], "pretokenizers")) pre_tokenizer(step);
    const JsonNode at = root["pre_tokenizer"];
    if (byte_level_) {
      if (marks_ || prepends_) refuse(root["normalizer"], "U+2581 before ByteLevel");
      if (metaspace_) refuse(at, "Metaspace beside ByteLevel");
      if (split_ && (own_split_ || prefix_ != Prefix::none)) refuse(at, "a Split before a ByteLevel that cuts or adds a space");
      rule_ = split_ ? *split_ : own_split_ ? SplitRule::gpt2 : SplitRule::none;
    } else {
      if (split_) refuse(at, "Split by a pattern without ByteLevel");
      if (!marks_ && !metaspace_) refuse(at, "BPE without ByteLevel, Metaspace or a Replace of \" \" by U+2581");
      if (prepends_ && metaspace_ && prefix_ != Prefix::none) refuse(at, "Prepend beside Metaspace");
      if (prepends_) prefix_ = Prefix::always;
    }
  }
  void fill(TokenizerSpec& spec) const {
    spec.units = byte_level_ ? TokenizerSpec::Units::bytes : TokenizerSpec::Units::characters;
    spec.rule = rule_;
    spec.prefix = prefix_;
  }

 private:
  void normalizer(const JsonNode& step) {
    const std::string& type = step["type"].text();
    if (type == "Prepend") {
      if (!is_mark(step["prepend"])) refuse(step, "Prepend of anything but U+2581");
      prepends_ = true;
    } else if (type == "Replace") {
      const JsonNode pattern = step["pattern"];
      if (!pattern.has("String") || pattern["String"].text() != " " || !is_mark(step["content"]))
        refuse(step, "Replace of anything but \" \" by U+2581");
      marks_ = true;
    } else {
      refuse(step, type);
    }
  }

  void pre_tokenizer(const JsonNode& step) {
    const std::string& type = step["type"].text();
    if (byte_level_) refuse(step, type + " after ByteLevel");
    if (type == "ByteLevel") {
      byte_level_ = true;
      own_split_ = step.flag_or("use_regex", true);
      if (step.flag_or("add_prefix_space", true)) prefix_ = Prefix::if_missing;
    } else if (type == "Split") {
      split(step);
    } else if (type == "Metaspace") {
      if (metaspace_) refuse(step, "a second Metaspace");
      if (!is_mark(step["replacement"])) refuse(step, "Metaspace with another mark than U+2581");
      metaspace_ = true;
      const std::string scheme = step.text_or("prepend_scheme", step.flag_or("add_prefix_space", true) ? "always" : "never");
      if (scheme == "always") prefix_ = Prefix::if_missing;
      else if (scheme == "first") prefix_ = Prefix::first_if_missing;
      else if (scheme != "never") refuse(step, "prepend_scheme " + scheme);
      if (step.flag_or("split", true)) rule_ = SplitRule::each_space;
    } else {
      refuse(step, type);
    }
  }

  void split(const JsonNode& step) {
    const JsonNode pattern = step["pattern"];
    // Without effect where spaces have become U+2581 (Gemma).
    if (marks_ && pattern.has("String") && pattern["String"].text() == " ") return;
    if (!pattern.has("Regex")) refuse(pattern, "a pattern that is no Regex");
    const std::string behavior = step["behavior"].text();
    const bool inverted = step.flag_or("invert", false);
    // Our patterns match every character, so to keep what matches is to remove what does not.
    if (!(behavior == "Isolated" || (behavior == "Removed" && inverted))) refuse(step, "behavior " + behavior);
    if (split_) refuse(step, "a second Split");
    split_ = rule_by_pattern(pattern["Regex"].text());
    TW_CHECK(split_, data, "{}: this pattern is not known: {}", pattern.where(), pattern["Regex"].raw().dump());
  }

  bool marks_ = false, prepends_ = false, byte_level_ = false, own_split_ = false, metaspace_ = false;
  std::optional<SplitRule> split_;
  SplitRule rule_ = SplitRule::none;
  Prefix prefix_ = Prefix::none;
};

void read_model(TokenizerSpec& spec, Vocabulary& vocabulary, const JsonNode& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.text_or(key, "").empty()) refuse(model[key], "a prefix or suffix of word parts");
  if (model.has("dropout")) {
    const auto& dropout = model["dropout"].raw();
    if (!dropout.is_number() || dropout.get<double>() != 0) refuse(model["dropout"], "dropout");
  }
  spec.byte_fallback = model.flag_or("byte_fallback", false);
  spec.fuse_unknown = model.flag_or("fuse_unk", false);
  spec.ignore_merges = model.flag_or("ignore_merges", false);
  const JsonNode merges = model["merges"];
  const size_t count = merges.size();
  TW_CHECK(count < size_t(1) << 23, data, "{} has {} entries, far more than any tokenizer", merges.where(), count);
  spec.merges.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const auto where = [&] { return fmt::format("{}[{}]", merges.where(), i); };
    const auto& merge = merges.raw()[i];
    if (merge.is_string()) {
      const std::string_view text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      TW_CHECK(space != text.npos, data, "{} is not \"left right\"", where());
      vocabulary.add_merge(text.substr(0, space), text.substr(space + 1), where);
    } else {
      TW_CHECK(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(), data,
               "{} is not a pair of texts", where());
      vocabulary.add_merge(merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>(), where);
    }
  }
  if (!model.has("unk_token")) return;
  spec.unknown = vocabulary.find(model["unk_token"].text());
  TW_CHECK(spec.unknown >= 0, data, "{} is not in the vocabulary", model["unk_token"].where());
}

void read_added(TokenizerSpec& spec, Vocabulary& vocabulary, const JsonNode& list) {
  if (list.is_null()) return;
  std::unordered_set<int32_t> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonNode node = list.at(i);
    AddedToken token;
    token.id = int32_t(node["id"].whole(kMaxTokens));
    token.text = node["content"].text();
    token.special = node.flag_or("special", false);
    token.left_space = node.flag_or("lstrip", false);
    token.right_space = node.flag_or("rstrip", false);
    if (token.text.empty()) continue;  // as Hugging Face does
    if (node.flag_or("single_word", false)) refuse(node["single_word"], "true");
    TW_CHECK(token.text.size() <= kMaxTokenBytes, data, "{}.content is too long", node.where());
    const int32_t known = vocabulary.find(token.text);
    TW_CHECK(known < 0 || known == token.id, data, "{}: {} has id {} here and {} in the vocabulary", node.where(),
             node["content"].raw().dump(), token.id, known);
    if (known < 0) vocabulary.add(token.id, token.text, [&] { return node.where(); });
    if (!seen.insert(token.id).second) continue;
    // One that merges may make as well stays what it is, if both ways its text is the same.
    std::string bytes;
    const bool same = spec.units == TokenizerSpec::Units::characters || (from_alphabet(token.text, bytes) && bytes == token.text);
    if (token.special || known < 0 || !same) spec.kinds[size_t(token.id)] = Kind::special;
    spec.added.push_back(std::move(token));
  }
}

void read_post_processor(TokenizerSpec& spec, const Vocabulary& vocabulary, const JsonNode& root) {
  const auto token = [&](const JsonNode& name) {
    const int32_t id = vocabulary.find(name.text());
    TW_CHECK(id >= 0, data, "{}: {} is no token", name.where(), name.raw().dump());
    return id;
  };
  for (const JsonNode& step : steps_of(root, "processors")) {
    const std::string& type = step["type"].text();
    if (type == "ByteLevel") continue;  // about offsets only
    if (type == "RobertaProcessing" || type == "BertProcessing") {
      const JsonNode first = step["cls"], last = step["sep"];
      TW_CHECK(first.size() == 2 && last.size() == 2, data, "{}: cls and sep are not [text, id]", step.where());
      spec.bos = token(first.at(0)), spec.eos = token(last.at(0));
      spec.add_bos = spec.add_eos = true;
      continue;
    }
    if (type != "TemplateProcessing") refuse(step, type);
    const JsonNode single = step["single"];
    bool after = false;
    for (size_t i = 0; i < single.size(); ++i) {
      const JsonNode item = single.at(i);
      if (item.has("Sequence")) {
        if (after) refuse(item, "the text twice");
        after = true;
        continue;
      }
      const int32_t id = token(item["SpecialToken"]["id"]);
      bool& adds = after ? spec.add_eos : spec.add_bos;
      if (adds) refuse(item, "more than one token before or after the text");
      adds = true;
      (after ? spec.eos : spec.bos) = id;
    }
  }
}

// Whether the space that encoding put in front is taken away.
void read_decoder(TokenizerSpec& spec, const JsonNode& root) {
  for (const JsonNode& step : steps_of(root, "decoders")) {
    const std::string& type = step["type"].text();
    if (type == "Strip" && step.text_or("content", "") == " " && step.has("start") && step["start"].whole(1 << 20) > 0)
      spec.strip_prefix = true;
    if (type == "Metaspace" &&
        step.text_or("prepend_scheme", step.flag_or("add_prefix_space", true) ? "always" : "never") != "never")
      spec.strip_prefix = true;
  }
}

// "<0x0A>" is the byte 10 where the model falls back to bytes.
void mark_byte_tokens(TokenizerSpec& spec, const Vocabulary& vocabulary) {
  for (int b = 0; b < 256; ++b) {
    const int32_t id = vocabulary.find(fmt::format("<0x{:02X}>", b));
    if (id < 0 || spec.kinds[size_t(id)] != Kind::normal) continue;
    spec.tokens[size_t(id)] = std::string(1, char(b));
    spec.kinds[size_t(id)] = Kind::byte;
  }
}

// Merges do not make what is no normal token: the merge would undo itself on the next reading.
void check_merges(const TokenizerSpec& spec, const std::string& file) {
  for (const Merge& m : spec.merges)
    TW_CHECK(spec.kinds[size_t(m.result)] != Kind::hole && spec.kinds[size_t(m.result)] != Kind::byte, data,
             "{}: merge {} makes token {}, which stands for a byte", file, m.rank, m.result);
}

}  // namespace

TokenizerSpec read_tokenizer_json(std::string_view text, const std::string& file) {
  const auto json = parse_tokenizer_file(text, file);
  TW_CHECK(json.is_object(), data, "{} is no JSON object", file);
  const JsonNode root(json, file + ": tokenizer");
  TW_CHECK(root.has("model"), data, "{} has no \"model\": it is no tokenizer.json", file);
  const JsonNode model = root["model"];
  const std::string type = model.text_or("type", model.has("merges") ? "BPE" : "");
  if (type != "BPE") refuse(model["type"], type.empty() ? "a model without a type" : type);
  TokenizerSpec spec;
  Preparation(root).fill(spec);
  Vocabulary vocabulary(spec, model["vocab"]);
  read_model(spec, vocabulary, model);
  read_added(spec, vocabulary, root["added_tokens"]);
  read_post_processor(spec, vocabulary, root["post_processor"]);
  read_decoder(spec, root["decoder"]);
  if (spec.units == TokenizerSpec::Units::bytes) {
    vocabulary.to_bytes();
  } else if (spec.byte_fallback) {
    mark_byte_tokens(spec, vocabulary);
    check_merges(spec, file);
  }
  if (spec.unknown >= 0 && spec.units == TokenizerSpec::Units::characters) spec.kinds[size_t(spec.unknown)] = Kind::unknown;
  name_special_tokens(spec);
  return spec;
}

}  // namespace tw
