#include "src/nn/layer.h"

namespace tw {

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
