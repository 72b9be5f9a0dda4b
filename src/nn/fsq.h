// Finite scalar quantisation: each of a few numbers is bounded and rounded to one of its levels; all of them together are a code. Nothing is
// looked up and no code dies. Mentzer, Minnen, Agustsson & Tschannen 2023, arXiv:2309.15505 section 3.1 and appendix A.1.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tw {

class FiniteScalars {
 public:
  // 2 to 64 levels a number, at most 16 numbers and 2^20 codes in all. Error(data) otherwise.
  explicit FiniteScalars(std::vector<int> levels);
  const std::vector<int>& levels() const noexcept { return levels_; }
  int64_t dimension() const noexcept { return int64_t(levels_.size()); }
  int64_t codes() const noexcept { return codes_; }

  // (N, dimension) each. values: the levels nearest to bounded numbers, in [-1, 1], overwritten.
  void quantise(std::span<const float> numbers, std::span<float> values) const;
  // The gradient at the numbers, as if nothing had been rounded (straight through; Bengio et al. 2013, arXiv:1308.3432): overwritten, may be dvalues.
  void backward(std::span<const float> numbers, std::span<const float> dvalues, std::span<float> dnumbers) const;

  int32_t code_of(std::span<const float> values) const;              // of one's values
  void values_of(int32_t code, std::span<float> values) const;       // code in [0, codes())

 private:
  struct Level {
    float half, offset, shift, width;  // bounded = tanh(number + shift) * half - offset; value = rounded / width
  };
  std::vector<int> levels_;
  std::vector<Level> forms_;
  int64_t codes_ = 1;
};

}  // namespace tw
