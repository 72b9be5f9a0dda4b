#include "src/nn/layer.h"

namespace tw {

int plan_activation(ArenaPlan& plan, const PassSizes& sizes, const std::string& layer, const std::string& name,
                    Shape shape, DType dtype) {
  if (sizes.training) return plan.add("activations", layer + name, shape, dtype);
  return plan.add_shared("activations", "forward." + name, layer + name, shape, dtype);
}

}  // namespace tw
