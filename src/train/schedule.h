// The learning rate of each step.
#pragma once
#include <cstdint>
#include <string>

namespace tw {

enum class ScheduleType { cosine, linear, wsd, constant };
ScheduleType schedule_named(const std::string& name);  // Error(config)

struct Schedule {
  ScheduleType type = ScheduleType::cosine;
  double lr = 0;             // the highest rate
  double min_lr_ratio = 0;   // the last rate / lr
  int64_t steps = 0;         // of the whole run
  int64_t warmup_steps = 0;  // W: lr (t + 1) / W for t < W
  int64_t decay_steps = 0;   // wsd: the last so many steps fall to the floor

  // Rate of step t = 0, 1, ...: after warm-up, with p = (t - W) / (steps - W),
  //   cosine: min + (lr - min)(1 + cos(pi p))/2;  linear: lr + (min - lr) p;  constant: lr;
  //   wsd (warm-up, stable, decay: Hu et al. 2024, arXiv:2404.06395 section 4): lr, then linear to min
  //   over the last decay_steps.
  double at(int64_t t) const;
};

}  // namespace tw
