// Title and headline cards.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

std::string card(std::string_view what, const std::string& big, const std::string& more, std::string_view css = "") {
  return fmt::format("<div class=\"card {}\"><h3>{}</h3><p class=\"big\">{}</p><div class=\"more\">{}</div></div>\n",
                     css, what, big, more);
}

std::string with_unit(const std::string& text) {  // "51.2 kJ" with a smaller unit
  const size_t space = text.rfind(' ');
  return space == text.npos ? text : text.substr(0, space) + " <small>" + text.substr(space + 1) + "</small>";
}

std::string compared(double model, const Baseline& other) {
  if (!(model > 0) || !(other.bits_per_byte > 0)) return "";
  const double share = 1 - model / other.bits_per_byte;
  const std::string name = escaped(other.name, 60);
  if (share >= 0) return fmt::format("{} less than {}.", percent(share), name);
  return fmt::format("<strong>{} more than {}: it is not beaten.</strong>", percent(-share), name);
}

// The result, and what it has to beat, on the same bytes.
std::string result_card(const RunRecord& run) {
  constexpr std::string_view kWhat = "Bits per byte of held-out text, less is better";
  const Json* split = run.headline_split();
  if (!split)
    return card(
        kWhat, "not evaluated",
        fmt::format("<p>There is no eval.json, or it has no splits.</p><p>Training loss of the last step: {}.</p>",
                    digits(run.final_loss, 4)),
        "main");
  const double model = real_of(*split, "bits_per_byte");
  const auto baselines = baselines_of(*split);
  if (!std::isfinite(model) && baselines.empty() && std::isfinite(real_of(*split, "loss")))  // what is no text, or is asked and answered
    return card("Loss of a held-out token, nats, less is better", digits(real_of(*split, "loss"), 4),
                fmt::format("<p>Perplexity {} over {} of {} (split {}), none of them trained on.</p>", digits(real_of(*split, "perplexity"), 4),
                            many(real_of(*split, "tokens"), "token", "tokens"), many(real_of(*split, "documents"), "file", "files"), escaped(text_of(*split, "name"), 40)),
                "main");
  double widest = std::isfinite(model) ? model : 1e-9;
  const Baseline* best = nullptr;
  for (const Baseline& b : baselines) {
    widest = std::max(widest, b.bits_per_byte);
    if (!best || b.bits_per_byte < best->bits_per_byte) best = &b;
  }
  std::string bars;
  const auto bar = [&](std::string_view name, double value, std::string_view css) {
    if (!std::isfinite(value)) return;
    bars += fmt::format("<dt{}>{}</dt><dd><span class=\"bar\" style=\"--share:{:.1f}%\"></span>{}</dd>", css,
                        escaped(name, 60), std::clamp(value / widest, 0.0, 1.0) * 100, digits(value, 4));
  };
  bar("This model", model, " class=\"me\"");
  for (const Baseline& b : baselines) bar(b.name, b.bits_per_byte, "");
  std::string more = baselines.empty() ? note("eval.json names no baselines: evaluate again with this version.")
                                       : "<dl class=\"bars\">" + bars + "</dl>";
  if (best) more += "<p>" + compared(model, *best) + "</p>";
  more += fmt::format("<p>Loss {}, perplexity {} a token.</p>", digits(real_of(*split, "loss"), 4),
                      digits(real_of(*split, "perplexity"), 4));
  more +=
      fmt::format("<p>The same {} of {} (split {}), none of it trained on.</p>",
                  std::isfinite(real_of(*split, "bytes")) ? human_bytes(real_of(*split, "bytes")) : "bytes",
                  many(real_of(*split, "documents"), "document", "documents"), escaped(text_of(*split, "name"), 40));
  return card(kWhat, digits(model, 4), more, "main");
}

