#include "src/codec/kinds.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "src/codec/audio/audio_codec.h"
#include "src/codec/molecule/molecule_codec.h"
#include "src/codec/series/series_codec.h"
#include "src/core/utf8.h"

namespace tw {
namespace {
constexpr size_t kHead = size_t(64) << 10;

std::string head_of(const std::filesystem::path& file) {
  std::string head(kHead, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(head.data(), std::streamsize(head.size()));
  head.resize(size_t(std::max<std::streamsize>(in.gcount(), 0)));
  return head;
}

constexpr const CodecKind* kKinds[] = {&kAudioCodec, &kMoleculeCodec, &kSeriesCodec};
}

std::span<const CodecKind* const> codec_kinds() noexcept { return kKinds; }

const CodecKind* codec_kind(std::string_view name) noexcept {
  const auto found = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const CodecKind* k) { return k->name == name; });
  return found == std::end(kKinds) ? nullptr : *found;
}

const CodecKind* codec_kind_of(const std::filesystem::path& file) {
  std::string extension = ascii_lower(file.extension().string());
  if (extension.empty()) return nullptr;
  extension.erase(0, 1);
  for (const CodecKind* k : kKinds)
    if (std::find(k->extensions.begin(), k->extensions.end(), extension) != k->extensions.end()) return !k->recognises || k->recognises(head_of(file)) ? k : nullptr;
  return nullptr;
}

}  // namespace tw
