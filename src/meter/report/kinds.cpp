// What the model makes beside text: numbers of each kind beside those of the training files.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

constexpr size_t kKinds = 20, kMeasures = 50, kHistograms = 8, kBars = 30, kMostBins = 1000;

std::vector<double> numbers_of(const Json& list) {
  std::vector<double> numbers;
  if (!list.is_array()) return numbers;
  for (const Json& v : list) {
    if (numbers.size() > kMostBins) break;
    numbers.push_back(v.is_number() ? v.get<double>() : NAN);
  }
  return numbers;
}

std::string histogram(const Json& h) {
  const std::vector<double> edges = numbers_of(part_of(h, "edges")), samples = numbers_of(part_of(h, "samples")), training = numbers_of(part_of(h, "training"));
  if (samples.empty() || edges.size() != samples.size() + 1 || training.size() != samples.size()) return "";
  const size_t together = (samples.size() + kBars - 1) / kBars;  // bins of a bar
  struct Bar {
    double low, high, samples = 0, training = 0;
  };
  std::vector<Bar> bars;
  double most = 0;
  for (size_t i = 0; i < samples.size(); i += together) {
    Bar bar{edges[i], edges[std::min(i + together, samples.size())]};
    for (size_t k = i; k < std::min(i + together, samples.size()); ++k) bar.samples += samples[k], bar.training += training[k];
    most = std::max({most, bar.samples, bar.training});
    bars.push_back(bar);
  }
  const std::string title = text_of(h, "title"), unit = text_of(h, "unit");
  Table table(title, {unit.empty() ? "From" : "From, " + escaped(unit, 20), ">Model", ">Training files"});
  for (const Bar& bar : bars)
    table.row({bar.high - bar.low == 1 ? plain(bar.low) : plain(bar.low) + " to " + plain(bar.high), bar_cell(percent(bar.samples), most > 0 ? bar.samples / most : 0),
               bar_cell(percent(bar.training), most > 0 ? bar.training / most : 0)});
  return "<div class=\"block\"><h4>" + escaped(title, 60) + "</h4>\n" + table.html("samples.json") + "</div>\n";
}

}  // namespace

Section kinds(const RunRecord& run) {
  const Json& list = part_of(run.samples, "kinds");
  if (!list.is_array() || list.empty()) return {"kinds", "Beside text", ""};
  std::string body;
  size_t shown = 0;
  for (const Json& kind : list) {
    if (shown++ == kKinds) break;
    body += "<h3>" + escaped(text_of(kind, "kind"), 40) + "</h3>\n";
    const double unfinished = real_of(kind, "unfinished");
    body += note(fmt::format("{} of {} made by the model: {}{}", many(real_of(kind, "documents"), "document", "documents"), many(real_of(kind, "tokens"), "token", "tokens"),
                             code(text_of(kind, "path"), 200), unfinished > 0 ? fmt::format("; {} were cut at the limit", whole(unfinished)) : ""));
    Table table("Measures", {"Measure", ">Model", ">Baseline", "Of what"});
    size_t rows = 0;
    if (const Json& measures = part_of(kind, "measures"); measures.is_array())
      for (const Json& m : measures)
        if (rows++ < kMeasures)
          table.row({escaped(text_of(m, "metric"), 80), Cells::real(real_of(m, "value"), 4), Cells::real(real_of(m, "baseline"), 4), escaped(text_of(m, "baseline_name"), 60)});
    if (!table.empty()) body += table.html("samples.json");
    std::string drawn;
    size_t histograms = 0;
    if (const Json& all = part_of(kind, "histograms"); all.is_array())
      for (const Json& h : all)
        if (histograms++ < kHistograms) drawn += histogram(h);
    if (!drawn.empty()) body += "<div class=\"blocks\">" + drawn + "</div>\n";
  }
  return {"kinds", "Beside text", body};
}

}  // namespace tw::report
