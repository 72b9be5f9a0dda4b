// What a checkpoint says of its model, of the rule for steps to leave out and of its adapters; between them lines "%%%".
#include <nlohmann/json.hpp>

#include "src/core/json_guard.h"
#include "src/nn/adapter_config.h"
#include "src/nn/model_config.h"
#include "src/train/skip_rule.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(trainer_state) {
  const std::string model(next_part(input)), rule(next_part(input)), adapters(input);
  if (!adapters.empty()) {
    const AdapterConfig config = parse_adapter_config(adapters, "MANIFEST");
    expect(parse_adapter_config(to_json(config).dump(), "again") == config, "what is said of adapters comes back as it was stored");
  }
  if (!rule.empty()) {
    SkipRule skip(3.0);
    skip.from_json(rule);
    for (int i = 0; i < 200; ++i) skip.judge(1.0 + i % 7, 0.5);
    SkipRule again(3.0);
    again.from_json(skip.to_json());
    expect(again.to_json() == skip.to_json(), "the rule comes back as it was stored");
  }
  check_json_structure(model, {}, "MANIFEST");
  const ModelConfig config = model_config_from_json(nlohmann::json::parse(model, nullptr, false));
  expect(model_config_from_json(to_json(config)) == config, "a model comes back as it was stored");
}
