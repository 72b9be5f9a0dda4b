// Frames as ffmpeg gives them; what begins with "{" is a codebook.
#include <vector>

#include "src/codec/video/frames.h"
#include "src/codec/video/video_codec.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(video) {
  static const Folder folder;
  if (input.starts_with("{")) {
    const auto codec = kVideoCodec.load(folder.write("video.json", input));
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 500; ++i) ids.push_back(int32_t(int64_t(i) * 7919 % codec->vocab_size()));
    expect(codec->sheet(ids).starts_with("\x89PNG"), "any ids are a video");
    return;
  }
  PixmapFrames frames(64, [](const Picture& p) { expect(p.width >= 1 && p.width <= 64 && p.height <= 64 && p.pixels.size() == size_t(p.width) * size_t(p.height) * 3, "a frame has its sides"); });
  const size_t half = input.size() / 2;
  frames.feed(input.substr(0, half));
  frames.feed(input.substr(half));
}
