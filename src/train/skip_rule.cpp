#include "src/train/skip_rule.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "src/core/error.h"
#include "src/core/json_guard.h"

namespace tw {
namespace {

constexpr size_t kWindow = 128;

bool far_above(double value, const std::vector<double>& past, double sigma) {
  if (past.size() < kWindow / 2) return false;
  double mean = 0, square = 0;
  for (double x : past) mean += x;
  mean /= double(past.size());
  for (double x : past) square += (x - mean) * (x - mean);
  return value > mean + sigma * std::sqrt(square / double(past.size() - 1));
}

struct Middle {
  double median = 0, deviation = 0;  // median absolute deviation
};
double median_of(std::vector<double> x) {
  const auto middle = x.begin() + ptrdiff_t(x.size() / 2);
  std::nth_element(x.begin(), middle, x.end());
  return *middle;
}
Middle middle_of(const std::vector<double>& past) {
  Middle m{median_of(past), 0};
  std::vector<double> distances;
  for (const double x : past) distances.push_back(std::abs(x - m.median));
  m.deviation = median_of(std::move(distances));
  return m;
}
bool far_from(double value, const std::vector<double>& past) {
  if (!std::isfinite(value)) return true;
  if (past.size() < kWindow / 2) return false;
  const Middle m = middle_of(past);
  return std::abs(value - m.median) > 8 * m.deviation;
}
bool high(double loss, const std::vector<double>& past) {
  if (past.size() < kWindow / 2) return false;
  if (!std::isfinite(loss)) return true;
  const Middle m = middle_of(past);
  return loss > m.median + std::max(8 * m.deviation, 0.2 * std::abs(m.median));
}

void remember(std::vector<double>& past, double value) {
  past.push_back(value);
  if (past.size() > kWindow) past.erase(past.begin());
}

}  // namespace

bool SkipRule::unusual(double loss, double gradient_norm) const { return far_from(loss, losses_) || far_from(gradient_norm, norms_); }
bool SkipRule::lasting_spike(double loss) const { return high_ + 1 >= kLasting && high(loss, losses_); }

StepVerdict SkipRule::judge(double loss, double gradient_norm) {
  high_ = high(loss, losses_) ? high_ + 1 : 0;
  StepVerdict verdict = StepVerdict::take;
  if (!std::isfinite(loss) || !std::isfinite(gradient_norm)) {
    verdict = StepVerdict::not_finite;
  } else {
    if (sigma_ > 0 && (far_above(loss, losses_, sigma_) || far_above(gradient_norm, norms_, sigma_)))
      verdict = StepVerdict::outlier;
    remember(losses_, loss);
    remember(norms_, gradient_norm);
  }
  consecutive_ = verdict == StepVerdict::take ? 0 : consecutive_ + 1;
  return verdict;
}

std::string SkipRule::to_json() const {
  return nlohmann::json{{"losses", losses_}, {"norms", norms_}, {"consecutive", consecutive_}, {"high", high_}}.dump();
}

void SkipRule::from_json(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("losses").get_to(losses_);
    json.at("norms").get_to(norms_);
    const auto consecutive = whole_number(json.at("consecutive"), 0, 1 << 30);
    TW_CHECK(consecutive, data, "the trainer's state in the checkpoint is damaged: \"consecutive\" is no whole number");
    consecutive_ = int(*consecutive);
    const auto high = whole_number(json.value("high", nlohmann::json(0)), 0, 1 << 30);
    TW_CHECK(high, data, "the trainer's state in the checkpoint is damaged: \"high\" is no whole number");
    high_ = int(*high);
  } catch (const nlohmann::json::exception& e) {
    TW_FAIL(data, "the trainer's state in the checkpoint is damaged: {}", e.what());
  }
  TW_CHECK(losses_.size() <= kWindow && norms_.size() == losses_.size(), data,
           "the trainer's state in the checkpoint is damaged: {} losses, {} norms", losses_.size(), norms_.size());
}

}  // namespace tw
