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
  std::vector<CaptionedDocument> documents;  // as Codec::decode gives them
  int64_t tokens = 0, unfinished = 0;  // of those that reached options.max_new_tokens before their end
  double seconds = 0;
};
// What a document is made behind.
struct ArtefactPrompt {
  std::string caption;
  std::vector<int32_t> ids;
  std::vector<int32_t> beginning = {};  // ids of the codec that the document begins with; none = those all of its kind begin with
};
// The beginning that a file of the kind is: its first document. Error(no_input), Error(data); Error(config) where it is whole and nothing can follow.
std::vector<int32_t> beginning_of(const Codec& codec, const std::filesystem::path& file);
// Of a run: the captions its training documents of the kind have, up to `most`; else, and without any, one empty prompt. `begin`: what comes before
// each document.
std::vector<ArtefactPrompt> caption_prompts(const ModelAtWork& m, const std::filesystem::path& train_tokens, const CodecRange& range, const std::vector<int32_t>& begin, size_t most);

// `count` documents behind the prompts in turn, each with random numbers of its own from number `first_sample` on; only ids of the kind are drawn, and where `guided` those its rules allow (Codec::guide).
Artefacts make_artefacts(Generator& generator, const Codec& codec, const CodecRange& range, const std::vector<ArtefactPrompt>& prompts, GenerateOptions options,
                         bool guided, int64_t count, int64_t first_sample, const std::function<void()>& after_each);

// What lines (CodecKind::lines) go to one file, others to numbered ones in a folder, with the caption in their names, and contact sheets beside them. Their paths.
// Error(cannot_create), Error(io).
std::vector<std::filesystem::path> write_artefacts(const Artefacts& artefacts, const CodecKind& kind, const std::filesystem::path& path);


// A row of ids that mixes kinds as Markdown, FOLDER/NAME.md, with what is no text in files beside it ("0001-2.png") that the page leads to. What cannot be decoded is
// left out. Error(cannot_create), Error(io).
void write_page(const TextTokenizer& text, const CodecSet& codecs, const std::vector<int32_t>& ids, const std::string& name, const std::filesystem::path& folder);

}  // namespace tw
