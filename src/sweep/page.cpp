// sweep.html: what was tried, what came of it, and how to repeat it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/meter/report/chart.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/html.h"
#include "src/meter/status.h"
#include "src/sweep/page_parts.h"
#include "src/sweep/parallel.h"
#include "src/sweep/sweep.h"

namespace tw {
using namespace report;
namespace {

constexpr size_t kMostCurves = 120;  // on the page; of more trials the best
constexpr size_t kPoints = 9000;     // of all curves of a chart together
constexpr double kLogFrom = 6;       // losses of runs that diverge would press the others onto the axis
constexpr size_t kColoured = 6;      // the best ones

std::string card(std::string_view what, const std::string& big, const std::string& more) {
  return fmt::format("<div class=\"card\"><h3>{}</h3><p class=\"big\">{}</p><div class=\"more\">{}</div></div>\n", what, big, more);
}

std::string state_mark(const Trial& t) {
  const std::string_view css = t.state == TrialState::waiting ? "unknown" : name_of(t.state);
  return fmt::format("<span class=\"state {}\">{}</span>", css, name_of(t.state));
}

std::string shell_line(const std::vector<std::string>& words) {
  std::string line = "tokenwerk";
  for (const std::string& w : words) line += " " + shell_word(w);
  return line;
}

std::string header(const Sweep& sweep) {
  const SweepPlan& plan = sweep.plan;
  std::string keys;
  for (const SweepParameter& p : plan.parameters) keys += (keys.empty() ? "" : ", ") + code(p.key);
  const auto name = std::filesystem::weakly_canonical(sweep.folder).filename().string();
  return fmt::format("<p class=\"brand\">Tokenwerk sweep</p>\n<h1>{}</h1>\n<p>{} of {}, {} by {} ({} is best).</p>\n", escaped(name, 120),
                     plan.random ? fmt::format("{} points at random", sweep.trials.size()) : fmt::format("A grid of {} points", sweep.trials.size()), keys,
                     "ranked", code(plan.metric), plan.least ? "least" : "most");
}

std::string cards(const Sweep& sweep, const std::vector<int>& ranking) {
  double seconds = 0, joules = 0;
  std::set<std::string> kinds;
  bool known = true;
  for (const Trial& t : sweep.trials) {
    if (t.starts == 0) continue;
    seconds += t.seconds;
    if (std::isfinite(t.joules)) joules += t.joules; else known = false;
    kinds.insert(t.energy);
  }
  const int done = sweep.count(TrialState::done), failed = sweep.count(TrialState::failed), rest = int(sweep.trials.size()) - done - failed;
  std::string out = "<div class=\"cards\">";
  if (ranking.empty()) {
    out += card("Best " + escaped(sweep.plan.metric), "none yet", "No trial has a result.");
  } else {
    const Trial &best = sweep.trials[size_t(ranking[0])], &median = sweep.trials[size_t(ranking[ranking.size() / 2])];
    out += card("Best " + escaped(sweep.plan.metric), digits(best.metric, 5),
                fmt::format("Trial {}; the median of the trials is {}.", best.name(), digits(median.metric, 5)));
  }
  std::string more = many(failed, "trial", "trials") + " failed.";
  if (rest) more += fmt::format(" {} to go on with: {}.", many(rest, "is", "are"), code("tokenwerk sweep --out " + shell_word(sweep.folder.string())));
  out += card("Trials done", fmt::format("{} <small>of {}</small>", done, sweep.trials.size()), failed ? more : rest ? more.substr(more.find(". ") + 2) : "");
  out += card("Time of all runs", human_seconds(seconds), done ? human_seconds(seconds / std::max(1, done + failed)) + " a run." : "");
  const bool assumed = kinds.contains("assumed");
  if (kinds.contains("none") || kinds.empty())
    out += card("Energy of all runs", "no meter", "No joules are made up.");
  else
    out += card("Energy of all runs", known ? Cells::joules(joules) + (assumed ? " <span class=\"tag\">assumed</span>" : "") : "unknown",
                sweep.plan.parallel > 1 && kinds.contains("measured") ? "The meter is the node's: runs side by side each count all of it." : "");
  return out + "</div>\n";
}

std::string best(const Sweep& sweep, const std::vector<int>& ranking) {
  if (ranking.empty()) return missing("No trial has a result.");
  const Trial& t = sweep.trials[size_t(ranking[0])];
  Table table("Parameters of the best trial", {"Setting", "Value"});
  for (size_t i = 0; i < t.point.size(); ++i) table.row({code(sweep.plan.parameters[i].key), code(argument_text(t.point[i]))});
  return "<h3>The best: trial " + t.name() + "</h3>\n<div class=\"half\">" + table.html() + "</div>" +
         note("Trained again with the same result, bit for bit, in a folder of its own:") + command(shell_line(sweep.words_of(t, "runs/best")));
}

Curve thinned(const Curve& curve, size_t points) {
  Curve out;
  for (const Stretch& s : curve.stretches(points)) out.add(std::round(s.step()), s.mean);
  return out;
}

struct Lines {
  std::string name;
  bool faint;
  int style;
  Curve loss, eval_loss;
};

std::string curves(const Sweep& sweep, const std::vector<int>& ranking) {
  std::vector<int> shown = ranking;
  for (const Trial& t : sweep.trials)
    if (t.starts > 0 && std::find(ranking.begin(), ranking.end(), t.number) == ranking.end()) shown.push_back(t.number);
  const size_t began = shown.size();
  if (shown.empty()) return missing("No trial has begun.");
  shown.resize(std::min(shown.size(), kMostCurves));
  const size_t points = std::clamp<size_t>(kPoints / shown.size(), 50, 400);
  std::vector<Lines> lines;
  double first = INFINITY, last = -INFINITY;
  for (size_t i = 0; i < shown.size(); ++i) {
    const Trial& t = sweep.trials[size_t(shown[i])];
    const RunRecord run = read_run(t.folder);
    const bool faint = i >= kColoured || i >= ranking.size();
    lines.push_back({"trial " + t.name(), faint, int(i), thinned(run.loss, points), thinned(run.eval_loss, points)});
    cover(lines.back().loss, first, last), cover(lines.back().eval_loss, first, last);
  }
  if (!(last >= first)) return missing("No trial has taken a step.");
  std::string body = chart_tools() + "<div class=\"charts\">";
  for (const bool eval : {false, true}) {
    std::vector<Series> series;
    double low = INFINITY, high = -INFINITY;
    for (const bool faint : {true, false})  // the best above the others
      for (const Lines& l : lines) {
        if (l.faint != faint) continue;
        const Curve& curve = eval ? l.eval_loss : l.loss;
        series.push_back({l.name, &curve, l.style, curve.points() < 40 && !faint, faint});
        if (!curve.empty()) low = std::min(low, curve.low()), high = std::max(high, curve.high());
      }
    body += chart({.id = eval ? "heldout" : "loss",
                   .title = eval ? "Held-out loss" : "Training loss",
                   .unit = "nats a token",
                   .wide = true,
                   .log = high > kLogFrom * low,
                   .ranges = false,
                   .points = points,
                   .first = first,
                   .last = last},
                  series);
  }
  body += "</div>\n";
  std::string text = fmt::format("The {} best trials in colour, the others in grey.", std::min(kColoured, ranking.size()));
  if (began > shown.size()) text += fmt::format(" Only the {} best of {} are drawn.", shown.size(), began);
  return body + note(text);
}

std::string trials_table(const Sweep& sweep, const std::vector<int>& ranking) {
  std::vector<std::string> headers = {"Trial", ">Rank"};
  for (const SweepParameter& p : sweep.plan.parameters) headers.push_back(">" + code(p.key));
  headers.push_back(">" + code(sweep.plan.metric));
  const bool with_loss = sweep.plan.metric != "train_loss";
  if (with_loss) headers.push_back(">Training loss");
  for (const char* h : {">Tokens/s", ">Time", ">Energy", "State"}) headers.push_back(h);
  std::vector<int> order = ranking;
  for (const TrialState s : {TrialState::done, TrialState::running, TrialState::stopped, TrialState::waiting, TrialState::failed})
    for (const Trial& t : sweep.trials)
      if (t.state == s && std::find(ranking.begin(), ranking.end(), t.number) == ranking.end()) order.push_back(t.number);
  Table table("All trials, the best first", headers, 300000, "trials");
  for (size_t i = 0; i < order.size(); ++i) {
    const Trial& t = sweep.trials[size_t(order[i])];
    const bool ranked = i < ranking.size();
    std::vector<std::string> cells = {t.name(), ranked ? std::to_string(i + 1) : "–"};
    for (const ConfigValue& v : t.point) cells.push_back(escaped(argument_text(v), 60));
    cells.push_back(ranked ? i == 0 ? "<strong>" + digits(t.metric, 5) + "</strong>" : digits(t.metric, 5) : "–");
    if (with_loss) cells.push_back(Cells::real(t.train_loss, 4));
    cells.push_back(std::isfinite(t.tokens_per_second) ? count(t.tokens_per_second) : "–");
    cells.push_back(t.seconds > 0 ? Cells::seconds(t.seconds) : "–");
    cells.push_back(Cells::joules(t.joules));
    std::string state = state_mark(t);
    if (t.state != TrialState::done && t.steps > 0) state += fmt::format(" step {} of {}", t.step, t.steps);
    cells.push_back(state);
    table.row(cells, "", fmt::format("data-trial=\"{}\"", t.number));
  }
  return table.html("sweep.json");
}

std::string failures(const Sweep& sweep) {
  Table table("Trials that failed", {"Trial", "Parameters", ">Code", "Why"}, 60000);
  for (const Trial& t : sweep.trials)
    if (t.state == TrialState::failed)
      table.row({t.name(), escaped(point_text(sweep.plan, t.point), 400), std::to_string(t.exit_code),
                 escaped(t.reason, 400) + "<br>" + code((t.folder / "log.txt").string(), 200)});
  if (table.empty()) return "";
  return table.html("sweep.json") + note("Trained again, from their checkpoints:") +
         command("tokenwerk sweep --out " + shell_word(sweep.folder.string()) + " --retry-failed");
}

std::string repeat(const Sweep& sweep, const std::vector<int>& ranking) {
  const std::string folder = sweep.folder.string();
  std::string body = note("The whole sweep in another folder") +
                     command(shell_line({"sweep", folder + "/sweep.toml", "--out", folder + "-again"}));
  if (ranking.size() > 1) {
    std::string line = "tokenwerk report";
    for (size_t i = 0; i < std::min<size_t>(ranking.size(), 6); ++i) line += " " + shell_word(sweep.trials[size_t(ranking[i])].folder.string());
    body += note("The best runs beside each other, with all their curves and settings") + command(line + " --out " + shell_word(folder + "/compare.html"));
  }
  return body + "<h3>What is varied</h3>\n" + command(sweep.plan.to_toml());
}

}  // namespace

std::string sweep_html(const Sweep& sweep) {
  const std::vector<int> ranking = sweep.ranking();
  const auto name = std::filesystem::weakly_canonical(sweep.folder).filename().string();
  std::string lines = parallel_coordinates(sweep);
  if (lines.empty()) lines = missing("No trial has begun.");
  return page(name + " – Tokenwerk sweep", header(sweep),
              {{"results", "Results", cards(sweep, ranking) + best(sweep, ranking)},
               {"parameters", "Parameters and results", lines},
               {"trials", "Trials", trials_table(sweep, ranking)},
               {"failed", "Failed", failures(sweep)},
               {"curves", "Training", curves(sweep, ranking)},
               {"repeat", "Repeating it", repeat(sweep, ranking)}},
              fmt::format("Made by tokenwerk {} on {} from the files of the sweep's folder alone.", program_version(), time_of_day(iso_time(unix_seconds()))),
              {kSweepStyle, kSweepScript});
}

void write_sweep_page(const Sweep& sweep, const std::filesystem::path& page) {
  write_file_atomically(page.empty() ? sweep.folder / "sweep.html" : page, sweep_html(sweep));
}

}  // namespace tw
