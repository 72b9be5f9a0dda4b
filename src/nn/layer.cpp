#include "src/nn/layer.h"

#include "src/nn/int8_weights.h"

namespace tw {

DType ModelWeights::dtype() const { return int8 ? int8->dtype() : flat.dtype; }

ParameterViews::ParameterViews(const ParameterTable& table, const ModelWeights& weights, View gradients)
    : table_(&table), weights_(weights), gradients_(gradients) {
  TW_CHECK(!weights.int8 || !gradients, bug, "int8 weights have no gradients");
}

Parameter ParameterViews::operator()(const std::string& name) const {
  const auto of = [&](const ParameterInfo& p, ConstView flat, View gradients) {
    const int64_t end = p.offset + p.count();
    return Parameter{.value = flat.flat(p.offset, end).reshape(p.shape),
                     .gradient = gradients ? gradients.flat(p.offset, end).reshape(p.shape) : View{}};
  };
  if (weights_.int8) return (*weights_.int8)(name);
  if (!weights_.adapter_table) return of((*table_)[name], weights_.flat, gradients_);
  const bool adapter = name.ends_with(".lora_a") || name.ends_with(".lora_b");
  return adapter ? of((*weights_.adapter_table)[name], weights_.adapters, gradients_) : of((*table_)[name], weights_.flat, View{});
}

Checkpointing checkpointing_named(const std::string& name) {
  if (name == "none") return Checkpointing::none;
  if (name == "selective") return Checkpointing::selective;
  if (name == "full") return Checkpointing::full;
  TW_FAIL(config, "training.activation_checkpointing = \"{}\" is not known: none, selective or full", name);
}

int plan_activation(ArenaPlan& plan, const PassSizes& sizes, const std::string& layer, const std::string& name,
                    Shape shape, DType dtype) {
  if (sizes.training && sizes.checkpointing == Checkpointing::full) {
    const std::string kind = layer.substr(layer.find('.', layer.find('.') + 1) + 1);
    return plan.add_shared("activations", "block." + kind + name, layer + name, shape, dtype);
  }
  if (sizes.training) return plan.add("activations", layer + name, shape, dtype);
  return plan.add_shared("activations", "forward." + name, layer + name, shape, dtype);
}

}  // namespace tw
