#include "src/nn/adapter_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "src/core/error.h"
#include "src/core/json_guard.h"

namespace tw {

AdapterTargets adapter_targets_named(const std::string& name) {
  if (name == "attention") return AdapterTargets::attention;
  if (name == "mlp") return AdapterTargets::mlp;
  if (name == "all") return AdapterTargets::all;
  TW_FAIL(config, "lora.targets = \"{}\" is not known: attention, mlp or all", name);
}

std::string name_of(AdapterTargets targets) {
  return targets == AdapterTargets::attention ? "attention" : targets == AdapterTargets::mlp ? "mlp" : "all";
}

void AdapterConfig::check() const {
  TW_CHECK(rank >= 1 && rank <= 1 << 16, config, "lora.rank = {} must be from 1 to 65536", rank);
  TW_CHECK(std::isfinite(alpha) && alpha > 0, config, "lora.alpha = {} must be a positive number", alpha);
}

nlohmann::json to_json(const AdapterConfig& config) {
  return {{"rank", config.rank}, {"alpha", config.alpha}, {"targets", name_of(config.targets)}};
}

AdapterConfig parse_adapter_config(const std::string& text, const std::string& where) {
  check_json_structure(text, {}, where);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  const auto bad = [&](const char* key) { TW_FAIL(data, "{}: the adapters' \"{}\" is missing or of the wrong kind", where, key); };
  TW_CHECK(json.is_object(), data, "{}: what is said of the adapters is no JSON object", where);
  AdapterConfig config;
  const auto rank = json.find("rank"), alpha = json.find("alpha"), targets = json.find("targets");
  if (rank == json.end() || !whole_number(*rank, 1, 1 << 16)) bad("rank");
  if (alpha == json.end() || !alpha->is_number()) bad("alpha");
  if (targets == json.end() || !targets->is_string()) bad("targets");
  config.rank = *whole_number(*rank, 1, 1 << 16);
  config.alpha = alpha->get<double>();
  try {
    config.targets = adapter_targets_named(targets->get<std::string>());
    config.check();
  } catch (const Error& e) {  // the settings are the file's, not the user's
    TW_FAIL(data, "{}: {}", where, e.what());
  }
  return config;
}

}  // namespace tw
