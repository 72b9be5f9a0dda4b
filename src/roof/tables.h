// What was measured, for people: 80 columns.
#pragma once
#include <string>
#include <vector>

#include "src/machine/comm_speed.h"
#include "src/machine/disk_speed.h"
#include "src/roof/generation.h"
#include "src/roof/step.h"

namespace tw {

std::string roof_table(const Roof& roof, int threads, int ranks);
std::string exchange_table(const std::vector<AllReduceSpeed>& speeds, int ranks);
std::string disk_line(const DiskSpeed& speed, const FileSystem& system, const std::string& folder);
// Rows of less than a thousandth of the step stand in one line. with_floors: a roof was measured.
std::string step_table(const StepReport& report, bool with_floors);
std::string generation_table(const GenerationReport& report, bool with_floors);

}  // namespace tw
