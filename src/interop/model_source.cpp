#include "src/interop/model_source.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/checkpoint/base.h"
#include "src/checkpoint/names.h"
#include "src/core/thread_team.h"
#include "src/interop/hf.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// The tokenizer beside a model: in the folder itself, or in the run that holds the checkpoint.
fs::path find_tokenizer(fs::path folder) {
  for (int up = 0; up < 3 && !folder.empty(); ++up, folder = folder.parent_path())
    for (const char* name : {"tokenizer.json", "data/tokenizer.json", "tokenizer.model"})
      if (fs::exists(folder / name)) return folder / name;
  return {};
}

ModelConfig model_of(const Checkpoint& checkpoint) {
  return model_config_from_json(nlohmann::json::parse(checkpoint.info().model_json, nullptr, false));
}

// Sizes that are claimed are those of tensors that are there, before memory is taken for them.
Tensor read_parameters(const Checkpoint& checkpoint, const ParameterTable& table) {
  for (const ParameterInfo& p : table.all())
    TW_CHECK(std::any_of(checkpoint.tensors().begin(), checkpoint.tensors().end(),
                         [&](const auto& t) { return t.slot == "weight" && t.name == p.name && t.shape == p.shape; }),
             data, "{} has no tensor {} (weight) of {}", checkpoint.folder().string(), p.name, p.shape.str());
  Tensor flat({table.flat_count()}, DType::fp32);
  for (const ParameterInfo& p : table.all()) checkpoint.read(p.name, "weight", 0, p.count(), flat.view().flat(p.offset, p.offset + p.count()));
  return flat;
}

LoadedAdapters read_adapters(const Checkpoint& checkpoint, const ModelConfig& model) {
  LoadedAdapters a{parse_adapter_config(checkpoint.info().adapter_json, checkpoint.folder().string())};
  a.values = read_parameters(checkpoint, adapter_table(model, a.config));
  return a;
}

}  // namespace

LoadedModel load_model(const fs::path& path) {
  TW_CHECK(fs::exists(path) || path.filename() == kBestName, no_input, "{} does not exist", path.string());
  if (fs::exists(path / "config.json")) {
    const ModelConfig model = read_hf_config(path);
    LoadedModel m{model, ParameterTable(model), {}, find_tokenizer(fs::absolute(path)), "Hugging Face folder " + path.string()};
    m.weights = Tensor({m.table.flat_count()}, DType::fp32);
    read_hf_weights(path, model, m.table, m.weights.view());
    return m;
  }
  const Checkpoint checkpoint = Checkpoint::open(path);
  const ModelConfig model = model_of(checkpoint);
  LoadedModel m{model, ParameterTable(model), {}, find_tokenizer(fs::absolute(checkpoint.folder())),
                fmt::format("checkpoint {}, step {}", checkpoint.folder().string(), checkpoint.info().step)};
  if (checkpoint.info().adapter_json.empty()) {
    m.weights = read_parameters(checkpoint, m.table);
    return m;
  }
  m.adapters = read_adapters(checkpoint, model);
  const Checkpoint base = Checkpoint::open(base_of(checkpoint));
  TW_CHECK(model_of(base) == model, data, "{} holds another model than the adapters of {} are for", base.folder().string(), checkpoint.folder().string());
  m.weights = read_parameters(base, m.table);
  WeightsHash hash;
  for (const ParameterInfo& p : m.table.all()) hash.add(p.name, m.weights.view().flat(p.offset, p.offset + p.count()));
  const std::string found = hash.hex();
  TW_CHECK(found == checkpoint.info().base_hash, data, "{}: these are not the weights that the adapters of {} were trained beside: hash {:.12}, not {:.12}",
           base.folder().string(), checkpoint.folder().string(), found, checkpoint.info().base_hash);
  ThreadTeam team(1);
  merge_adapters(model, m.adapters->config, m.table, m.weights.view(), m.adapters->values.view(), Stream(team));
  m.origin += fmt::format(", adapters of rank {} merged", m.adapters->config.rank);
  return m;
}

}  // namespace tw
