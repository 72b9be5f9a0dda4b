// Title, headline cards, curves and samples.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report_chart.h"
#include "src/meter/report_html.h"
#include "src/meter/report_sections.h"

namespace tw::report {
namespace {

std::string card(std::string_view what, const std::string& big, const std::string& more, std::string_view css = "") {
  return fmt::format(
      "<div class=\"card {}\"><div class=\"what\">{}</div><div class=\"big\">{}</div><div "
      "class=\"more\">{}</div></div>\n",
      css, what, big, more);
}

std::string with_unit(const std::string& text) {  // "51.2 kJ" with a smaller unit
  const size_t space = text.rfind(' ');
  return space == text.npos ? text : text.substr(0, space) + " <small>" + text.substr(space + 1) + "</small>";
}

// "2026-11-25T01:12:00Z" as "2026-11-25 01:12 UTC"; other text as it is.
std::string time_of_day(const std::string& iso) {
  const bool ours = iso.size() == 20 && iso[10] == 'T' && iso.back() == 'Z';
  return escaped(ours ? iso.substr(0, 10) + " " + iso.substr(11, 5) + " UTC" : iso, 30);
}

std::string compared(double model, double other, std::string_view name) {
  if (!(model > 0) || !(other > 0)) return "";
  const double share = 1 - model / other;
  if (share >= 0) return fmt::format("{} less than {}. ", percent(share), name);
  return fmt::format("<b>{} more than {}: it is not beaten.</b> ", percent(-share), name);
}

// The result, and what it has to beat, on the same bytes.
std::string result_card(const RunRecord& run) {
  constexpr std::string_view kWhat = "Bits per byte of held-out text, less is better";
  const Json* split = run.headline_split();
  if (!split) return card(kWhat, "not evaluated", "There is no eval.json, or it has no splits.", "wide");
  const double model = real_of(*split, "bits_per_byte"), gzip = real_of(*split, "gzip_bits_per_byte"),
               ngram = real_of(*split, "ngram_bits_per_byte"), order = real_of(*split, "ngram_order");
  const std::string ngram_name = std::isfinite(order) ? fmt::format("order-{:.0f} n-gram", order) : "n-gram";
  const double widest = std::max(
      {std::isfinite(model) ? model : 0, std::isfinite(gzip) ? gzip : 0, std::isfinite(ngram) ? ngram : 0, 1e-9});
  std::string bars;
  const auto bar = [&](std::string_view name, double value, std::string_view css) {
    if (!std::isfinite(value)) return;
    bars += fmt::format(
        "<span class=\"{}\">{}</span><span class=\"bar\"><i style=\"width:{:.1f}%\"></i></span><span "
        "class=\"v\">{}</span>",
        css, name, std::clamp(value / widest, 0.0, 1.0) * 100, digits(value, 4));
  };
  bar("This model", model, "me");
  bar(ngram_name, ngram, "");
  bar("gzip -9", gzip, "");
  const std::string more =
      fmt::format("<div class=\"bars\">{}</div>{}{}The same {} of {} documents (split {}), none of it trained on.",
                  bars, compared(model, ngram, "the " + ngram_name), compared(model, gzip, "gzip -9"),
                  std::isfinite(real_of(*split, "bytes")) ? human_bytes(real_of(*split, "bytes")) : "bytes",
                  whole(real_of(*split, "documents")), escaped(text_of(*split, "name"), 40));
  return card(kWhat, digits(model, 4), more, "wide");
}

std::string speed_card(const RunRecord& run) {
  std::string more;
  if (run.model_flops_per_second > 0) more = digits(run.model_flops_per_second / 1e9, 3) + " GFLOP/s of model work. ";
  if (run.memory_bytes > 0) more += human_bytes(run.memory_bytes) + " of memory at most.";
  const double speed = run.tokens_per_second.median();
  return card("Training speed, median", std::isfinite(speed) ? count(speed) + " <small>tokens/s</small>" : "unknown",
              more);
}

std::string energy_cards(const Energy& e) {
  const std::string tag = e.kind == "assumed" ? " <span class=\"tag\">assumed</span>" : "";
  std::string per_token = "no meter", total = "no meter", more = escaped(e.meter, 240);
  if (std::isfinite(e.joules_per_token))
    per_token = with_unit(human_joules(e.joules_per_token)) + tag;
  else if (e.kind != "none")
    per_token = "unknown";
  std::string outside;
  if (std::isfinite(e.joules)) {
    total = with_unit(human_joules(e.joules)) + tag;
    if (e.pue > 1) outside += fmt::format("{} with PUE {}. ", human_joules(e.facility_joules), plain(e.pue));
    if (std::isfinite(e.eur)) outside += escaped(money(e.eur)) + ". ";
    if (std::isfinite(e.co2_g)) outside += digits(e.co2_g, 3) + " g CO₂.";
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

std::string model_sentence(const RunRecord& run) {
  const Json& model = part_of(run.train, "model");
  const auto setting = [&](const char* key) {
    const Json& value = part_of(model, key);
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number()) return fmt::format("{:.0f}", value.get<double>());
    std::string text = run.setting("model", key);
    if (text.size() > 1 && text.front() == '"') text = text.substr(1, text.size() - 2);
    return text;
  };
  std::string out = setting("type");
  if (!setting("num_hidden_layers").empty()) out += ", " + setting("num_hidden_layers") + " layers";
  if (!setting("hidden_size").empty()) out += ", width " + setting("hidden_size");
  if (!setting("vocab_size").empty() && setting("vocab_size") != "0") out += ", vocabulary " + setting("vocab_size");
  const double parameters = real_of(run.train, "parameters");
  if (std::isfinite(parameters)) out += ", " + human_count(parameters) + " parameters";
  return out.starts_with(", ") ? out.substr(2) : out;
}

Energy energy_of(const RunRecord& run) {
  Energy e{};
  const Json &total = part_of(run.phases, "total"), &meter = part_of(run.phases, "meter");
  e.kind = meter.is_object() ? text_of(meter, "kind") : "none";
  e.meter = meter.is_object() ? text_of(meter, "text") : "no meter: there is no phases.json, or no meter in it";
  e.joules = real_of(total, "joules");
  e.seconds = real_of(total, "seconds");
  e.facility_joules = real_of(total, "facility_joules");
  e.eur = real_of(total, "eur");
  e.co2_g = real_of(total, "co2_g");
  e.pue = real_of(run.phases, "pue");
  e.joules_per_token = real_of(part_of(part_of(run.phases, "phases"), "train"), "joules_per_token");
  return e;
}

std::string page_head(const RunRecord& run) {
  std::string state = text_of(run.status, "state");
  if (state != "done" && state != "failed" && state != "stopped" && state != "running") state = "unknown";
  std::string head = fmt::format(
      "<header><div class=\"brand\">Tokenwerk run report</div><h1>{}</h1><p><span class=\"state {}\">{}</span> {}</p>",
      escaped(run.name, 120), state, state, escaped(text_of(run.status, "reason"), 300));
  const std::string model = model_sentence(run);
  if (!model.empty()) head += "<p>" + escaped(model, 300) + "</p>";
  std::string place;
  if (!text_of(run.status, "host").empty()) place = "On " + escaped(text_of(run.status, "host"), 80);
  const double ranks = real_of(run.train, "ranks"), threads = real_of(run.train, "threads");
  if (ranks > 0) place += fmt::format("{}{:.0f} {}", place.empty() ? "" : ", ", ranks, ranks == 1 ? "rank" : "ranks");
  if (threads > 0) place += fmt::format(" × {:.0f} {}", threads, threads == 1 ? "thread" : "threads");
  const std::string started = text_of(run.status, "started"), updated = text_of(run.status, "updated");
  if (!started.empty()) place += fmt::format(", {} to {}", time_of_day(started), time_of_day(updated));
  if (!place.empty()) head += "<p>" + place + "</p>";
  head += "</header>\n<div class=\"cards\">" + result_card(run);

  const Json* split = run.headline_split();
  head += split ? card("Held-out loss", digits(real_of(*split, "loss"), 4),
                       "Perplexity " + digits(real_of(*split, "perplexity"), 4) + " a token.")
                : card("Training loss, last step", digits(run.final_loss, 4), "Not evaluated on held-out text.");
  const Energy e = energy_of(run);
  head += speed_card(run) + energy_cards(e);

  std::string more = std::isfinite(run.step) && run.step_lines ? fmt::format("In {} steps. ", whole(run.step)) : "";
  if (run.skipped > 0) more += whole(run.skipped) + " steps were left out. ";
  if (run.not_finite > 0) more += whole(double(run.not_finite)) + " losses were not finite.";
  head += card("Tokens trained", count(run.trained_tokens), more);
  const double first = real_of(run.train, "start_to_first_step_seconds");
  head += card("Time of all phases", std::isfinite(e.seconds) ? human_seconds(e.seconds) : "unknown",
               std::isfinite(first) ? "First step " + human_seconds(first) + " after the start." : "");
  head += card("Parameters", count(real_of(run.train, "parameters")),
               std::isfinite(real_of(run.train, "flops_per_token"))
                   ? digits(real_of(run.train, "flops_per_token") / 1e6, 3) + " MFLOP a token trained."
                   : "");
  const Json& tokens = part_of(run.train, "arena_bytes");
  head +=
      card("Memory of a rank, planned", tokens.is_number() ? with_unit(human_bytes(tokens.get<double>())) : "unknown",
           "Weights, gradients, optimiser and activations.");
  return head + "</div>\n";
}

std::string curves(const RunRecord& run) {
  // Joules of a token in the unit they are read in.
  Curve energy = run.joules_per_token;
  const double typical = energy.median();
  const double factor = typical < 1e-3 ? 1e6 : typical < 1 ? 1e3 : 1;
  for (double& value : energy.value) value *= factor;
  const std::string unit = factor == 1e6 ? "µJ a token" : factor == 1e3 ? "mJ a token" : "J a token";
  const bool half = !energy.empty();
  std::string body = "<div class=\"charts\">";
  body += chart({.title = "Loss", .y_label = "nats a token", .tall = true},
                {{"training", "a", &run.loss}, {"held-out", "b", &run.eval_loss, true}});
  body += chart({.title = "Learning rate", .half = half, .from_zero = true}, {{"learning rate", "a", &run.lr}});
  body += chart({.title = "Gradient norm", .y_label = "before clipping", .half = half, .from_zero = true},
                {{"gradient norm", "a", &run.grad_norm}});
  body += chart({.title = "Speed", .y_label = "tokens/s", .half = half, .from_zero = true},
                {{"tokens/s", "a", &run.tokens_per_second}});
  if (half)
    body += chart({.title = "Energy" + std::string(energy_of(run).kind == "assumed" ? " (assumed)" : ""),
                   .y_label = unit,
                   .half = true,
                   .from_zero = true},
                  {{unit, "a", &energy}});
  return section("curves", "Training", body + "</div>\n");
}

std::string samples(const RunRecord& run) {
  constexpr size_t kMaxSamples = 16, kMaxText = 2500, kMaxPrompt = 600;
  const Json& list = part_of(run.samples, "samples");
  if (!list.is_array() || list.empty())
    return section("samples", "Generated text", missing("No samples.json, or no sample in it."));
  std::string body = fmt::format(
      "<p class=\"note\">Temperature {}, top-k {}, top-p {}, seed {}. Grey is the prompt, the rest is "
      "the model's.</p><div class=\"samples\">",
      plain(real_of(run.samples, "temperature")), whole(real_of(run.samples, "top_k")),
      plain(real_of(run.samples, "top_p")), whole(real_of(run.samples, "seed")));
  size_t shown = 0;
  for (const Json& sample : list) {
    if (shown++ == kMaxSamples) break;
    const Json& stopped = part_of(sample, "stopped");
    const double tokens = real_of(sample, "tokens"), speed = real_of(sample, "tokens_per_second");
    std::string foot = std::isfinite(tokens) ? whole(tokens) + " tokens" : "";
    if (std::isfinite(speed)) foot += ", " + digits(speed, 3) + " tokens/s";
    if (stopped.is_boolean()) foot += stopped.get<bool>() ? ", ended by the model" : ", cut at the limit";
    body += fmt::format(
        "<article class=\"sample\"><p class=\"text\" dir=\"auto\"><span "
        "class=\"prompt\">{}</span><mark>{}</mark></p><footer>{}</footer></article>\n",
        escaped(text_of(sample, "prompt"), kMaxPrompt), escaped(text_of(sample, "text"), kMaxText), foot);
  }
  body += "</div>\n";
  if (list.size() > kMaxSamples)
    body += missing(fmt::format("{} more are in samples.json.", list.size() - kMaxSamples));
  return section("samples", "Generated text", body);
}

}  // namespace tw::report
