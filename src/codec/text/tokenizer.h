// The text codec: byte-level BPE and SentencePiece BPE, ids equal to those of Hugging Face tokenizers, tiktoken and
// SentencePiece. Byte-level vocabularies, and the others where they have byte tokens, give any bytes back exactly,
// invalid UTF-8 included (SentencePiece models: U+2581 in the input comes back as a space).
#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/codec/codec.h"
#include "src/codec/text/piece_encoder.h"
#include "src/codec/text/spec.h"

namespace tw {

struct EncodeOptions {
  bool parse_special = false;  // texts of special tokens become those tokens; else they are ordinary text
  bool add_bos = false;        // puts bos_id() first, where there is one
  bool add_eos = false;
};

class TextTokenizer final : public Codec {
 public:
  explicit TextTokenizer(TokenizerSpec spec);  // Error(bug) for a spec whose ids do not fit
  ~TextTokenizer() override;
  TextTokenizer(const TextTokenizer&) = delete;
  TextTokenizer& operator=(const TextTokenizer&) = delete;

  // A tokenizer.json, a SentencePiece .model (BPE), a tiktoken file (told apart by content), or a folder with one of
  // them, or with vocab.json and merges.txt (encoder.json and vocab.bpe). A tokenizer_config.json beside a
  // tokenizer.json names bos, eos and pad. `rule` is for tiktoken files, which do not say it: default by number of ranks.
  // Error(no_input), Error(data) naming file and key.
  static std::unique_ptr<TextTokenizer> load(const std::filesystem::path& path,
                                             std::optional<SplitRule> rule = std::nullopt);

  std::string_view name() const override { return "text"; }
  int32_t vocab_size() const override { return spec_.size(); }
  std::string hash() const override { return hash_; }  // SHA-256, 64 digits; bos, eos and pad do not count
  // Ordinary text, no bos. Thread-safe.
  std::vector<int32_t> encode(std::string_view bytes) const;
  void encode(const CodecInput& file, CodecSink& sink) const override { sink.ids(encode(file.bytes)); }
  std::vector<int32_t> encode(std::string_view bytes, const EncodeOptions& options) const;
  // Appends; room and cache are kept between calls.
  void encode(std::string_view bytes, const EncodeOptions& options, std::vector<int32_t>& ids) const;
  std::string decode(std::span<const int32_t> ids) const override { return decode(ids, false); }
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;
  // What one id adds to a text that goes on (for output id by id; a character may span several ids).
  std::string_view token_bytes(int32_t id) const;  // Error(data) out of range
  bool is_special(int32_t id) const;

  std::optional<int32_t> special_id(std::string_view text) const;  // of "<|endoftext|>" and the like
  int32_t bos_id() const noexcept { return spec_.bos; }  // -1 = none
  int32_t eos_id() const noexcept { return spec_.eos; }
  int32_t pad_id() const noexcept { return spec_.pad; }
  int32_t unknown_id() const noexcept { return spec_.unknown; }
  bool adds_bos() const noexcept { return spec_.add_bos; }  // the file's own default for prompts
  bool adds_eos() const noexcept { return spec_.add_eos; }
  bool lossless() const noexcept { return lossless_; }  // any bytes come back, but for U+2581 (see above)
  const TokenizerSpec& spec() const noexcept { return spec_; }

  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const override;
  void save(const std::filesystem::path& path) const override { save_tokenizer_json(path); }
  // Loads in Hugging Face tokenizers with equal ids. Error(config) for SentencePiece models that format cannot hold.
  void save_tokenizer_json(const std::filesystem::path& path) const;
  // tokenizer.json, tokenizer_config.json and special_tokens_map.json, as AutoTokenizer reads them.
  void save_hf(const std::filesystem::path& folder, int64_t model_max_length) const;

 private:
  struct ScratchLease;
  // Texts found leftmost first, of those the longest.
  struct Matcher {
    std::unordered_map<std::string_view, const AddedToken*> by_text;
    std::vector<std::vector<uint32_t>> lengths;  // by first byte, longest first; empty = no token at all
    int only_start = -1;                         // the first byte of all of them, if it is one
    void add(const AddedToken& token);
    void finish();
    const AddedToken* at_start(std::string_view text) const;
    const AddedToken* find(std::string_view text, size_t& position) const;
  };
  void encode_segment(std::string_view text, bool first, PieceEncoder::Scratch& scratch, std::vector<int32_t>& ids) const;

  TokenizerSpec spec_;
  PieceEncoder encoder_;
  Matcher always_, with_special_, normalized_;
  std::unordered_map<std::string_view, int32_t> special_;
  std::vector<bool> special_flags_; // by id
  std::string bytes_;               // what ids decode to, one after the other
  std::vector<uint32_t> offsets_;   // vocab_size + 1
  std::string hash_;
  bool lossless_ = false;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<PieceEncoder::Scratch>> free_;
};

// "text": trains with the defaults of BpeTraining on each file as one text; loads as TextTokenizer::load.
const CodecKind& text_codec_kind();

}  // namespace tw
