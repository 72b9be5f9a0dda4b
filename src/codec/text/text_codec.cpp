#include "src/codec/text/bpe_trainer.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/file.h"

namespace tw {
namespace {

std::unique_ptr<Codec> train_text(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  BpeTrainer trainer({.vocab_size = options.vocab_size, .threads = options.threads});
  for (const auto& path : files) trainer.add(MappedFile(path).text());
  return std::make_unique<TextTokenizer>(trainer.train());
}

std::unique_ptr<Codec> load_text(const std::filesystem::path& path) { return TextTokenizer::load(path); }

}  // namespace

const CodecKind& text_codec_kind() {
  static constexpr CodecKind kind{.name = "text", .train = train_text, .load = load_text};
  return kind;
}

}  // namespace tw
