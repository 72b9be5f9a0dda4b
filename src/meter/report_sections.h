// The parts of the report, from top to bottom.
#pragma once
#include <string>

#include "src/meter/report_record.h"

namespace tw::report {

std::string page_head(const RunRecord& run);  // title, state, headline cards
std::string curves(const RunRecord& run);
std::string samples(const RunRecord& run);

std::string evaluation(const RunRecord& run);
std::string energy(const RunRecord& run);
std::string documents(const RunRecord& run);
std::string repeat(const RunRecord& run);
std::string configuration(const RunRecord& run);
std::string remarks(const RunRecord& run);  // what was missing or damaged

// Also of the summary.
std::string model_sentence(const RunRecord& run);  // "gpt2, 4 layers, width 256, 4.3M parameters"
struct Energy {
  std::string kind, meter;          // "measured", "assumed", "none"; what was read, or why nothing
  double joules, joules_per_token;  // all phases; of training. NaN = unknown
  double facility_joules, eur, co2_g, pue;
  double seconds;  // all phases
};
Energy energy_of(const RunRecord& run);

}  // namespace tw::report
