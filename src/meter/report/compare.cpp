// Several runs beside each other.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/format.h"
#include "src/meter/report.h"
#include "src/meter/report/chart.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/html.h"
#include "src/meter/status.h"

namespace tw {
using namespace report;
namespace {

using Runs = std::vector<RunRecord>;
constexpr size_t kPoints = 20000;  // of all curves of the page together

double split_value(const RunRecord& run, const char* key) {
  const Json* split = run.headline_split();
  return split ? real_of(*split, key) : NAN;
}

enum class Best { none, least, most };
struct Fact {
  const char *key, *name;  // in JSON, on the page
  Best best;
  double (*value)(const RunRecord&);
  std::string (*print)(double);
};

std::string four(double v) { return Cells::real(v, 4); }
std::string short_count(double v) { return std::isfinite(v) ? count(v) : Cells::number(v); }

constexpr Fact kResults[] = {
    {"bits_per_byte", "Bits/byte", Best::least, [](const RunRecord& r) { return split_value(r, "bits_per_byte"); },
     four},
    {"held_out_loss", "Held-out loss", Best::least, [](const RunRecord& r) { return split_value(r, "loss"); }, four},
    {"perplexity", "Perplexity", Best::least, [](const RunRecord& r) { return split_value(r, "perplexity"); }, four},
    {"training_loss", "Training loss", Best::none, [](const RunRecord& r) { return r.final_loss; }, four},
    {"parameters", "Parameters", Best::none, [](const RunRecord& r) { return real_of(r.train, "parameters"); },
     short_count},
    {"steps", "Steps", Best::none, [](const RunRecord& r) { return r.step_lines ? r.step : NAN; }, Cells::number},
    {"tokens", "Tokens", Best::none, [](const RunRecord& r) { return r.trained_tokens; }, short_count},
};
constexpr Fact kCosts[] = {
    {"seconds", "Time", Best::least, [](const RunRecord& r) { return energy_of(r).seconds; }, Cells::seconds},
    {"training_seconds", "Training", Best::least, training_seconds, Cells::seconds},
    {"tokens_per_second", "Tokens/s", Best::most, [](const RunRecord& r) { return r.tokens_per_second.median(); },
     short_count},
    {"joules", "Energy", Best::least, [](const RunRecord& r) { return energy_of(r).joules; }, Cells::joules},
    {"joules_per_token", "Energy a token", Best::least,
     [](const RunRecord& r) { return energy_of(r).joules_per_token; }, Cells::joules},
    {"facility_joules", "With PUE", Best::least, [](const RunRecord& r) { return energy_of(r).facility_joules; },
     Cells::joules},
    {"eur", "Cost", Best::least, [](const RunRecord& r) { return energy_of(r).eur; }, Cells::eur},
    {"co2_g", "CO₂", Best::least, [](const RunRecord& r) { return energy_of(r).co2_g; }, Cells::grams},
};

Runs read_runs(const std::vector<std::filesystem::path>& folders) {
  TW_CHECK(folders.size() <= kMostRuns, config, "{} runs: at most {} stand beside each other", folders.size(),
           kMostRuns);
  Runs runs;
  for (const auto& folder : folders) runs.push_back(read_run(folder));
  std::map<std::string, int> names;
  for (const RunRecord& run : runs) ++names[run.name];
  for (RunRecord& run : runs)  // equal names in different folders
    if (names[run.name] > 1) run.name = folder_of(run);
  return runs;
}

std::string name_cell(const RunRecord& run, size_t i) {
  return "<span class=\"key\">" + swatch(int(i)) + escaped(run.name, 80) + "</span>";
}

std::string facts_table(const char* caption, const Runs& runs, std::span<const Fact> facts, bool with_state) {
  std::vector<std::string> headers = {"Run"};
  if (with_state) headers.push_back("State");
  for (const Fact& f : facts) headers.push_back(">" + std::string(f.name));
  Table table(caption, headers);
  std::vector<double> best;
  for (const Fact& f : facts) {
    double b = NAN;
    size_t known = 0;
    for (const RunRecord& run : runs)
      if (const double v = f.value(run); std::isfinite(v)) {
        b = f.best == Best::most ? std::fmax(b, v) : std::fmin(b, v);
        ++known;
      }
    best.push_back(f.best == Best::none || known < 2 ? NAN : b);
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    std::vector<std::string> cells = {name_cell(runs[i], i)};
    const std::string state = state_of(runs[i]);
    if (with_state) cells.push_back(fmt::format("<span class=\"state {0}\">{0}</span>", state));
    for (size_t k = 0; k < facts.size(); ++k) {
      const double v = facts[k].value(runs[i]);
      const std::string text = facts[k].print(v);
      cells.push_back(v == best[k] ? "<strong>" + text + "</strong><span class=\"aside\"> best</span>" : text);
    }
    table.row(cells);
  }
  return table.html();
}

// Numbers of different texts do not compare.
std::string same_text(const Runs& runs) {
  std::set<std::string> texts;
  for (const RunRecord& run : runs)
    if (const Json* split = run.headline_split())
      texts.insert(fmt::format("{} {} {}", text_of(run.tokens, "inventory"), real_of(*split, "bytes"),
                               real_of(*split, "documents")));
  if (texts.size() < 2) return note("The best of a column is set in bold.");
  return "<p class=\"note warn\">The runs were evaluated on different held-out text: their losses and bits per byte do "
         "not "
         "compare.</p>\n";
}

std::string assumed(const Runs& runs) {
  std::string names;
  for (const RunRecord& run : runs)
    if (energy_of(run).kind == "assumed") names += (names.empty() ? "" : ", ") + escaped(run.name, 80);
  return names.empty() ? "" : note("<span class=\"tag\">assumed, not measured</span> Energy of " + names + ".");
}

std::string overlaid(const Runs& runs) {
  struct Kind {
    const char *id, *title, *unit;
    Curve RunRecord::*curve;
    bool wide, from_zero;
  };
  constexpr Kind kKinds[] = {{"loss", "Training loss", "nats a token", &RunRecord::loss, true, false},
                             {"heldout", "Held-out loss", "nats a token", &RunRecord::eval_loss, false, false},
                             {"rate", "Learning rate", "", &RunRecord::lr, false, true},
                             {"norm", "Gradient norm", "before clipping", &RunRecord::grad_norm, false, true},
                             {"speed", "Speed", "tokens/s", &RunRecord::tokens_per_second, false, true},
                             {"joules", "Energy", "J a token", &RunRecord::joules_per_token, false, true}};
  double first = INFINITY, last = -INFINITY;
  for (const RunRecord& run : runs)
    for (const Kind& kind : kKinds) cover(run.*kind.curve, first, last);
  if (!(last >= first)) return missing("No run has curves.");
  std::string body = chart_tools() + "<div class=\"charts\">";
  const size_t points = std::clamp<size_t>(kPoints / (runs.size() * std::size(kKinds)), 60, 600);
  for (const Kind& kind : kKinds) {
    std::vector<Series> series;
    for (size_t i = 0; i < runs.size(); ++i)
      series.push_back({runs[i].name, &(runs[i].*kind.curve), int(i), (runs[i].*kind.curve).points() < 40});
    body += chart({.id = kind.id,
                   .title = kind.title,
                   .unit = kind.unit,
                   .wide = kind.wide,
                   .from_zero = kind.from_zero,
                   .ranges = false,
                   .points = points,
                   .first = first,
                   .last = last},
                  series);
  }
  return body + "</div>\n";
}

using Values = std::vector<std::optional<std::string>>;  // of each run

// A run's own folder, which differs always, counts as equal wherever a value names it.
std::string without_folder(std::string value, const std::string& folder) {
  for (size_t at = 0; !folder.empty() && (at = value.find(folder, at)) != value.npos; at += 3)
    value.replace(at, folder.size(), "RUN");
  return value;
}

std::map<std::string, Values> differing_settings(const Runs& runs) {
  std::map<std::string, Values> all;
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::string folder = runs[i].setting("run", "dir");
    for (const Setting& s : runs[i].config) {
      Values& values = all[s.name()];
      values.resize(runs.size());
      values[i] = without_folder(s.value, folder);
    }
  }
  std::erase_if(all, [](const auto& entry) {
    return std::all_of(entry.second.begin(), entry.second.end(), [&](const auto& v) { return v == entry.second[0]; });
  });
  return all;
}

std::string settings_table(const Runs& runs) {
  const auto settings = differing_settings(runs);
  if (settings.empty()) return missing("No setting differs, or no config.toml could be read.");
  std::vector<std::string> headers = {"Setting"};
  for (const RunRecord& run : runs) headers.push_back(escaped(run.name, 80));
  Table table("Settings that differ", headers, 60000);
  for (const auto& [name, values] : settings) {
    std::vector<std::string> cells = {code(name, 80)};
    for (const auto& value : values) cells.push_back(value ? code(*value, 120) : "–");
    table.row(cells);
  }
  return table.html("the runs' config.toml");
}

std::string places(const Runs& runs) {
  Table table("Folders, models and commands", {"Run", "Model", "Folder and command"});
  for (size_t i = 0; i < runs.size(); ++i)
    table.row({name_cell(runs[i], i), escaped(model_sentence(runs[i]), 200),
               code(folder_of(runs[i]), 200) + "<br>" + code(command_of(runs[i]), 600)});
  return table.html();
}

std::string notes_of(const Runs& runs) {
  std::string list;
  for (const RunRecord& run : runs)
    for (size_t i = 0; i < run.notes.size() && i < 10; ++i)
      list += "<li>" + escaped(run.name, 80) + ": " + escaped(run.notes[i], 300) + "</li>\n";
  return list.empty() ? "" : "<ul>" + list + "</ul>\n";
}

}  // namespace

