#include "src/cli/artefacts.h"

#include "src/cli/job.h"
#include "src/codec/kinds.h"
#include "src/core/file.h"
#include "src/core/utf8.h"
#include "src/data/captions.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLongestNamePart = 40;

// "a red gear!" -> "-a-red-gear"
std::string name_part(const std::string& caption) {
  std::string part;
  for (const char c : ascii_lower(caption)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain && part.size() < kLongestNamePart) part += c;
    else if (!plain && !part.empty() && part.back() != '-') part += '-';
  }
  while (!part.empty() && part.back() == '-') part.pop_back();
  return part.empty() ? "" : "-" + part;
}

}  // namespace

fs::path codecs_beside(const fs::path& tokenizer) { return (fs::is_directory(tokenizer) ? tokenizer : tokenizer.parent_path()) / "codecs"; }

CodecSet codecs_of(const ModelAtWork& m) {
  CodecSet codecs(m.text(), codecs_beside(m.tokenizer_path));
  TW_CHECK(!codecs.ids().ranges().empty(), no_input, "the model of {} knows text alone: it was trained on no file of another kind", m.origin);
  return codecs;
}

std::vector<ArtefactPrompt> caption_prompts(const ModelAtWork& m, const fs::path& train_tokens, const CodecRange& range, const std::vector<int32_t>& begin, size_t most) {
  std::vector<ArtefactPrompt> prompts;
  if (fs::exists(train_tokens))
    for (std::string& caption : captions_in(*TokenFile::open(train_tokens), m.text(), range, most)) {
      ArtefactPrompt p{.caption = std::move(caption), .ids = begin};
      m.text().encode(p.caption, {}, p.ids);
      prompts.push_back(std::move(p));
    }
  if (prompts.empty()) prompts.push_back({"", begin});
  return prompts;
}

std::vector<int32_t> beginning_of(const Codec& codec, const fs::path& file) {
  struct First final : CodecSink {
    void ids(std::span<const int32_t> some) override {
      if (!ended) all.insert(all.end(), some.begin(), some.end());
    }
    void end_document() override { ended = true; }
    std::vector<int32_t> all;
    bool ended = false;
  } first;
  const MappedFile map(file);
  codec.encode({map.text(), file}, first);
  TW_CHECK(!first.all.empty(), data, "{}: nothing inside", file.string());
  TW_CHECK(codec.length(first.all) != int64_t(first.all.size()), config, "{} is whole: nothing can follow it", file.string());
  return std::move(first.all);
}

Artefacts make_artefacts(Generator& generator, const Codec& codec, const CodecRange& range, const std::vector<ArtefactPrompt>& prompts, GenerateOptions options,
                         bool guided, int64_t count, int64_t first_sample, const std::function<void()>& after_each) {
  options.first_id = range.end, options.end_id = range.last() + 1;
  options.stop_id = range.end;
  Artefacts made;
  for (int64_t i = 0; i < count; ++i) {
    stop_if_asked();
    const ArtefactPrompt& prompt = prompts[size_t(i) % prompts.size()];
    std::vector<int32_t> ids = prompt.beginning.empty() ? codec.opening() : prompt.beginning, begun = prompt.ids;
    begun.push_back(range.begin);
    for (const int32_t id : ids) begun.push_back(range.first + id);
    const std::unique_ptr<DocumentGuide> guide = guided ? codec.guide() : nullptr;
    size_t known = 0;  // ids the guide has seen
    const auto go_on = [&](GenerateOptions with, int64_t sample) {
      if (guide)
        with.allow = [&](std::span<const int32_t> fresh, std::span<uint8_t> allowed) {
          for (; known < ids.size() + fresh.size(); ++known) guide->add(known < ids.size() ? ids[known] : fresh[known - ids.size()] - range.first);
          const auto skipped = size_t(range.first - with.first_id);  // the end marker, where it may be drawn
          const bool ends = guide->allowed(allowed.subspan(skipped));
          if (skipped > 0) allowed[0] = ends;
        };
      const Generation g = generator.run(begun, with, sample, {});
      made.tokens += int64_t(g.ids.size());
      made.seconds += g.token_seconds;
      for (const int32_t id : g.ids) begun.push_back(id), ids.push_back(id - range.first);
      return g.stopped;
    };
    // Where the beginning tells how long a document is, it is made so long and no other way.
    GenerateOptions within = options;
    within.first_id = range.first, within.max_new_tokens = 1;
    int64_t length = codec.length(ids);
    for (; length == 0; length = codec.length(ids)) go_on(within, first_sample + i);
    within.max_new_tokens = length - int64_t(ids.size());
    made.unfinished += length > 0 ? (go_on(within, first_sample + i), false) : !go_on(options, first_sample + i);
    made.documents.push_back({codec.decode(ids), prompt.caption, codec.sheet(ids)});
    if (after_each) after_each();
  }
  return made;
}

void write_page(const TextTokenizer& text, const CodecSet& codecs, const std::vector<int32_t>& ids, const std::string& name, const fs::path& folder) {
  make_folders(folder);
  std::string page;
  int files = 0;
  for (const IdSpan& span : codecs.ids().parts(ids)) {
    if (!span.range) {
      page += text.decode(span.ids, true);
      continue;
    }
    const CodecKind& kind = *codec_kind(span.range->name);
    std::string bytes;
    try {
      bytes = codecs.of(*span.range).decode(span.ids);
    } catch (const Error& e) {
      if (e.code() != ExitCode::data) throw;
      continue;
    }
    if (kind.lines) {
      page += bytes;
      continue;
    }
    const std::string file = fmt::format("{}-{}.{}", name, ++files, kind.artefact);
    write_file_atomically(folder / file, bytes);
    page += fmt::format("{}[{}]({})", kind.name == "image" ? "!" : "", span.range->name, file);
  }
  write_file_atomically(folder / (name + ".md"), page + "\n");
}

std::vector<fs::path> write_artefacts(const Artefacts& artefacts, const CodecKind& kind, const fs::path& path) {
  if (kind.lines) {
    AtomicFile out(path);
    for (const CaptionedDocument& document : artefacts.documents) out.write(document.bytes);
    out.commit();
    return {path};
  }
  make_folders(path);
  std::vector<fs::path> files;
  for (size_t i = 0; i < artefacts.documents.size(); ++i) {
    files.push_back(path / fmt::format("{:04}{}.{}", i + 1, name_part(artefacts.documents[i].caption), kind.artefact));
    write_file_atomically(files.back(), artefacts.documents[i].bytes);
    if (const std::string& sheet = artefacts.documents[i].sheet; !sheet.empty()) write_file_atomically(fs::path(files.back()).replace_extension("png"), sheet);
  }
  return files;
}

}  // namespace tw
