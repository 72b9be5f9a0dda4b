// Sound, read in a child of its own; what begins with "{" is a codebook.
#include <algorithm>
#include <vector>

#include "src/codec/audio/audio_codec.h"
#include "tests/fuzz/fuzz.h"

// libsndfile 1.2.0 forgets what libvorbis made where an OGG ends too early; in the program that is a child which ends as well.
extern "C" const char* __lsan_default_suppressions() { return "leak:vorbis_info_init\n"; }

TW_FUZZ_TARGET(audio) {
  static const Folder folder;
  if (!input.starts_with("{")) {
    const CodecContent content = kAudioCodec.inspect(input);
    expect(content.units > 0 && content.said.size() < 200, "a sound has samples");
    return;
  }
  const auto codec = kAudioCodec.load(folder.write("audio.json", input));
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 500; ++i) ids.push_back(int32_t(int64_t(i) * 7919 % codec->vocab_size()));
  expect(codec->decode(ids).starts_with("RIFF"), "any ids are a sound");
}
