// Which reader a file or folder needs.
#include <algorithm>
#include <system_error>

#include "src/codec/text/readers.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxFile = size_t(1) << 28;
constexpr std::string_view kBlank = " \t\r\n";

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// {"token": 5, …}: the first value is a number, in tokenizer.json it never is.
bool is_vocabulary(std::string_view text) {
  size_t i = std::min(text.find('"'), text.size());
  while (++i < text.size() && text[i] != '"') i += text[i] == '\\';
  i = text.find_first_not_of(kBlank, std::min(i + 1, text.size()));
  if (i == text.npos || text[i] != ':') return false;
  i = text.find_first_not_of(kBlank, i + 1);
  return i != text.npos && text[i] >= '0' && text[i] <= '9';
}

TokenizerSpec read_pair(const fs::path& vocab, const fs::path& merges) {
  return read_vocab_and_merges(read_file(vocab, kMaxFile), vocab.string(), read_file(merges, kMaxFile), merges.string());
}

TokenizerSpec read_one(const fs::path& path, std::optional<SplitRule> rule) {
  const std::string text = read_file(path, kMaxFile), file = path.string();
  TW_CHECK(!text.starts_with("\x1F\x8B"), data, "{} is compressed: unpack it with gunzip first", file);
  const size_t start = text.find_first_not_of(kBlank);
  TW_CHECK(start != text.npos, data, "{} is empty", file);
  if (text[start] == '{') {
    if (!is_vocabulary(text)) return read_tokenizer_json(text, file);
    for (const char* name : {"merges.txt", "vocab.bpe"})
      if (const fs::path merges = path.parent_path() / name; is_file(merges)) return read_pair(path, merges);
    TW_FAIL(data, "{} is a vocabulary without merges: merges.txt or vocab.bpe must be beside it", file);
  }
  if (text[0] == '\n') return read_sentencepiece(text, file);  // the tag of its first piece
  const std::string_view line = std::string_view(text).substr(0, text.find('\n'));
  TW_CHECK(line.size() < 4 * kMaxTokenBytes && line.find(' ') != line.npos, data,
           "{} is none of the known tokenizers: tokenizer.json, SentencePiece model, tiktoken file, vocab.json", file);
  return read_tiktoken(text, rule, file);
}

fs::path in_folder(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "encoder.json"})
    if (is_file(folder / name)) return folder / name;
  fs::path found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string extension = entry.path().extension().string();
    if ((extension != ".model" && extension != ".tiktoken") || !is_file(entry.path())) continue;
    TW_CHECK(found.empty(), data, "{} has several tokenizers: {} and {}; name the file", folder.string(),
             std::min(found, entry.path()).filename().string(), std::max(found, entry.path()).filename().string());
    found = entry.path();
  }
  TW_CHECK(!found.empty(), no_input, "{} has no tokenizer: tokenizer.json, *.model, *.tiktoken or vocab.json with merges.txt",
           folder.string());
  return found;
}

}  // namespace

std::unique_ptr<TextTokenizer> TextTokenizer::load(const fs::path& path, std::optional<SplitRule> rule) {
  std::error_code error;
  const bool folder = fs::is_directory(path, error);
  const fs::path file = folder ? in_folder(path) : path;
  TokenizerSpec spec = read_one(file, rule);
  const fs::path config = file.parent_path() / "tokenizer_config.json";
  if (is_file(config) && (folder || file.filename() == "tokenizer.json"))
    read_tokenizer_config(spec, read_file(config, kMaxFile), config.string());
  return std::make_unique<TextTokenizer>(std::move(spec));
}

}  // namespace tw
