#include "src/train/skip_rule.h"

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

void remember(std::vector<double>& past, double value) {
  past.push_back(value);
  if (past.size() > kWindow) past.erase(past.begin());
}

}  // namespace

StepVerdict SkipRule::judge(double loss, double gradient_norm) {
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
  return nlohmann::json{{"losses", losses_}, {"norms", norms_}, {"consecutive", consecutive_}}.dump();
}

void SkipRule::from_json(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    json.at("losses").get_to(losses_);
    json.at("norms").get_to(norms_);
    const auto consecutive = whole_number(json.at("consecutive"), 0, 1 << 30);
    TW_CHECK(consecutive, data, "the trainer's state in the checkpoint is damaged: \"consecutive\" is no whole number");
    consecutive_ = int(*consecutive);
  } catch (const nlohmann::json::exception& e) {
    TW_FAIL(data, "the trainer's state in the checkpoint is damaged: {}", e.what());
  }
  TW_CHECK(losses_.size() <= kWindow && norms_.size() == losses_.size(), data,
           "the trainer's state in the checkpoint is damaged: {} losses, {} norms", losses_.size(), norms_.size());
}

}  // namespace tw
