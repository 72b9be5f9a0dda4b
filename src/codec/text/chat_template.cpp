#include "src/codec/text/chat_template.h"

#include <algorithm>

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"

namespace tw {
namespace {

constexpr const char *kStart = "<|im_start|>", *kEnd = "<|im_end|>";
constexpr const char *kHead = "<|start_header_id|>", *kHeadEnd = "<|end_header_id|>", *kTurnEnd = "<|eot_id|>";

bool has(const TextTokenizer& t, std::initializer_list<const char*> tokens) {
  return std::all_of(tokens.begin(), tokens.end(), [&](const char* token) { return t.special_id(token).has_value(); });
}

}  // namespace

bool ChatTemplate::known_to(const TextTokenizer& t) { return has(t, {kHead, kHeadEnd, kTurnEnd}) || has(t, {kStart, kEnd}); }

ChatTemplate::ChatTemplate(const TextTokenizer& tokenizer) : tokenizer_(tokenizer), llama3_(has(tokenizer, {kHead, kHeadEnd, kTurnEnd})) {
  TW_CHECK(known_to(tokenizer), config, "the tokenizer has no tokens for turns of a conversation ({} and {}): the model was not trained on conversations", kStart, kEnd);
  start_ = *tokenizer.special_id(llama3_ ? kHead : kStart);
  end_ = *tokenizer.special_id(llama3_ ? kTurnEnd : kEnd);
  if (llama3_) head_end_ = *tokenizer.special_id(kHeadEnd);
}

std::string ChatTemplate::begin(std::string_view role, std::vector<int32_t>& ids) const {
  ids.push_back(start_);
  if (!llama3_) return std::string(role) + "\n";
  tokenizer_.encode(role, {}, ids);
  ids.push_back(head_end_);
  return "\n\n";
}

void ChatTemplate::end(std::vector<int32_t>& ids) const {
  ids.push_back(end_);
  if (!llama3_) tokenizer_.encode("\n", {}, ids);
}

std::string ChatTemplate::jinja() const {
  const std::string turn = llama3_ ? "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }}"
                                   : "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}";
  const std::string assistant = llama3_ ? "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}" : "{{ '<|im_start|>assistant\n' }}";
  return "{% for message in messages %}" + turn + "{% endfor %}{% if add_generation_prompt %}" + assistant + "{% endif %}";
}

void add_chat_tokens(TokenizerSpec& spec) {
  const auto special = [&](const char* text) { return std::any_of(spec.added.begin(), spec.added.end(), [&](const AddedToken& a) { return a.special && a.text == text; }); };
  if ((special(kHead) && special(kHeadEnd) && special(kTurnEnd)) || (special(kStart) && special(kEnd))) return;
  for (const char* text : {kStart, kEnd}) {
    if (special(text)) continue;
    spec.added.push_back({.id = spec.size(), .text = text, .special = true});
    spec.tokens.push_back(text);
    spec.kinds.push_back(TokenizerSpec::Kind::special);
  }
}

}  // namespace tw
