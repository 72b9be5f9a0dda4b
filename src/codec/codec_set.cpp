#include "src/codec/codec_set.h"

#include "src/codec/kinds.h"
#include "src/core/error.h"

namespace tw {

CodecSet::CodecSet(const TextTokenizer& tokenizer, const std::filesystem::path& folder) : ids_(tokenizer) {
  for (const CodecRange& range : ids_.ranges()) {
    const CodecKind* kind = codec_kind(range.name);
    TW_CHECK(kind, data, "the tokenizer has ids of the kind \"{}\", which this program does not know", range.name);
    const std::filesystem::path file = folder / kind->codebook;
    codecs_.push_back(kind->load(file));
    TW_CHECK(codecs_.back()->hash().starts_with(range.codebook) && codecs_.back()->vocab_size() == range.size, data,
             "{} is another codebook than the one the tokenizer has ids of ({} ids, {})", file.string(), range.size, range.codebook);
  }
}

const Codec& CodecSet::of(const CodecRange& range) const {
  for (size_t i = 0; i < codecs_.size(); ++i)
    if (ids_.ranges()[i].name == range.name) return *codecs_[i];
  TW_FAIL(bug, "no codec {} in this set", range.name);
}

const CodecRange* CodecSet::range_named(std::string_view name) const {
  for (const CodecRange& range : ids_.ranges())
    if (const CodecKind* kind = codec_kind(range.name); range.name == name || (kind && kind->artefact == name)) return &range;
  return nullptr;
}

}  // namespace tw
