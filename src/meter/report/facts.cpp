#include "src/meter/report/facts.h"

#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/html.h"

namespace tw::report {

std::string model_sentence(const RunRecord& run) {
  const Json& model = part_of(run.train, "model");
  const auto setting = [&](const char* key) {
    const Json& value = part_of(model, key);
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number()) return fmt::format("{:.0f}", value.get<double>());
    return run.setting("model", key);
  };
  std::string out = setting("type");
  if (!setting("num_hidden_layers").empty()) out += ", " + setting("num_hidden_layers") + " layers";
  if (!setting("hidden_size").empty()) out += ", width " + setting("hidden_size");
  if (!setting("vocab_size").empty() && setting("vocab_size") != "0") out += ", vocabulary " + setting("vocab_size");
  const double parameters = real_of(run.train, "parameters");
  if (std::isfinite(parameters)) out += ", " + human_count(parameters) + " parameters";
  const Json& adapters = part_of(run.train, "adapters");
  const double rank = real_of(adapters, "rank"), trained = real_of(adapters, "trained_parameters");
  if (std::isfinite(rank) && std::isfinite(trained)) out += fmt::format(", of which adapters of rank {:.0f} were trained: {}", rank, human_count(trained));
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
  e.price = real_of(run.phases, "price_eur_per_kwh");
  e.node_hour_price = real_of(run.phases, "price_eur_per_node_hour");
  e.co2_g_per_kwh = real_of(run.phases, "co2_g_per_kwh");
  e.joules_per_token = real_of(part_of(part_of(run.phases, "phases"), "train"), "joules_per_token");
  return e;
}

std::vector<Baseline> baselines_of(const Json& split) {
  std::vector<Baseline> list;
  const Json& baselines = part_of(split, "baselines");
  if (!baselines.is_array()) return list;
  for (const Json& b : baselines) {
    const double bits = real_of(b, "bits_per_byte");
    if (std::isfinite(bits) && list.size() < 8) list.push_back({shortened(text_of(b, "name"), 60), bits});
  }
  return list;
}

std::string state_of(const RunRecord& run) {
  const std::string state = text_of(run.status, "state");
  for (const char* known : {"done", "failed", "stopped", "running"})
    if (state == known) return state;
  return "unknown";
}

std::string time_of_day(const std::string& iso) {
  const bool ours = iso.size() == 20 && iso[10] == 'T' && iso.back() == 'Z';
  return escaped(ours ? iso.substr(0, 10) + " " + iso.substr(11, 5) + " UTC" : iso, 30);
}

std::string folder_of(const RunRecord& run) {
  std::string folder = run.folder.string();
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

std::string command_of(const RunRecord& run) {
  const std::string command = text_of(run.train, "command");
  return command.empty() ? text_of(run.status, "command") : command;
}

double training_seconds(const RunRecord& run) {
  return real_of(part_of(part_of(run.phases, "phases"), "train"), "seconds");
}

}  // namespace tw::report
