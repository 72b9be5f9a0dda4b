// The numbers of a run that are shown in more than one place: headline, summary, comparison.
#pragma once
#include <string>
#include <vector>

#include "src/meter/report/record.h"

namespace tw::report {

std::string model_sentence(const RunRecord& run);  // "gpt2, 4 layers, width 256, 4.3M parameters"

struct Energy {
  std::string kind, meter;          // "measured", "assumed", "none"; what was read, or why nothing
  double joules, joules_per_token;  // all phases; of training. NaN = unknown
  double facility_joules, eur, co2_g;
  double pue, price, node_hour_price, co2_g_per_kwh;  // as the user set them
  double seconds;                    // all phases
};
Energy energy_of(const RunRecord& run);

// Bits per byte of other compressors and models on the same text, at most eight.
struct Baseline {
  std::string name;
  double bits_per_byte;
};
std::vector<Baseline> baselines_of(const Json& split);

std::string state_of(const RunRecord& run);  // "done", "failed", "stopped", "running", "unknown"
// "2026-11-25T01:12:00Z" as "2026-11-25 01:12 UTC"; other text as it is, escaped.
std::string time_of_day(const std::string& iso);
std::string folder_of(const RunRecord& run);   // as it was named, without slashes at the end
std::string command_of(const RunRecord& run);  // that started the training; "" where unknown
double training_seconds(const RunRecord& run);

}  // namespace tw::report
