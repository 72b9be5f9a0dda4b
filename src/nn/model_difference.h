// How two models differ, for people.
#pragma once
#include <string>

#include "src/nn/model_config.h"

namespace tw {

// "its tensors differ: head.weight: none stored, (40, 24) wanted; ...": names and shapes, the first `shown` of them, then
// how many more. Of models with the same tensors, the settings of both. "" where they are equal.
std::string model_difference(const ModelConfig& stored, const ModelConfig& wanted, size_t shown = 10);

}  // namespace tw
