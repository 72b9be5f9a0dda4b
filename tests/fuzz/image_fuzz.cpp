// Pictures, read in a child of its own; what begins with "{" is a codebook, what begins with "L" the labels of two small pictures.
#include <vector>

#include "src/codec/image/idx.h"
#include "src/codec/image/image_codec.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(image) {
  static const Folder folder;
  if (input.starts_with("{")) {
    const auto codec = kImageCodec.load(folder.write("image.json", input));
    std::vector<int32_t> ids;
    if (input.find("convolutional") != input.npos) {  // one place: a large network would take long for more
      for (ids = {0, 4}; codec->length(ids) < 0;) ++ids[1];
      expect(codec->length(ids) == 3, "a pixel is a place");
    }
    for (int32_t i = 0; i < 500; ++i) ids.push_back(int32_t(int64_t(i) * 7919 % codec->vocab_size()));
    expect(codec->decode(ids).starts_with("\x89PNG"), "any ids are a picture");
    return;
  }
  if (input.starts_with("L")) {
    const std::string pictures("\0\0\x08\x03\0\0\0\2\0\0\0\1\0\0\0\1ab", 18);
    read_idx(pictures, input.substr(1), [](const uint8_t*, int width, int height, int) { expect(width == 1 && height == 1, "a picture has its sides"); });
    return;
  }
  const CodecContent content = kImageCodec.inspect(input);
  expect(content.units > 0 && content.said.size() < 200, "a picture has pixels");
}
