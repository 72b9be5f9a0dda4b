#include "src/nn/model_difference.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "src/nn/parameters.h"

namespace tw {

std::string model_difference(const ModelConfig& stored, const ModelConfig& wanted, size_t shown) {
  if (stored == wanted) return "";
  const ParameterTable there(stored), here(wanted);
  std::map<std::string, std::pair<const ParameterInfo*, const ParameterInfo*>> both;
  for (const ParameterInfo& p : there.all()) both[p.name].first = &p;
  for (const ParameterInfo& p : here.all()) both[p.name].second = &p;
  std::string text;
  size_t count = 0;
  const auto add = [&](const std::string& name) {
    const auto [a, b] = both[name];
    if (a && b && a->shape == b->shape) return;
    if (++count > shown) return;
    text += fmt::format("{}{}: {} stored, {} wanted", count > 1 ? "; " : "", name, a ? a->shape.str() : "none", b ? b->shape.str() : "none");
  };
  // In the order of the model, then what it lacks.
  for (const ParameterInfo& p : here.all()) add(p.name);
  for (const ParameterInfo& p : there.all())
    if (!both[p.name].second) add(p.name);
  if (count == 0) return fmt::format("its tensors are the same, settings differ: {} stored, {} wanted", to_json(stored).dump(), to_json(wanted).dump());
  return "its tensors differ: " + (count > shown ? fmt::format("{}; and {} more", text, count - shown) : text);
}

}  // namespace tw
