// One reader a file format; each makes a TokenizerSpec of a file's whole content. All throw Error(data) naming `file`
// and the key or line; what they return is consistent, whatever the file says.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "src/codec/text/spec.h"

namespace tw {

// Hugging Face tokenizers: model BPE, by bytes or by characters.
TokenizerSpec read_tokenizer_json(std::string_view text, const std::string& file);
// GPT-2's two files: {"token": id} and lines of "left right".
TokenizerSpec read_vocab_and_merges(std::string_view vocab, const std::string& vocab_file, std::string_view merges,
                                    const std::string& merges_file);
// tokenizer_config.json: bos, eos, pad and whether prompts start with bos.
void read_tokenizer_config(TokenizerSpec& spec, std::string_view text, const std::string& file);
// SentencePiece's ModelProto (sentencepiece_model.proto), model_type BPE.
TokenizerSpec read_sentencepiece(std::string_view bytes, const std::string& file);
// Lines of "base64 rank". The special tokens are those that the published vocabularies of 50256 (GPT-2), 100256
// (cl100k_base) and 128000 (Llama 3) ranks have, which also say the rule; with another number it must be given.
TokenizerSpec read_tiktoken(std::string_view text, std::optional<SplitRule> rule, const std::string& file);

// bos, eos and pad by the names that models give them, where they are not set yet.
void name_special_tokens(TokenizerSpec& spec);

}  // namespace tw
