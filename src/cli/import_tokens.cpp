#include "src/cli/import_tokens.h"

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/data/token_file.h"
#include "src/hdf5/foreign.h"

namespace tw {
namespace fs = std::filesystem;

bool is_hdf5_name(const fs::path& path) {
  const std::string end = path.extension().string();
  return end == ".h5" || end == ".hdf5" || end == ".hdf";
}

ImportedTokens import_tokens(const ImportTokens& job) {
  ImportedTokens result;
  int64_t eod = job.eod;
  std::string hash;
  result.vocab_size = job.vocab_size;
  if (!job.tokenizer.empty()) {
    const auto tokenizer = TextTokenizer::load(job.tokenizer);
    if (!result.vocab_size) result.vocab_size = tokenizer->vocab_size();
    if (eod < 0) eod = tokenizer->eos_id();
    hash = tokenizer->hash();
  }
  TW_CHECK(result.vocab_size >= 1 && result.vocab_size <= int64_t(1) << 31, config,
           "{}: say of how many tokens these are: --vocab-size N or --tokenizer FILE", job.from.string());
  TW_CHECK(eod < result.vocab_size, config, "--eod {} is not below the vocabulary's size {}", eod, result.vocab_size);
  std::error_code absent;
  TW_CHECK(!fs::exists(job.out, absent), cannot_create, "{} is there already: choose another name", job.out.string());
  Document document;
  document.path = job.from.filename().string();
  int64_t bytes = 0;
  {
    const MappedFile map(job.from);
    document.sha256 = Sha256().update(map.data(), map.size()).hex();
    bytes = int64_t(map.size());
  }
  TokenFileWriter writer(job.out, result.vocab_size, hash, int32_t(eod));
  std::vector<int32_t> ids;
  bool open = false;
  const auto end_document = [&] {
    writer.append(ids);
    writer.end_document(document);
    ids.clear(), open = false, ++result.documents;
  };
  h5::read_foreign_integers({job.from, job.dataset, h5::foreign_limits(bytes)}, [&](std::span<const int64_t> values) {
    for (const int64_t id : values) {
      TW_CHECK(id >= 0 && id < result.vocab_size, data, "{} holds token {} at position {}, but the vocabulary has {} tokens", job.from.string(), id,
               result.tokens, result.vocab_size);
      ids.push_back(int32_t(id)), open = true, ++result.tokens;
      if (id == eod) end_document();
    }
    if (!ids.empty()) writer.append(ids), ids.clear();
  });
  if (open) end_document();
  writer.finish();
  return result;
}

}  // namespace tw
