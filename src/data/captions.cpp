#include "src/data/captions.h"

#include <algorithm>
#include <map>
#include <set>

#include "src/codec/id_space.h"
#include "src/codec/kinds.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/utf8.h"
#include "src/data/token_file.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostDocuments = 100'000;
constexpr size_t kMostWords = 4 * kLongestCaption;  // ids of a caption

std::string trimmed(std::string text) {
  const auto space = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  while (!text.empty() && space(text.back())) text.pop_back();
  text.erase(0, size_t(std::find_if_not(text.begin(), text.end(), space) - text.begin()));
  return text;
}

}  // namespace

void add_captions(Inventory& inventory) {
  std::map<std::string, ScannedFile*> coded;  // by path without its ending
  for (ScannedFile& f : inventory.files)
    if (f.state == FileState::used && codec_kind(f.kind)) f.caption.clear(), coded.emplace(fs::path(f.path).replace_extension().string(), &f);
  for (ScannedFile& f : inventory.files) {
    const fs::path path = f.path;
    if (f.kind != "text" || ascii_lower(path.extension().string()) != ".txt" || f.bytes > int64_t(kLongestCaption)) continue;
    if (f.state != FileState::used && f.state != FileState::duplicate && f.state != FileState::near_duplicate) continue;
    const auto of = coded.find(fs::path(path).replace_extension().string());
    if (of == coded.end()) continue;
    try {
      of->second->caption = trimmed(repaired_utf8(read_file(inventory.folder / path, kLongestCaption)));
    } catch (const Error&) {  // it changed since it was scanned
      continue;
    }
    f.state = FileState::skipped;
    f.reason = "caption of " + of->second->path;
    f.part_of = of->second->path;
    f.duplicate_of.clear();
  }
  for (const CodecKind* kind : codec_kinds()) {
    if (!kind->folder_captions) continue;
    std::set<fs::path> folders;
    for (const ScannedFile& f : inventory.files)
      if (f.state == FileState::used && f.kind == kind->name) folders.insert(fs::path(f.path).parent_path());
    if (folders.size() < 2) continue;
    for (ScannedFile& f : inventory.files)
      if (f.state == FileState::used && f.kind == kind->name && f.caption.empty()) f.caption = fs::path(f.path).parent_path().filename().string().substr(0, kLongestCaption);
  }
}

std::vector<std::string> captions_in(const TokenFile& file, const TextTokenizer& tokenizer, const CodecRange& range, size_t most) {
  std::map<std::string, std::pair<int64_t, int64_t>> counts;  // how many, and minus the place of the first
  int64_t seen = 0;
  for (const Document& d : file.documents()) {
    if (d.bytes > 0 || seen >= kMostDocuments) continue;
    std::vector<int32_t> words;
    for (int64_t i = d.first_token; i < d.first_token + d.tokens && seen < kMostDocuments; ++i) {
      const int32_t id = file[i];
      if (id == range.begin) {
        const std::string caption = tokenizer.decode(words, true);
        ++seen;
        if (const auto known = counts.find(caption); known != counts.end()) ++known->second.first;
        else if (!caption.empty()) counts.emplace(caption, std::pair(1, -seen));
      }
      if (id > range.begin && id <= range.last()) continue;
      if (id == range.begin || tokenizer.is_special(id)) words.clear();
      else if (words.size() < kMostWords) words.push_back(id);
    }
  }
  std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> captions;
  for (size_t i = 0; i < std::min(most, sorted.size()); ++i) captions.push_back(sorted[i].first);
  return captions;
}

}  // namespace tw
