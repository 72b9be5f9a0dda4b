#include "src/meter/report.h"

#include <cmath>

#include <fmt/format.h>

#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/html.h"
#include "src/meter/report/sections.h"
#include "src/meter/status.h"

namespace tw {
using namespace report;

std::string report_html(const std::filesystem::path& folder) {
  const RunRecord run = read_run(folder);
  return page(run.name + " – Tokenwerk run report", run_header(run),
              {results(run), curves(run), evaluation(run), memorisation(run), samples(run), kinds(run), energy(run), documents(run),
               configuration(run), repeat(run), remarks(run)},
              fmt::format("Made by tokenwerk {} on {} from the files of the run folder alone.", program_version(),
                          time_of_day(iso_time(unix_seconds()))));
}

void write_report(const std::filesystem::path& folder, const std::filesystem::path& page) {
  write_file_atomically(page.empty() ? folder / "report.html" : page, report_html(folder));
}

std::string summary_table(const std::filesystem::path& folder, const std::filesystem::path& page) {
  const RunRecord run = read_run(folder);
  const Energy e = energy_of(run);
  std::string out;
  const auto line = [&](std::string_view name, const std::string& value) {
    out += fmt::format("  {:<22}{}\n", name, value);
  };
  const std::string model = model_sentence(run);
  if (!model.empty()) line("model", model);
  if (run.step_lines) line("training loss", digits(run.final_loss, 4) + " at the last step");
  if (const Json* split = run.headline_split()) {
    line("held-out loss", fmt::format("{} ({}), perplexity {}", digits(real_of(*split, "loss"), 4),
                                      text_of(*split, "name"), digits(real_of(*split, "perplexity"), 4)));
    std::string bits = digits(real_of(*split, "bits_per_byte"), 4);
    for (const Baseline& b : baselines_of(*split)) bits += fmt::format("; {} {}", b.name, digits(b.bits_per_byte, 4));
    line("bits per byte", bits);
  } else {
    line("held-out text", "not evaluated");
  }
  if (run.step_lines) line("tokens trained", fmt::format("{} in {:.0f} steps", count(run.trained_tokens), run.step));
  if (run.step_lines) line("speed", count(run.tokens_per_second.median()) + " tokens/s");
  line("time", std::isfinite(e.seconds) ? human_seconds(e.seconds) : "unknown");
  const std::string mark = e.kind == "assumed" ? ", assumed" : "";
  if (std::isfinite(e.joules_per_token))
    line("energy", fmt::format("{} a token trained{}", human_joules(e.joules_per_token), mark));
  else
    line("energy", e.kind == "none" ? e.meter : "unknown: a part of the run had no meter");
  if (std::isfinite(e.joules)) {
    std::string total = human_joules(e.joules) + mark;
    if (e.pue > 1) total += fmt::format(", {} with PUE {}", human_joules(e.facility_joules), plain(e.pue));
    if (std::isfinite(e.eur)) total += ", " + money(e.eur);
    if (std::isfinite(e.co2_g)) total += fmt::format(", {} g CO2", digits(e.co2_g, 3));
    line("energy, all phases", total);
  }
  std::error_code absent;
  const auto report = page.empty() ? folder / "report.html" : page;
  line("report", std::filesystem::exists(report, absent) ? report.string() : "not written");
  return out;
}

}  // namespace tw
