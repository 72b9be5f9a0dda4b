#include "src/cli/artefacts.h"

#include "src/cli/job.h"
#include "src/codec/kinds.h"
#include "src/core/file.h"

namespace tw {
namespace fs = std::filesystem;

fs::path codecs_beside(const fs::path& tokenizer) { return (fs::is_directory(tokenizer) ? tokenizer : tokenizer.parent_path()) / "codecs"; }

CodecSet codecs_of(const ModelAtWork& m) {
  CodecSet codecs(m.text(), codecs_beside(m.tokenizer_path));
  TW_CHECK(!codecs.ids().ranges().empty(), no_input, "the model of {} knows text alone: it was trained on no file of another kind", m.origin);
  return codecs;
}

Artefacts make_artefacts(Generator& generator, const Codec& codec, const CodecRange& range, const std::vector<int32_t>& prompt, GenerateOptions options,
                         int64_t count, int64_t first_sample, const std::function<void()>& after_each) {
  options.first_id = range.end, options.end_id = range.last() + 1;
  options.stop_id = range.end;
  std::vector<int32_t> begun = prompt;
  begun.push_back(range.begin);
  const std::vector<int32_t> opening = codec.opening();
  for (const int32_t id : opening) begun.push_back(range.first + id);
  Artefacts made;
  for (int64_t i = 0; i < count; ++i) {
    stop_if_asked();
    Generation g = generator.run(begun, options, first_sample + i, {});
    made.tokens += int64_t(g.ids.size());
    made.seconds += g.token_seconds;
    made.unfinished += !g.stopped;
    std::vector<int32_t> ids = opening;
    for (const int32_t id : g.ids) ids.push_back(id - range.first);
    made.documents.push_back(codec.decode(ids));
    if (after_each) after_each();
  }
  return made;
}

void write_artefacts(const Artefacts& artefacts, const CodecKind& kind, const fs::path& path) {
  if (kind.lines) {
    AtomicFile out(path);
    for (const std::string& document : artefacts.documents) out.write(document);
    return out.commit();
  }
  make_folders(path);
  for (size_t i = 0; i < artefacts.documents.size(); ++i)
    write_file_atomically(path / fmt::format("{:04}.{}", i + 1, kind.artefact), artefacts.documents[i]);
}

}  // namespace tw
