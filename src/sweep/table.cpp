// The trials as a table for the terminal.
#include <fmt/format.h>

#include <cmath>

#include "src/core/format.h"
#include "src/core/utf8.h"
#include "src/sweep/sweep.h"

namespace tw {
namespace {

std::string number(double v, int digits) { return std::isfinite(v) ? fmt::format("{:.{}g}", v, digits) : "-"; }

}  // namespace

std::string sweep_table(const Sweep& sweep) {
  std::vector<int> order = sweep.ranking();
  for (const TrialState s : {TrialState::running, TrialState::stopped, TrialState::waiting, TrialState::failed})
    for (const Trial& t : sweep.trials)
      if (t.state == s) order.push_back(t.number);
  std::vector<std::vector<std::string>> rows = {{"trial"}};
  for (const SweepParameter& p : sweep.plan.parameters) rows[0].push_back(p.key);
  rows[0].push_back(sweep.plan.metric);
  if (sweep.plan.metric != "train_loss") rows[0].push_back("train loss");
  for (const char* head : {"time", "energy", "state"}) rows[0].push_back(head);
  bool assumed = false;
  for (const int n : order) {
    const Trial& t = sweep.trials[size_t(n)];
    std::vector<std::string> row = {t.name()};
    for (const ConfigValue& v : t.point) row.push_back(shortened(argument_text(v), 40));
    row.push_back(t.state == TrialState::done ? number(t.metric, 5) : "-");
    if (sweep.plan.metric != "train_loss") row.push_back(number(t.train_loss, 5));
    row.push_back(t.seconds > 0 ? human_seconds(t.seconds) : "-");
    row.push_back(std::isfinite(t.joules) ? human_joules(t.joules) : "-");
    assumed |= std::isfinite(t.joules) && t.energy == "assumed";
    std::string state(name_of(t.state));
    if (t.state != TrialState::done && t.steps > 0) state += fmt::format(" at step {} of {}", t.step, t.steps);
    if (!t.reason.empty()) state += ": " + shortened(t.reason, 160);
    row.push_back(std::move(state));
    rows.push_back(std::move(row));
  }
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out;
  for (const auto& row : rows) {
    std::string line = " ";
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      line += last ? " " + row[i] : fmt::format(" {:>{}} ", row[i], widths[i]);
    }
    out += line + "\n";
  }
  if (assumed) out += "  (energy: assumed watts, not measured)\n";
  return out;
}

}  // namespace tw
