#include "src/nn/layer.h"

#include "src/nn/int8_weights.h"

namespace tw {

DType ModelWeights::dtype() const { return int8 ? int8->dtype() : flat.dtype; }

ParameterViews::ParameterViews(const ParameterTable& table, const ModelWeights& weights, View gradients)
    : table_(&table), weights_(weights), gradients_(gradients) {
  TW_CHECK(!weights.int8 || !gradients, bug, "int8 weights have no gradients");
}

Parameter ParameterViews::operator()(const std::string& name) const {
  if (weights_.int8) return (*weights_.int8)(name);
  const ParameterInfo& p = (*table_)[name];
  const int64_t end = p.offset + p.count();
  return {.value = weights_.flat.flat(p.offset, end).reshape(p.shape),
          .gradient = gradients_ ? gradients_.flat(p.offset, end).reshape(p.shape) : View{}};
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
