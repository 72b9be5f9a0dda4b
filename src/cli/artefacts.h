// Documents of a codec's kind from a model: molecules, sound, pictures.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "src/cli/model_at_work.h"
#include "src/codec/codec_set.h"
#include "src/generate/generator.h"

namespace tw {

// Where the codebooks of a tokenizer's codecs lie: "codecs" beside its file, or in its folder.
std::filesystem::path codecs_beside(const std::filesystem::path& tokenizer);
// Of a model whose tokenizer has ids of codecs: their codebooks beside it. Error(no_input) where there are none.
CodecSet codecs_of(const ModelAtWork& m);

struct Artefacts {
  std::vector<std::string> documents;  // as Codec::decode gives them
  int64_t tokens = 0, unfinished = 0;  // of those that reached options.max_new_tokens before their end
  double seconds = 0;
};
// `count` documents behind `prompt`, each with random numbers of its own from number `first_sample` on; only ids of the kind are drawn.
Artefacts make_artefacts(Generator& generator, const Codec& codec, const CodecRange& range, const std::vector<int32_t>& prompt, GenerateOptions options,
                         int64_t count, int64_t first_sample, const std::function<void()>& after_each);

// What lines (CodecKind::lines) go to one file, others to numbered ones in a folder. Error(cannot_create), Error(io).
void write_artefacts(const Artefacts& artefacts, const CodecKind& kind, const std::filesystem::path& path);

}  // namespace tw
