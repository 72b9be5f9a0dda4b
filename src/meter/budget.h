// Budgets of a run: joules, euros and seconds that all its phases may take, over all its starts.
#pragma once
#include <limits>
#include <string>

#include "src/meter/phases.h"

namespace tw {

struct Budget {
  double joules = 0, eur = 0, seconds = 0;  // 0 = no limit
  bool any() const { return joules > 0 || eur > 0 || seconds > 0; }
  bool operator==(const Budget&) const = default;
  bool wants_joules(const EnergyOptions& options) const {
    return joules > 0 || (eur > 0 && options.price_eur_per_kwh > 0);
  }
};

// Error(config) where a limit could not be counted: joules without a meter, now or in an earlier start; euros without a
// price.
void check_countable(const Budget& budget, const EnergyMeter& meter, const PhaseLedger& ledger);

// What is left room for. Two parts, since joules are known only after the ranks have met: the time is over, or more
// joules than these (of all phases and starts) are used.
struct Allowance {
  bool time = true;
  double joules = std::numeric_limits<double>::infinity();
};
// used: of all phases, its joules are not read. next: what has to fit in beside it.
Allowance allowance(const Budget& budget, const EnergyOptions& options, const PhaseTotals& used, const PhaseTotals& next);

// "49.1 kJ of 50 kJ, 31.2 s of 2 h 00 min": the limits that are set.
std::string describe_use(const Budget& budget, const PhaseLedger& ledger, const PhaseTotals& used);
// The limits that are set, raised where `whole` does not fit: rounded up, with a margin of some percent. A limit whose
// amount is not known stays.
Budget raised(const Budget& budget, const PhaseLedger& ledger, const PhaseTotals& whole);
std::string budget_text(const Budget& budget);  // "52kJ,2h": as --budget takes it

// What --budget takes: amounts with a unit, separated by commas. Error(config) names what is accepted.
Budget parse_budget(std::string_view text);
// `more` where it sets a limit; Error(config) where both do.
Budget joined(Budget budget, const Budget& more);

}  // namespace tw
