// The modified discrete cosine transform with a sine window (Princen, Johnson, Bradley 1987): frames of `hop` coefficients that
// overlap by half and add up to the signal again.
#pragma once
#include <span>
#include <vector>

namespace tw {

class Mdct {
 public:
  explicit Mdct(int hop);  // coefficients of a frame, and samples from one frame to the next
  int hop() const noexcept { return hop_; }
  // samples: 2 * hop; coefficients: hop, scaled so that white noise keeps its mean square.
  void forward(std::span<const float> samples, std::span<float> coefficients) const;
  // Adds a frame's part to 2 * hop samples.
  void add_inverse(std::span<const float> coefficients, std::span<float> samples) const;

 private:
  int hop_;
  std::vector<float> basis_;  // (hop, 2 * hop), window and scale in it
};

}  // namespace tw