std::string energy_cards(const Energy& e) {
  const std::string tag = e.kind == "assumed" ? " <span class=\"tag\">assumed</span>" : "";
  std::string per_token = "no meter", total = "no meter", more = escaped(e.meter.substr(0, e.meter.find(';')), 160),
              outside;
  if (std::isfinite(e.joules_per_token))
    per_token = with_unit(Cells::joules(e.joules_per_token)) + tag;
  else if (e.kind != "none")
    per_token = "unknown";
  if (std::isfinite(e.joules)) {
    total = with_unit(Cells::joules(e.joules)) + tag;
    if (e.pue > 1) outside += fmt::format("{} with PUE {}. ", Cells::joules(e.facility_joules), plain(e.pue));
    if (std::isfinite(e.eur)) outside += escaped(money(e.eur)) + ". ";
    if (std::isfinite(e.co2_g)) outside += Cells::grams(e.co2_g) + " of CO₂.";
    if (outside.empty()) outside = "No price and no PUE are set.";
  } else if (e.kind != "none") {
    total = "unknown";
    outside = "A part of the run had no meter.";
  } else {
    outside = "No joules are made up.";
  }
  return card("Energy per token trained", per_token, more) + card("Energy of all phases", total, outside);
}

}  // namespace

std::string run_header(const RunRecord& run) {
  const std::string state = state_of(run), reason = text_of(run.status, "reason"), model = model_sentence(run);
  std::string head = fmt::format(
      "<p class=\"brand\">Tokenwerk run report</p>\n<h1>{}</h1>\n<p><span class=\"state "
      "{}\">{}</span>",
      escaped(run.name, 120), state, state);
  if (!reason.empty()) head += " " + escaped(reason, 300);
  head += "</p>\n";
  if (!model.empty()) head += "<p>" + escaped(model, 300) + "</p>\n";
  std::string place;
  if (!text_of(run.status, "host").empty()) place = "On " + escaped(text_of(run.status, "host"), 80);
  const double ranks = real_of(run.train, "ranks"), threads = real_of(run.train, "threads");
  if (ranks > 0) place += (place.empty() ? "" : ", ") + many(ranks, "rank", "ranks");
  if (ranks > 0 && threads > 0) place += " × " + many(threads, "thread", "threads");
  const std::string started = text_of(run.status, "started"), updated = text_of(run.status, "updated");
  if (!started.empty())
    place += (place.empty() ? "" : ", ") + fmt::format("{} to {}", time_of_day(started), time_of_day(updated));
  return place.empty() ? head : head + "<p>" + place + "</p>\n";
}

Section results(const RunRecord& run) {
  std::string body = "<div class=\"cards\">" + result_card(run);
  const double speed = run.tokens_per_second.median();
  std::string more;
  if (run.model_flops_per_second > 0) more = digits(run.model_flops_per_second / 1e9, 3) + " GFLOP/s of model work. ";
  if (run.memory_bytes > 0) more += human_bytes(run.memory_bytes) + " of memory at most.";
  body += card("Training speed, median", std::isfinite(speed) ? count(speed) + " <small>tokens/s</small>" : "unknown",
               more);
  const Energy e = energy_of(run);
  body += energy_cards(e);

  more = std::isfinite(run.step) && run.step_lines ? fmt::format("In {}. ", many(run.step, "step", "steps")) : "";
  if (run.skipped > 0) more += many(run.skipped, "step was", "steps were") + " left out. ";
  if (run.not_finite > 0) more += many(double(run.not_finite), "loss was", "losses were") + " not finite.";
  body += card("Tokens trained", count(run.trained_tokens), more);
  const double begun = real_of(run.train, "start_seconds"), first = real_of(run.train, "start_to_first_step_seconds");
  more = std::isfinite(first) ? "First step " + human_seconds(first) + " after the start" : "";
  if (!more.empty()) more += std::isfinite(begun) ? ", begun after " + human_seconds(begun) + "." : ".";
  body += card("Time of all phases", std::isfinite(e.seconds) ? human_seconds(e.seconds) : "unknown", more);
  const double flops = real_of(run.train, "flops_per_token"), arena = real_of(run.train, "arena_bytes");
  more = std::isfinite(flops) ? digits(flops / 1e6, 3) + " MFLOP a token trained. " : "";
  if (std::isfinite(arena)) more += human_bytes(arena) + " of memory planned for a rank.";
  const double parameters = real_of(run.train, "parameters"), trained = real_of(part_of(run.train, "adapters"), "trained_parameters");
  if (std::isfinite(trained)) more = fmt::format("{} were trained, in adapters ({} %). ", count(trained), digits(100 * trained / parameters, 3)) + more;
  body += card("Parameters", count(parameters), more);
  return {"results", "Results", body + "</div>\n"};
}

}  // namespace tw::report
