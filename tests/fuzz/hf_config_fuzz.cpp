// config.json of Hugging Face, and the model as a checkpoint describes it (first line "ours").
#include <nlohmann/json.hpp>

#include "src/interop/hf.h"
#include "src/nn/model_config.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(hf_config) {
  ModelConfig model;
  if (input.starts_with("ours\n")) {
    model = model_config_from_json(nlohmann::json::parse(input.substr(5), nullptr, false));
    expect(model_config_from_json(to_json(model)) == model, "what was read can be written and read again");
  } else {
    static const Folder folder;
    folder.write("config.json", input);
    model = read_hf_config(folder.path());
  }
  model.check();
}
