#include "src/interop/model_source.h"

#include <nlohmann/json.hpp>

#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/names.h"
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
  const ModelConfig model =
      model_config_from_json(nlohmann::json::parse(checkpoint.info().model_json, nullptr, false));
  LoadedModel m{model, ParameterTable(model), {}, find_tokenizer(fs::absolute(checkpoint.folder())),
                fmt::format("checkpoint {}, step {}", checkpoint.folder().string(), checkpoint.info().step)};
  m.weights = Tensor({m.table.flat_count()}, DType::fp32);
  for (const ParameterInfo& p : m.table.all())
    checkpoint.read(p.name, "weight", 0, p.count(), m.weights.view().flat(p.offset, p.offset + p.count()));
  return m;
}

}  // namespace tw
