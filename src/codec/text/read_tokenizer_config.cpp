#include "src/codec/text/json_fields.h"
#include "src/codec/text/readers.h"

namespace tw {
namespace {

int32_t added_id(const TokenizerSpec& spec, std::string_view text) {
  for (const AddedToken& a : spec.added)
    if (a.text == text) return a.id;
  return -1;
}

}  // namespace

void read_tokenizer_config(TokenizerSpec& spec, std::string_view text, const std::string& file) {
  const auto json = parse_tokenizer_file(text, file);
  const JsonNode root(json, file + ": config");
  TW_CHECK(root.is_object(), data, "{} is no JSON object", file);
  const auto name = [&](const char* key, int32_t& slot) {
    if (!root.has(key)) return;
    const JsonNode value = root[key];
    const std::string& token = value.is_object() ? value["content"].text() : value.text();
    const int32_t id = added_id(spec, token);
    // Configurations name tokens that their tokenizer does not have; those stay as they were.
    if (id >= 0) slot = id;
  };
  name("bos_token", spec.bos);
  name("eos_token", spec.eos);
  name("pad_token", spec.pad);
  spec.add_bos = root.flag_or("add_bos_token", spec.add_bos) && spec.bos >= 0;
  spec.add_eos = root.flag_or("add_eos_token", spec.add_eos) && spec.eos >= 0;
}

void name_special_tokens(TokenizerSpec& spec) {
  const auto name = [&](int32_t& slot, std::initializer_list<std::string_view> texts) {
    for (const std::string_view text : texts)
      if (slot < 0) slot = added_id(spec, text);
  };
  name(spec.bos, {"<s>", "<|begin_of_text|>", "<bos>", "<|endoftext|>"});
  name(spec.eos, {"</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"});
  name(spec.pad, {"<pad>", "<|pad|>", "[PAD]"});
}

}  // namespace tw
