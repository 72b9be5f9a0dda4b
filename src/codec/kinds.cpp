#include "src/codec/kinds.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "src/codec/audio/audio_codec.h"
#include "src/codec/image/image_codec.h"
#include "src/codec/molecule/molecule_codec.h"
#include "src/codec/series/series_codec.h"
#include "src/codec/video/video_codec.h"
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

bool ends_so(const std::filesystem::path& file, std::span<const std::string_view> endings) {
  const std::string name = ascii_lower(file.filename().string());
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return name.size() > ending.size() && name.ends_with(ending); });
}

constexpr const CodecKind* kKinds[] = {&kAudioCodec, &kImageCodec, &kMoleculeCodec, &kSeriesCodec, &kVideoCodec};
}

std::span<const CodecKind* const> codec_kinds() noexcept { return kKinds; }

const CodecKind* codec_kind(std::string_view name) noexcept {
  const auto found = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const CodecKind* k) { return k->name == name; });
  return found == std::end(kKinds) ? nullptr : *found;
}

const CodecKind* codec_kind_of(const std::filesystem::path& file) {
  for (const CodecKind* k : kKinds)
    if (ends_so(file, k->endings)) return !k->recognises || k->recognises(file.filename().string(), head_of(file)) ? k : nullptr;
  return nullptr;
}

const CodecKind* codec_kind_with(const std::filesystem::path& companion) {
  for (const CodecKind* k : kKinds)
    if (ends_so(companion, k->companions)) return k;
  return nullptr;
}

}  // namespace tw
