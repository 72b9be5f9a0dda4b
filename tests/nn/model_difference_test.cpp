#include "src/nn/model_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/nn/small_model.h"

namespace tw {
namespace {

TEST(ModelDifference, TheFirstTenTensorsAreNamed) {
  const ModelConfig a = small_config(Architecture::gpt2, true);
  ModelConfig b = a;
  EXPECT_EQ(model_difference(a, b), "");
  b.max_position_embeddings = 32;
  EXPECT_EQ(model_difference(a, b), "its tensors differ: positions.weight: (16, 24) stored, (32, 24) wanted");
  b = a, b.tie_word_embeddings = false;
  EXPECT_EQ(model_difference(a, b), "its tensors differ: head.weight: none stored, (40, 24) wanted");
  EXPECT_EQ(model_difference(b, a), "its tensors differ: head.weight: (40, 24) stored, none wanted");
  b = a, b.num_hidden_layers = 3;
  const std::string more = model_difference(a, b);
  EXPECT_EQ(std::count(more.begin(), more.end(), ';'), 10) << more;
  EXPECT_TRUE(more.ends_with("; and 2 more")) << more;
  b = a, b.norm_eps = 0.25;
  EXPECT_THAT(model_difference(a, b), testing::HasSubstr("settings differ"));
  EXPECT_THAT(model_difference(a, b), testing::HasSubstr("\"norm_eps\":0.25"));
}

}  // namespace
}  // namespace tw
