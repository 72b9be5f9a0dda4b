// Time, joules and cost by phase; what was predicted; budgets.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

// In the order of the work; what is unknown to us behind it.
constexpr const char* kPhases[] = {"scan", "tokenize", "load", "train", "checkpoint", "eval", "generate", "report"};

std::string phase_table(const RunRecord& run, const Json& phases, const Energy& e) {
  Table table("Time, energy and cost by phase",
              {"Phase", ">Time", ">Energy", ">Energy a token", ">Tokens", ">Cost", ">CO₂", ">Starts"});
  const auto row = [&](const std::string& name, const Json& p, std::string_view css) {
    const double s = real_of(p, "seconds"), j = real_of(p, "joules");
    table.row({name, bar_cell(Cells::seconds(s), css.empty() ? s / e.seconds : NAN, "me"),
               bar_cell(Cells::joules(j), css.empty() ? j / e.joules : NAN, "me"),
               Cells::joules(real_of(p, "joules_per_token")),
               real_of(p, "tokens") > 0 ? Cells::number(real_of(p, "tokens")) : Cells::number(NAN),
               Cells::eur(real_of(p, "eur")), Cells::grams(real_of(p, "co2_g")), Cells::number(real_of(p, "starts"))},
              css);
  };
  for (const char* name : kPhases) {
    if (!phases.contains(name)) continue;
    row(name, phases.at(name), "");
    if (std::string_view(name) == "train" && real_of(part_of(run.phases, "wasted"), "starts") > 0)
      row("of which lost by restarts", part_of(run.phases, "wasted"), "part");
  }
  size_t rows = 0;
  for (const auto& [name, p] : phases.items()) {
    if (std::find(std::begin(kPhases), std::end(kPhases), name) != std::end(kPhases) || rows++ == 20) continue;
    row(escaped(name, 40), p, "");
  }
  row("all", part_of(run.phases, "total"), "sum");
  if (e.pue > 1)
    table.row(
        {fmt::format("facility, × PUE {}", plain(e.pue)), "", Cells::joules(e.facility_joules), "", "", "", "", ""},
        "part");
  return table.html("phases.json");
}

std::string prices(const Energy& e) {
  std::string text = fmt::format("Meter: {}{}. ", escaped(e.meter, 300),
                                 e.kind == "assumed" ? " <span class=\"tag\">assumed, not measured</span>" : "");
  if (e.kind == "none") text += "Without one no joules are printed. ";
  if (e.price > 0) text += fmt::format("Price {} EUR a kWh", plain(e.price));
  if (e.node_hour_price > 0)
    text += fmt::format("{} {} EUR a node and hour", e.price > 0 ? " and" : "Price", plain(e.node_hour_price));
  if (!(e.price > 0 || e.node_hour_price > 0))
    text += "No price is set (energy.price_eur_per_kwh, energy.price_eur_per_node_hour)";
  text += e.pue > 1 ? fmt::format(", PUE {}", plain(e.pue)) : ", no PUE";
  text += e.co2_g_per_kwh > 0 ? fmt::format(", {} g of CO₂ a kWh. ", plain(e.co2_g_per_kwh)) : ", no CO₂ of the grid. ";
  return note(text +
              "Energy a token of training counts each token once and lost steps too; cost and CO₂ are those of the "
              "facility.");
}

std::string prediction(const RunRecord& run) {
  const Json& time = part_of(run.train, "time");
  const double predicted = real_of(time, "predicted_seconds"), measured = real_of(time, "measured_seconds"),
               after = real_of(time, "predicted_after_step");
  if (!(predicted > 0)) return missing("train.json holds no prediction of the time.");
  std::string text = fmt::format("Training: predicted {}", human_seconds(predicted));
  if (after > 0) text += fmt::format(" after step {}", whole(after));
  if (measured > 0) {
    const double share = measured / predicted - 1;
    text += fmt::format(
        ", measured {} ({})", human_seconds(measured),
        std::fabs(share) < 0.005 ? "as predicted" : percent(std::fabs(share)) + (share > 0 ? " more" : " less"));
  }
  return note(text + ".");
}

// Settings budget.*: what they allow, and what the run took.
std::string budgets(const RunRecord& run, const Energy& e) {
  std::string bars;
  const auto bar = [&](const char* key, const char* name, double used, auto&& print) {
    const double most = run.number_setting("budget", key);
    if (!(most > 0)) return;
    const double share = used / most;
    bars += fmt::format("<dt>{}</dt><dd><span class=\"bar{}\" style=\"--share:{:.1f}%\"></span>{} of {}{}</dd>", name,
                        share > 1 ? " over" : "", std::isfinite(share) ? std::clamp(share, 0.0, 1.0) * 100 : 0.0,
                        print(used), print(most), std::isfinite(share) ? " (" + percent(share) + ")" : "");
  };
  bar("joules", "Energy", e.joules, [](double v) { return Cells::joules(v); });
  bar("eur", "Cost", e.eur, [](double v) { return Cells::eur(v); });
  bar("seconds", "Time", e.seconds, [](double v) { return Cells::seconds(v); });
  if (bars.empty()) return "";
  std::string out = "<h3>Budgets</h3><dl class=\"bars\">" + bars + "</dl>";
  if (real_of(run.status, "exit_code") == 77)
    out += note("The run stopped because a budget was reached (exit code 77).");
  return out;
}

}  // namespace

Section energy(const RunRecord& run) {
  const Json& phases = part_of(run.phases, "phases");
  const Energy e = energy_of(run);
  std::string body = phases.is_object() && !phases.empty() ? phase_table(run, phases, e) + prices(e)
                                                           : missing("No phases.json, or no phase in it.");
  return {"energy", "Time, energy, cost", body + prediction(run) + budgets(run, e)};
}

}  // namespace tw::report
