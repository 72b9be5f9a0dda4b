#include "src/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/core/error.h"

namespace tw {

ScheduleType schedule_named(const std::string& name) {
  if (name == "cosine") return ScheduleType::cosine;
  if (name == "linear") return ScheduleType::linear;
  if (name == "wsd") return ScheduleType::wsd;
  if (name == "constant") return ScheduleType::constant;
  TW_FAIL(config, "lr_scheduler.type = \"{}\" is not known: cosine, linear, wsd or constant", name);
}

double Schedule::at(int64_t t) const {
  if (t < warmup_steps) return lr * double(t + 1) / double(warmup_steps);
  const double low = lr * min_lr_ratio;
  const double p = std::min(1.0, double(t - warmup_steps) / double(std::max<int64_t>(1, steps - warmup_steps)));
  switch (type) {
    case ScheduleType::cosine: return low + 0.5 * (lr - low) * (1 + std::cos(std::numbers::pi * p));
    case ScheduleType::linear: return lr + (low - lr) * p;
    case ScheduleType::constant: return lr;
    case ScheduleType::wsd: break;
  }
  const int64_t start = steps - decay_steps;
  if (t < start || decay_steps <= 0) return lr;
  return lr + (low - lr) * std::min(1.0, double(t - start) / double(decay_steps));
}

}  // namespace tw
