#include "src/meter/report.h"

#include <cmath>

#include <fmt/format.h>

#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/meter/report_html.h"
#include "src/meter/report_sections.h"
#include "src/meter/status.h"

namespace tw {
using namespace report;

std::string report_html(const std::filesystem::path& folder) {
  const RunRecord run = read_run(folder);
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      // Whatever slipped through the escaping could still load nothing.
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src "
      "'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n";
  html += "<title>" + escaped(run.name, 120) + " – Tokenwerk run report</title>\n<style>";
  html += style_sheet();
  html += "</style></head><body><main>\n";
  html += page_head(run) + curves(run) + samples(run) + evaluation(run) + energy(run) + documents(run) + repeat(run) +
          configuration(run) + remarks(run);
  html += fmt::format(
      "<p class=\"page-end\">Made by tokenwerk {} on {} from the files of the run folder alone.</p>\n</main><script>",
      program_version(), iso_time(unix_seconds()));
  html += script();
  return html + "</script></body></html>\n";
}

void write_report(const std::filesystem::path& folder) {
  write_file_atomically(folder / "report.html", report_html(folder));
}

std::string summary_table(const std::filesystem::path& folder) {
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
    const std::string name = text_of(*split, "name");
    line("held-out loss", fmt::format("{} ({}), perplexity {}", digits(real_of(*split, "loss"), 4), name,
                                      digits(real_of(*split, "perplexity"), 4)));
    const double order = real_of(*split, "ngram_order");
    line("bits per byte", fmt::format("{}; n-gram{} {}; gzip -9 {}", digits(real_of(*split, "bits_per_byte"), 4),
                                      std::isfinite(order) ? fmt::format(" of order {:.0f}", order) : std::string(),
                                      digits(real_of(*split, "ngram_bits_per_byte"), 4),
                                      digits(real_of(*split, "gzip_bits_per_byte"), 4)));
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
  const auto page = folder / "report.html";
  line("report", std::filesystem::exists(page, absent) ? page.string() : "not written");
  return out;
}

}  // namespace tw
