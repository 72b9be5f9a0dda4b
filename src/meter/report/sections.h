// The parts of a run's page, from top to bottom. A body that is empty has nothing to say: the part is left out.
#pragma once
#include <string>

#include "src/meter/report/html.h"
#include "src/meter/report/record.h"

namespace tw::report {

std::string run_header(const RunRecord& run);  // title, state, model, place
Section results(const RunRecord& run);         // headline cards
Section curves(const RunRecord& run);
Section evaluation(const RunRecord& run);
Section memorisation(const RunRecord& run);
Section samples(const RunRecord& run);
Section kinds(const RunRecord& run);    // what it makes beside text
Section energy(const RunRecord& run);     // time, joules, cost, budgets
Section documents(const RunRecord& run);  // data inventory
Section configuration(const RunRecord& run);
Section repeat(const RunRecord& run);   // commands and hashes
Section remarks(const RunRecord& run);  // what was missing or damaged

}  // namespace tw::report
