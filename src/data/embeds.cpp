#include "src/data/embeds.h"

#include <algorithm>
#include <unordered_map>

#include "src/codec/kinds.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLongestTarget = 1000;

// "%20" and the like (RFC 3986, section 2.1).
std::string unescaped(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) out += char(digit(text[i + 1]) * 16 + digit(text[i + 2])), i += 2;
    else out += text[i];
  }
  return out;
}

}  // namespace

std::string linked_path(const std::string& document, std::string_view target) {
  target = target.substr(0, target.find('#'));
  if (target.empty() || target.size() > kLongestTarget || target.find("://") != target.npos || target.find('\0') != target.npos) return "";
  const fs::path to = unescaped(target);
  if (to.is_absolute() || to.string().find('\0') != std::string::npos) return "";
  const fs::path path = (fs::path(document).parent_path() / to).lexically_normal();
  if (!path.has_filename() || path == "." || *path.begin() == "..") return "";
  return path.string();
}

void place_embeds(Inventory& inventory) {
  std::unordered_map<std::string_view, ScannedFile*> coded;
  for (ScannedFile& f : inventory.files)
    if (f.state == FileState::used && codec_kind(f.kind)) f.part_of.clear(), coded.emplace(f.path, &f);
  for (const ScannedFile& f : inventory.files) {
    if (f.state != FileState::used || codec_kind(f.kind)) continue;
    for (const std::string& link : f.links)
      if (const auto found = coded.find(link); found != coded.end() && found->second->part_of.empty()) found->second->part_of = f.path;
  }
}

}  // namespace tw
