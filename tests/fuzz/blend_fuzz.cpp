// One entry of data.blend a line.
#include "src/data/blend.h"

#include <cmath>

#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(blend) {
  const bool deal = input.size() % 16 == 0;  // it lays out up to a million samples a stage
  std::vector<BlendStage> stages;
  for (int64_t at = 0; !input.empty() && stages.size() < 4; at += 1000) {
    const size_t end = std::min(input.find('\n'), input.size());
    const BlendEntry entry = parse_blend_entry(std::string(input.substr(0, end)));
    expect(std::isfinite(entry.start) && entry.start >= 0, "a stage has its start");
    stages.push_back({at, entry.weights});
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  if (stages.empty() || !deal) return;
  const size_t files = stages[0].weights.size();
  if (files > 8) return;  // it takes a step for each file and sample
  const Blend blend(stages, files);
  for (const int64_t n : {0, 1, 999, 1000, 3001}) {
    int64_t sum = 0;
    for (const int64_t count : blend.drawn(n)) sum += count;
    expect(sum == n, "every sample is of a file");
    const Blend::Draw draw = blend.at(n);
    expect(draw.file >= 0 && size_t(draw.file) < files, "samples are of files there are");
    expect(draw.number == blend.drawn(n)[size_t(draw.file)], "a file's samples are counted");
  }
}
