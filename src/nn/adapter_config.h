// Which low-rank adapters a model has (nn/adapter.h).
#pragma once
#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>

namespace tw {

enum class AdapterTargets { attention, mlp, all };
AdapterTargets adapter_targets_named(const std::string& name);  // Error(config)
std::string name_of(AdapterTargets targets);

struct AdapterConfig {
  int64_t rank = 0;  // r; 0 = no adapters
  double alpha = 16;
  AdapterTargets targets = AdapterTargets::all;
  bool any() const noexcept { return rank > 0; }
  float scale() const noexcept { return float(alpha / double(rank)); }
  void check() const;  // Error(config) naming the key that cannot be
  bool operator==(const AdapterConfig&) const = default;
};
nlohmann::json to_json(const AdapterConfig& config);
AdapterConfig parse_adapter_config(const std::string& json, const std::string& where);  // Error(data) naming `where` and the key

}  // namespace tw
