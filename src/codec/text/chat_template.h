// Conversations as ids: each turn between tokens of its own, in one of two ways.
//   chatml  <|im_start|>user\nTEXT<|im_end|>\n                                     (OpenAI's chat markup language; what most open models use)
//   llama3  <|start_header_id|>user<|end_header_id|>\n\nTEXT<|eot_id|>             (Llama 3 model card)
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/codec/text/spec.h"

namespace tw {

class TextTokenizer;

class ChatTemplate {
 public:
  // That whose tokens the tokenizer has. Error(config) where it has none of both: add_chat_tokens.
  explicit ChatTemplate(const TextTokenizer& tokenizer);
  static bool known_to(const TextTokenizer& tokenizer);

  // Appends the tokens a turn begins with. What is returned stands before its text and is one text with it, as in other programs.
  std::string begin(std::string_view role, std::vector<int32_t>& ids) const;
  // Appends what stands behind a turn.
  void end(std::vector<int32_t>& ids) const;
  int32_t end_id() const noexcept { return end_; }  // the first id of end(): where an assistant has said what it says
  // As transformers' apply_chat_template reads it (Jinja).
  std::string jinja() const;

 private:
  const TextTokenizer& tokenizer_;
  bool llama3_;
  int32_t start_ = -1, head_end_ = -1, end_ = -1;
};

// Puts the tokens of chatml behind those that are there, where the tokenizer has those of neither.
void add_chat_tokens(TokenizerSpec& spec);

}  // namespace tw
