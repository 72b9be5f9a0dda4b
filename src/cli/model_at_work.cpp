#include "src/cli/model_at_work.h"

#include "src/cli/arguments.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/nn/precision.h"

namespace tw {

ModelAtWork::ModelAtWork(const std::filesystem::path& path, DType dtype, const std::filesystem::path& tokenizer_file,
                         const Stream& stream, Quantization quantization)
    : ModelAtWork(load_model(path), dtype, tokenizer_file, stream, quantization) {
  source = path;
}

ModelAtWork::ModelAtWork(LoadedModel loaded, DType dtype, const std::filesystem::path& tokenizer_file, const Stream& stream,
                         Quantization quantization)
    : model(loaded.model),
      table(std::move(loaded.table)),
      int8(quantization == Quantization::int8 ? std::make_unique<const Int8Weights>(table, loaded.weights.view(), dtype, stream) : nullptr),
      tokenizer_path(tokenizer_file.empty() ? loaded.tokenizer : tokenizer_file),
      origin(loaded.origin),
      adapters(std::move(loaded.adapters)) {
  if (int8) {
    loaded.weights = {};
    log_info("weights in 8 bits: {} instead of {} in {}", human_bytes(double(int8->bytes())),
             human_bytes(double(table.flat_count()) * double(size_of(dtype))), name_of(dtype));
  } else {
    weights = in_precision(std::move(loaded.weights), dtype, stream);
  }
  if (tokenizer_path.empty()) return;
  tokenizer = TextTokenizer::load(tokenizer_path);
  TW_CHECK(tokenizer->vocab_size() <= model.vocab_size, config, "{} has {} tokens, but the model of {} knows {}: another tokenizer's",
           tokenizer_path.string(), tokenizer->vocab_size(), origin, model.vocab_size);
}

std::string ModelAtWork::precision() const {
  return std::string(name_of(inference_weights().dtype())) + (int8 ? ", int8 weights" : "");
}

const TextTokenizer& ModelAtWork::text() const {
  TW_CHECK(tokenizer, no_input, "no tokenizer lies beside {}: name one with --tokenizer, or give token ids with --ids",
           source.string());
  return *tokenizer;
}

Config load_model_config(const std::filesystem::path& path, const Arguments& arguments) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::exists(path / "config.toml")) files.push_back(path / "config.toml");
  files.insert(files.end(), arguments.config_files().begin(), arguments.config_files().end());
  return load_config(files, arguments.settings());
}

DType dtype_of(const Config& config) { return dtype_named(config.get<std::string>("training.dtype")); }

}  // namespace tw
