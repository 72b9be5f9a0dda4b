// Tables of numbers; what begins with "{" is a codebook.
#include <algorithm>
#include <vector>

#include "src/codec/series/series_codec.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

struct Ids final : CodecSink {
  void ids(std::span<const int32_t> some) override { all.insert(all.end(), some.begin(), some.end()); }
  void note(std::string text) override { expect(text.size() < 10000, "a note is a sentence"); }
  std::vector<int32_t> all;
};

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(series) {
  static const Folder folder;
  if (input.starts_with("{")) {
    const auto codec = kSeriesCodec.load(folder.write("series.json", input));
    std::vector<int32_t> ids;
    for (int32_t id = 0; id < std::min(codec->vocab_size(), 4000); ++id) ids.push_back(id), ids.push_back(0);
    use(codec->decode(ids).data());
    return;
  }
  if (kSeriesCodec.recognises("series.csv", input)) expect(kSeriesCodec.inspect(input).units > 0, "a table of numbers has some");
  const auto path = folder.write("series.csv", input);
  const auto codec = kSeriesCodec.train({&path, 1}, {.vocab_size = 300});
  Ids first;
  codec->encode(input, first);
  for (const int32_t id : first.all) expect(id >= 0 && id < codec->vocab_size(), "ids are of the codec");
  const std::string csv = codec->decode(first.all);
  expect(codec->decode(first.all) == csv, "a decoder has no memory");
  use(csv.data());
}
