#include "src/interop/hf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "src/interop/safetensors.h"
#include "tests/nn/small_model.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

class HuggingFace : public testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("tw-hf-" + std::to_string(getpid()));
  void TearDown() override { fs::remove_all(folder_); }
  nlohmann::json config() { return nlohmann::json::parse(read_file(folder_ / "config.json")); }
  void set(const nlohmann::json& j) { write_file_atomically(folder_ / "config.json", j.dump()); }
};

ModelConfig exportable(Architecture type, bool tied) {
  ModelConfig m = small_config(type, tied);
  m.make_vocab_size_divisible_by = 64;  // as the importer pads
  return m;
}

TEST_F(HuggingFace, ExportThenImportGivesTheSameModel) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama})
    for (bool tied : {true, false}) {
      const ModelConfig model = exportable(type, tied);
      const ParameterTable table(model);
      const Tensor flat = random_weights(model, table, 7);
      write_hf_model(folder_, model, table, flat.view(), {.bos_token_id = 1, .eos_token_id = 2});
      EXPECT_EQ(read_hf_config(folder_), model);
      Tensor back({table.flat_count()}, DType::fp32);
      read_hf_weights(folder_, model, table, back.view());
      EXPECT_EQ(0, std::memcmp(flat.view().data, back.view().data, flat.view().bytes()));
      EXPECT_EQ(SafetensorsFile(folder_ / "model.safetensors").find("lm_head.weight") == nullptr, tied);
    }
}

TEST_F(HuggingFace, OldAndNewRopeKeysAreRead) {
  const ModelConfig model = exportable(Architecture::llama, true);
  const ParameterTable table(model);
  write_hf_model(folder_, model, table, random_weights(model, table, 7).view(), {});
  auto j = config();
  j.erase("rope_parameters");
  j["rope_theta"] = 500000.0;
  set(j);
  EXPECT_EQ(read_hf_config(folder_).rope_theta, 500000.0);
  j.erase("rope_theta");
  j["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 250000.0}};
  set(j);
  EXPECT_EQ(read_hf_config(folder_).rope_theta, 250000.0);
  j["rope_parameters"]["partial_rotary_factor"] = 0.5;
  set(j);
  EXPECT_THROW(read_hf_config(folder_), Error);
  j["rope_parameters"].erase("partial_rotary_factor");
  j["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}};
  set(j);
  EXPECT_THROW(read_hf_config(folder_), Error);
}

TEST_F(HuggingFace, WhatCannotBeRunIsRefusedByName) {
  const ModelConfig model = exportable(Architecture::llama, true);
  const ParameterTable table(model);
  write_hf_model(folder_, model, table, random_weights(model, table, 7).view(), {});
  const auto good = config();
  const std::pair<const char*, nlohmann::json> bad[] = {{"model_type", "bert"},  {"attention_bias", true}, {"hidden_size", "wide"},
                                                        {"hidden_act", "relu"},  {"vocab_size", -5},       {"num_attention_heads", 0},
                                                        {"num_key_value_heads", 3}};
  for (const auto& [key, value] : bad) {
    auto j = good;
    j[key] = value;
    set(j);
    try {
      read_hf_config(folder_);
      ADD_FAILURE() << key;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
  auto j = good;
  j["num_hidden_layers"] = 3;  // weights of a layer are missing
  set(j);
  const ModelConfig larger = read_hf_config(folder_);
  const ParameterTable larger_table(larger);
  Tensor flat({larger_table.flat_count()}, DType::fp32);
  EXPECT_THROW(read_hf_weights(folder_, larger, larger_table, flat.view()), Error);
  j["num_hidden_layers"] = 1;  // weights of a layer are left over
  set(j);
  const ModelConfig smaller = read_hf_config(folder_);
  const ParameterTable smaller_table(smaller);
  EXPECT_THROW(read_hf_weights(folder_, smaller, smaller_table, flat.view()), Error);
  write_file_atomically(folder_ / "config.json", std::string(100000, '['));
  EXPECT_THROW(read_hf_config(folder_), Error);
}

TEST_F(HuggingFace, AModelOfAnotherFormWritesNothing) {
  ModelConfig model = exportable(Architecture::gpt2, true);
  model.num_key_value_heads = 2;
  const ParameterTable table(model);
  EXPECT_THROW(write_hf_model(folder_, model, table, random_weights(model, table, 7).view(), {}), Error);
  EXPECT_FALSE(fs::exists(folder_));
}

TEST_F(HuggingFace, AnIndexNamesNoFileOutsideItsFolder) {
  const ModelConfig model = exportable(Architecture::llama, true);
  const ParameterTable table(model);
  write_hf_model(folder_, model, table, random_weights(model, table, 7).view(), {});
  fs::rename(folder_ / "model.safetensors", folder_ / "model-00001-of-00001.safetensors");
  Tensor flat({table.flat_count()}, DType::fp32);
  const auto index = [&](const char* name) {
    write_file_atomically(folder_ / "model.safetensors.index.json",
                          nlohmann::json{{"weight_map", {{"model.norm.weight", name}}}}.dump());
  };
  index("model-00001-of-00001.safetensors");
  EXPECT_NO_THROW(read_hf_weights(folder_, model, table, flat.view()));
  index("../model-00001-of-00001.safetensors");
  EXPECT_THROW(read_hf_weights(folder_, model, table, flat.view()), Error);
}

}  // namespace
}  // namespace tw
