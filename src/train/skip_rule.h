// Which steps to leave out: loss or gradient norm not finite, or far above what was usual.
#pragma once
#include <string>
#include <vector>

namespace tw {

enum class StepVerdict { take, not_finite, outlier };

class SkipRule {
 public:
  // sigma <= 0: only values that are not finite are skipped.
  explicit SkipRule(double sigma) : sigma_(sigma) {}

  // Judges a step and remembers it. Outlier: loss or norm above mean + sigma * standard deviation of the
  // last 128 finite steps, once half of them are known (the rule of OLMo 2, arXiv:2501.00656 section 3.2's
  // skip-step optimizer). Outliers are remembered too, so that a lasting change is accepted in time.
  StepVerdict judge(double loss, double gradient_norm);
  int consecutive() const noexcept { return consecutive_; }  // steps skipped in a row until now

  std::string to_json() const;
  void from_json(const std::string& text);  // Error(data)

 private:
  double sigma_;
  std::vector<double> losses_, norms_;
  int consecutive_ = 0;
};

}  // namespace tw
