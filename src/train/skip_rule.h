// Which steps to leave out: loss or gradient norm not finite, or far above what was usual.
#pragma once
#include <string>
#include <vector>

namespace tw {

enum class StepVerdict { take, not_finite, outlier, spike };  // spike: not of the skip rule; see Trainer::step

class SkipRule {
 public:
  // sigma <= 0: only values that are not finite are skipped.
  explicit SkipRule(double sigma) : sigma_(sigma) {}

  // Judges a step and remembers it. Outlier: loss or norm above mean + sigma * standard deviation of the
  // last 128 finite steps, once half of them are known (the rule of OLMo 2, arXiv:2501.00656 section 3.2's
  // skip-step optimizer). Outliers are remembered too, so that a lasting change is accepted in time.
  StepVerdict judge(double loss, double gradient_norm);
  // Whether loss or norm lies far from the median of the last 128 steps, above or below: more than 8 median absolute deviations, or not finite.
  // A reason to compute a step again, not to leave it out. Changes nothing.
  bool unusual(double loss, double gradient_norm) const;
  // Whether this would be the third step in a row whose loss lies 8 median absolute deviations and a fifth above the median, or is not finite:
  // what does not pass by itself (the rule of PaLM, Chowdhery et al. 2022, arXiv:2204.02311 section 5.1, goes back then). Changes nothing.
  bool lasting_spike(double loss) const;
  static constexpr int kLasting = 3;
  int consecutive() const noexcept { return consecutive_; }  // steps skipped in a row until now

  std::string to_json() const;
  void from_json(const std::string& text);  // Error(data)

 private:
  double sigma_;
  std::vector<double> losses_, norms_;
  int consecutive_ = 0;
  int high_ = 0;  // steps in a row whose loss was high
};

}  // namespace tw
