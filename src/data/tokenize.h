// From an inventory to token files: makes or takes a tokenizer and encodes the text of every used file.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "src/codec/codec.h"
#include "src/data/scan.h"

namespace tw {

struct TokenizeProgress {
  const char* phase = "";  // "train tokenizer", "tokenize train", …
  int64_t files = 0, bytes = 0;              // of the phase, done; bytes of the files
  int64_t total_files = 0, total_bytes = 0;
};

struct TokenizeOptions {
  std::filesystem::path out;        // gets tokenizer.json, codecs/, tokens/{train,val,test}.h5 and tokens/tokens.json
  std::filesystem::path tokenizer;  // what TextTokenizer::load reads; "" = a byte-level BPE is trained on the train split
  int32_t vocab_size = 4096;        // of a trained one, at most
  std::string eos_token = "<|endoftext|>";  // a tokenizer that is given and does not have this one has its own
  bool append_eod = true;           // eos_token behind each document
  std::string audio = "rvq";        // codecs of sound and pictures, as CodecTraining has them
  std::string image = "patches";
  int image_size = 32, video_size = 64, video_rate = 5;
  int variants = 4;                 // of documents of the train split that can be written in several ways (CodecInput::variants)
  PersonalMask mask;                // secrets and personal data that are put out of sight
  int threads = 1;                  // the result does not depend on it
  std::function<void(const TokenizeProgress&)> progress;  // from the calling thread
};

// What a codec does to files it was not made of (those of val, else of test, else of train), beside a plain way.
struct CodecMeasures {
  std::string kind;
  Split split = Split::train;
  int64_t files = 0;
  std::vector<CodecQuality> measures;
};

// Files of one codec's kind in a split.
struct CodedTokens {
  std::string kind;                 // "molecule"
  int64_t files = 0, documents = 0, tokens = 0, bytes = 0;  // bytes: of the files
  double seconds = 0;               // of threads
  double tokens_per_second() const noexcept { return seconds > 0 ? double(tokens) / seconds : 0; }  // and core
};

struct SplitTokens {
  std::filesystem::path file;  // absolute or as options.out; "" = the split has no files
  int64_t documents = 0, tokens = 0;
  int64_t bytes = 0;           // of text
  std::vector<CodedTokens> coded;  // which of the tokens are not text; their files are among the documents
  std::string checksum;        // of the tokens, as the file names it; "" = not known
  double seconds = 0;          // it took to make them
  double text_seconds = 0;     // of threads, those of text alone
  bool reused = false;         // made by an earlier call
  int64_t text_tokens() const noexcept;
  double bytes_per_token() const noexcept { return text_tokens() > 0 ? double(bytes) / double(text_tokens()) : 0; }
};

struct TokenizeResult {
  std::filesystem::path tokenizer;  // OUT/tokenizer.json
  std::string tokenizer_hash;
  int32_t vocab_size = 0;           // of the tokenizer: ids are below it
  bool tokenizer_reused = false;    // trained by an earlier call
  double tokenizer_seconds = 0;
  std::array<SplitTokens, 3> splits;     // by Split
  std::vector<CodecMeasures> codecs;
  std::vector<std::string> left_out;     // "path: reason", files that changed or vanished since the scan
  const SplitTokens& of(Split split) const noexcept { return splits[size_t(split)]; }
};

// Files whose bytes are no longer those of the inventory are left out and named. What an earlier call made of the same
// files, tokenizer and options is kept: tokens/tokens.json tells. A split without files gives no token file. Special
// tokens' texts in documents are ordinary text.
//
// Files of a codec's kind go through a codec that is trained on those of the train split and kept in OUT/codecs; its ids stand
// behind those of text (codec/id_space.h). In a token file they follow the text.
//
// Long documents are read in blocks: memory does not grow with their length, but for HTML. They are cut only where that
// changes no id, but for 64 MiB without the end of a word and for tokenizers that put a space before a text, normalise
// it or know no certain place to cut (SentencePiece): those see documents in parts of at most 64 MiB.
// Error(config) for an eos_token the tokenizer does not have and for a tokenizer that tokenizer.json cannot hold,
// Error(data) where train has no tokens or a file changes while it is read, Error(io), Error(cannot_create), and what
// TextTokenizer::load throws.
TokenizeResult tokenize(const Inventory& inventory, const TokenizeOptions& options);

}  // namespace tw
