// Sound in files of others (WAV, FLAC, OGG by libsndfile) as one channel of samples, and WAV out of samples.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

struct SoundInfo {
  int rate = 0;         // samples a second
  int channels = 0;
  int64_t frames = 0;   // samples of a channel, as they were read
  int64_t frames_said = 0;  // as the file's head says
};

inline constexpr int kLowestRate = 1000, kHighestRate = 384000;

// Reads a whole file in a sandboxed child (core/sandbox.h), channels averaged: `begin` gets its head, then samples in [-1, 1] go to `take`
// in blocks, those that are not finite as 0; both may be empty. Error(data) where it is no sound or a damaged one, has no sample or an absurd rate; `name` is for
// messages. What is left of a file that was cut is read.
SoundInfo read_sound(std::string_view bytes, const std::string& name, const std::function<void(const SoundInfo&)>& begin,
                     const std::function<void(std::span<const float>)>& take);

// 16 bits, one channel. Values beyond [-1, 1] are cut.
std::string wav_of(std::span<const float> samples, int rate);

// One channel at another rate (windowed sinc, 16 zero crossings a side), block by block.
class Resampler {
 public:
  Resampler(int from, int to, std::function<void(std::span<const float>)> take);
  void add(std::span<const float> samples);
  void finish();

 private:
  void make(bool last);
  double ratio_, cutoff_;
  int from_, to_, half_;
  std::function<void(std::span<const float>)> take_;
  std::vector<float> in_, out_;
  int64_t begin_ = 0, made_ = 0, all_ = 0;  // index of in_[0]; samples given; samples taken
};

}  // namespace tw
