#include "src/codec/image/image_codec.h"

#include "src/codec/codebook.h"
#include "src/codec/image/conv_codec.h"
#include "src/codec/image/patch_codec.h"
#include "src/codec/image/picture.h"
#include "src/codec/image/picture_judge.h"
#include "src/core/error.h"

namespace tw {
namespace {

CodecContent inspect_image(const CodecInput& file) {
  CodecContent content;
  int64_t pictures = 0;
  FoundPicture first;
  bool labels = false;
  read_pictures(file, 1, [&](FoundPicture p) {
    content.units += int64_t(p.full_width) * p.full_height;
    labels = labels || p.label >= 0;
    if (!p.note.empty()) content.note = p.note;
    if (pictures++ == 0) first = std::move(p);
  });
  content.said = pictures == 1 ? fmt::format("{} x {} pixels", first.full_width, first.full_height)
                               : fmt::format("{} pictures of {} x {} pixels{}", pictures, first.full_width, first.full_height, labels ? " with labels" : "");
  return content;
}

std::unique_ptr<Codec> train_image(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  if (options.image == "conv") return train_conv_codec(files, options);
  TW_CHECK(options.image == "patches", config, "codec.image = \"{}\": patches or conv", options.image);
  return train_patch_codec(files, options);
}

std::unique_ptr<Codec> load_image(const std::filesystem::path& path) {
  const auto book = read_codebook(path, {kPatchCodecFormat, kConvCodecFormat}, "pictures", size_t(64) << 20, size_t(1) << 20);
  return book["format"] == kConvCodecFormat ? conv_codec_of(book, path.string()) : patch_codec_of(book, path.string());
}

constexpr std::string_view kEndings[] = {".png", ".jpg", ".jpeg", "-idx3-ubyte", "-idx3-ubyte.gz"};
constexpr std::string_view kCompanions[] = {"-labels-idx1-ubyte", "-labels-idx1-ubyte.gz"};

}  // namespace

const CodecKind kImageCodec = {.name = "image", .endings = kEndings, .artefact = "png", .codebook = "image.json", .several = true, .folder_captions = true, .companions = kCompanions,
                               .inspect = inspect_image, .train = train_image, .load = load_image, .judge = judge_pictures};

}  // namespace tw