std::string comparison_html(const std::vector<std::filesystem::path>& folders) {
  const Runs runs = read_runs(folders);
  const std::string title = many(double(runs.size()), "run", "runs") + " compared";
  const auto per_run = [&](const char* what) { return facts_table(what, runs, kResults, true); };
  return page(title + " – Tokenwerk", "<p class=\"brand\">Tokenwerk comparison</p>\n<h1>" + title + "</h1>\n",
              {{"results", "Results", per_run("Results of the runs") + same_text(runs)},
               {"costs", "Time, energy, cost",
                facts_table("Time, energy and cost of the runs", runs, kCosts, false) + assumed(runs)},
               {"curves", "Training", overlaid(runs)},
               {"settings", "Settings that differ", settings_table(runs)},
               {"runs", "Runs", places(runs)},
               {"remarks", "What is missing here", notes_of(runs)}},
              fmt::format("Made by tokenwerk {} on {} from the files of the run folders alone.", program_version(),
                          time_of_day(iso_time(unix_seconds()))));
}

std::string comparison_json(const std::vector<std::filesystem::path>& folders) {
  const Runs runs = read_runs(folders);
  using Ordered = nlohmann::ordered_json;
  const auto number = [](double v) {
    if (!std::isfinite(v)) return Ordered(nullptr);
    return v == std::floor(v) && std::fabs(v) < 0x1p53 ? Ordered(int64_t(v)) : Ordered(v);
  };
  Ordered out = {{"runs", Ordered::array()}, {"differing_settings", Ordered::object()}};
  for (const RunRecord& run : runs) {
    Ordered entry = {{"name", run.name},
                     {"folder", folder_of(run)},
                     {"state", state_of(run)},
                     {"model", model_sentence(run)},
                     {"command", command_of(run)}};
    const Json* split = run.headline_split();
    entry["split"] = split ? Ordered(text_of(*split, "name")) : Ordered(nullptr);
    for (const Fact& f : kResults) entry[f.key] = number(f.value(run));
    for (const Fact& f : kCosts) entry[f.key] = number(f.value(run));
    entry["energy"] = energy_of(run).kind;
    entry["baselines"] = Ordered::object();
    if (split)
      for (const Baseline& b : baselines_of(*split)) entry["baselines"][b.name] = b.bits_per_byte;
    entry["notes"] = run.notes;
    out["runs"].push_back(std::move(entry));
  }
  for (const auto& [name, values] : differing_settings(runs)) {
    Ordered& list = out["differing_settings"][name] = Ordered::array();
    for (const auto& value : values) list.push_back(value ? Ordered(*value) : Ordered(nullptr));
  }
  return out.dump(2, ' ', false, Ordered::error_handler_t::replace);
}

}  // namespace tw
