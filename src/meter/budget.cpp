#include "src/meter/budget.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "src/core/error.h"
#include "src/core/format.h"

namespace tw {
namespace {

struct Unit {
  std::string_view name;
  double Budget::*limit;
  double factor;
};
// The first of a kind that fits is taken for printing, so the largest stand first.
constexpr Unit kUnits[] = {
    {"GJ", &Budget::joules, 1e9},   {"MJ", &Budget::joules, 1e6},   {"kJ", &Budget::joules, 1e3},
    {"J", &Budget::joules, 1},      {"kWh", &Budget::joules, 3.6e6}, {"MWh", &Budget::joules, 3.6e9},
    {"Wh", &Budget::joules, 3600},  {"EUR", &Budget::eur, 1},       {"€", &Budget::eur, 1},
    {"d", &Budget::seconds, 86400}, {"h", &Budget::seconds, 3600},  {"min", &Budget::seconds, 60},
    {"s", &Budget::seconds, 1},
};
constexpr std::string_view kAccepted = "500J, 50kJ, 1.5MJ, 0.2kWh; 5EUR, 5€; 30s, 90min, 2h, 1d";

std::string printable(std::string_view text) {
  std::string out = shortened(text, 60);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

Budget parse_one(std::string_view text) {
  double value = 0;
  // Digits and one point alone: an exponent or "inf" in a budget is a slip.
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value, std::chars_format::fixed);
  const bool number = error == std::errc() && end == text.data() + digits && std::isfinite(value);
  std::string_view unit = text.substr(digits);
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto known = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& u) { return u.name == unit; });
  TW_CHECK(number && known != std::end(kUnits), config, "--budget \"{}\" is no amount with a unit: {}, several with commas between",
           printable(text), kAccepted);
  TW_CHECK(value > 0 && value * known->factor <= 1e15, config, "--budget \"{}\" is out of range: more than 0, at most 1e15 J, EUR or s",
           printable(text));
  Budget budget;
  budget.*known->limit = value * known->factor;
  return budget;
}

// That an amount is printed in.
const Unit& unit_for(double value, double Budget::*limit) {
  const double least = limit == &Budget::seconds ? 3 : 1;
  return *std::find_if(std::begin(kUnits), std::end(kUnits), [&](const Unit& u) {
    return u.limit == limit && (value >= u.factor * least || u.factor == 1);
  });
}

std::string in_unit(double value, double Budget::*limit) {
  const Unit& unit = unit_for(value, limit);
  return fmt::format("{:.4g}{}", value / unit.factor, unit.name);
}

// With a margin, to two digits of the unit: a figure that looks exact would promise too much.
double rounded_up(double value, double Budget::*limit) {
  if (!(value > 0)) return value;
  const double factor = unit_for(value, limit).factor;
  value *= 1.03 / factor;
  const double digit = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return std::ceil(value / digit) * digit * factor;
}

}  // namespace

Budget parse_budget(std::string_view text) {
  Budget all;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string_view item = text.substr(begin, end - begin);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    all = joined(all, parse_one(item));
    begin = end + 1;
  }
  return all;
}

Budget joined(Budget budget, const Budget& more) {
  const auto join = [&](double Budget::*limit, const char* what) {
    TW_CHECK(!(budget.*limit > 0 && more.*limit > 0), config, "--budget limits the {} twice: {} and {}", what,
             in_unit(budget.*limit, limit), in_unit(more.*limit, limit));
    budget.*limit = std::max(budget.*limit, more.*limit);
  };
  join(&Budget::joules, "energy"), join(&Budget::eur, "cost"), join(&Budget::seconds, "time");
  return budget;
}

void check_countable(const Budget& budget, const EnergyMeter& meter, const PhaseLedger& ledger) {
  const EnergyOptions& options = ledger.options();
  TW_CHECK(!(budget.eur > 0) || options.price_eur_per_kwh > 0 || options.price_eur_per_node_hour > 0, config,
           "a budget of {} EUR cannot be counted without a price: set energy.price_eur_per_kwh or "
           "energy.price_eur_per_node_hour",
           budget.eur);
  if (!budget.wants_joules(options)) return;
  const std::string what = budget.joules > 0
                               ? fmt::format("a budget of {}", human_joules(budget.joules))
                               : fmt::format("a budget of {} EUR with energy.price_eur_per_kwh set", budget.eur);
  TW_CHECK(meter.kind() != EnergyKind::none, config,
           "{} cannot be counted: {}. Set energy.source = \"file:PATH\" or energy.assumed_watts, or limit the time", what,
           meter.text());
  const double unmetered = ledger.total().unmetered_seconds;
  TW_CHECK(!(unmetered > 0), config,
           "{} cannot be counted: for {} of this run there was no meter. Limit the time, or begin a new run folder", what,
           human_seconds(unmetered));
}

Allowance allowance(const Budget& budget, const EnergyOptions& options, const PhaseTotals& used, const PhaseTotals& next) {
  Allowance allowed;
  if (budget.seconds > 0) allowed.time = used.seconds + next.seconds <= budget.seconds;
  if (budget.joules > 0) allowed.joules = budget.joules - next.joules;
  if (budget.eur > 0) {
    EnergyOptions hours = options;
    hours.price_eur_per_kwh = 0;
    const double machines =
        hours.price_eur_per_node_hour > 0 ? energy_cost(0, used.node_seconds + next.node_seconds, hours).eur : 0;
    const double left = budget.eur - machines;
    if (left < 0) allowed.time = false;
    if (options.price_eur_per_kwh > 0)
      allowed.joules =
          std::min(allowed.joules, left / (options.price_eur_per_kwh * options.pue / 3.6e6) - next.joules);
  }
  return allowed;
}

std::string describe_use(const Budget& budget, const PhaseLedger& ledger, const PhaseTotals& used) {
  std::string text;
  const auto add = [&](double limit, double value, auto&& print) {
    if (!(limit > 0)) return;
    text += fmt::format("{}{} of {}", text.empty() ? "" : ", ", std::isfinite(value) ? print(value) : "an unknown part",
                        print(limit));
  };
  add(budget.joules, used.known_joules(), human_joules);
  add(budget.eur, ledger.eur(used), [](double eur) { return fmt::format("{:.4g} EUR", eur); });
  add(budget.seconds, used.seconds, human_seconds);
  return text;
}

Budget raised(const Budget& budget, const PhaseLedger& ledger, const PhaseTotals& whole) {
  Budget more = budget;
  const auto raise = [&](double Budget::*limit, double wanted) {
    if (budget.*limit > 0 && wanted > budget.*limit) more.*limit = rounded_up(wanted, limit);  // NaN: not known
  };
  raise(&Budget::joules, whole.known_joules()), raise(&Budget::eur, ledger.eur(whole)), raise(&Budget::seconds, whole.seconds);
  return more;
}

std::string budget_text(const Budget& budget) {
  std::string text;
  for (double Budget::*limit : {&Budget::joules, &Budget::eur, &Budget::seconds})
    if (budget.*limit > 0) text += (text.empty() ? "" : ",") + in_unit(budget.*limit, limit);
  return text;
}

}  // namespace tw
