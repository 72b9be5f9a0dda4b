// In which shares the files of data.train give samples, and how these shares change in the course of a run.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace tw {

struct BlendStage {
  int64_t first_sample = 0;     // of the run; 0 for the first stage
  std::vector<double> weights;  // one a file; their sum need not be 1
};

// Deals samples to files so that, at every moment of a stage, each of its n files has had its share to within
// 1 - 1 / (2n - 2) samples, which is the best there is (Tijdeman 1980, "The chairman assignment problem"). It is a
// function of the sample's number: weights are kept as parts of a period, after which the pattern comes again. The
// period is the smallest up to 2^20 that holds the weights exactly (10 for 0.7 and 0.3), else 2^20, which shifts a
// share by half a millionth at most.
class Blend {
 public:
  // Error(config) where weights are negative, not finite or all 0, stages do not follow each other or a stage has
  // another number of weights than `files`.
  Blend(const std::vector<BlendStage>& stages, size_t files);

  struct Draw {
    int file;
    int64_t number;  // the file's samples so far
  };
  Draw at(int64_t sample) const;
  // Of each file among the first `samples`.
  std::vector<int64_t> drawn(int64_t samples) const;
  bool uses(size_t file) const;  // in any stage

  struct Stage {
    int64_t first = 0;
    std::vector<int64_t> before;  // of each file, when the stage begins
    std::vector<int64_t> parts;   // of each file in a period
    int64_t period = 0;
    std::vector<uint16_t> file_of;  // (period)
    std::vector<int32_t> counted;   // of each file before every kBlock-th position of the period
  };
  const std::vector<Stage>& stages() const noexcept { return stages_; }

 private:
  const Stage& stage_of(int64_t sample) const;
  int64_t drawn(const Stage& stage, int64_t sample, size_t file) const;  // before `sample`, which lies in the stage
  std::vector<Stage> stages_;
  size_t files_;
};

// One entry of data.blend: "0.7 0.3", or with its start "1000: 0.2 0.8" (a step) or "75%: 0.2 0.8" (a share of the
// run).
struct BlendEntry {
  double start = 0;
  bool share = false;  // start is a part of 1
  std::vector<double> weights;
};
BlendEntry parse_blend_entry(const std::string& text);  // Error(config)

}  // namespace tw
