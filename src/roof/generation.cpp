#include "src/roof/generation.h"

#include <algorithm>

#include "kernels/sampling.h"
#include "src/core/format.h"
#include "src/core/thread_team.h"
#include "src/machine/kernel_files.h"
#include "src/nn/decoder.h"
#include "src/nn/initialize.h"
#include "src/nn/precision.h"

namespace tw {
namespace {

constexpr int64_t kTurn = 8;                            // tokens between two readings of the memory
constexpr double kMemory = double(size_t(256) << 20);   // that is read: far beyond the caches

double bytes_of_a_token(const ModelConfig& model, const ParameterTable& table, const ModelWeights& weights) {
  const ParameterViews views(table, weights, View{});
  double bytes = 0;
  for (const ParameterInfo& p : table.all()) {
    if (p.shape.rank() < 2 || p.name == "positions.weight") continue;
    if (p.name == "tokens.weight" && !model.tie_word_embeddings) continue;  // a row of it alone
    const Parameter parameter = views(p.name);
    bytes += double(parameter.value.bytes() + parameter.scales.bytes());
  }
  return bytes;
}

}  // namespace

GenerationReport measure_generation(const ModelConfig& model, const Stream& stream, const GenerationOptions& options) {
  const int64_t context = options.prompt + 2 * options.tokens;
  TW_CHECK(options.prompt >= 1 && options.tokens >= 1 && context <= model.max_position_embeddings, config,
           "{} tokens are generated twice after {}: the model has {} positions (model.max_position_embeddings)", options.tokens, options.prompt,
           model.max_position_embeddings);
  const ParameterTable table(model);
  const double needed = double(table.flat_count()) * (sizeof(float) + size_of(options.dtype)), there = read_memory().usable();
  TW_CHECK(needed <= there, config, "weights of {} do not fit: {} are free", human_bytes(needed), human_bytes(there));
  GenerationReport report{.model = model, .dtype = options.dtype, .quantization = options.quantization, .parameters = table.parameter_count(),
                          .prompt = options.prompt, .tokens = options.tokens, .threads = stream.team().size()};

  Tensor flat({table.flat_count()}, DType::fp32);
  initialize_weights(model, table, 1, 0, flat.view(), stream.host());
  std::unique_ptr<Int8Weights> int8;
  Tensor weights;
  if (options.quantization == Quantization::int8) {
    int8 = std::make_unique<Int8Weights>(table, flat.view(), options.dtype, stream);
  } else {
    weights = in_precision(std::move(flat), options.dtype, stream);
  }
  flat = {};
  const ModelWeights at_work = int8 ? ModelWeights(*int8) : ModelWeights(weights.view());
  report.weight_bytes = int8 ? double(int8->bytes()) : double(weights.view().bytes());
  report.read_bytes = bytes_of_a_token(model, table, at_work);

  Decoder decoder(model, table, at_work, 1, options.prompt, context, stream);
  Tensor logits({1, model.padded_vocab_size()}, DType::fp32, stream.device()), picked({1}, DType::i32, stream.device()),
      host = Tensor::beside(stream, {1, 1}, DType::i32);
  const auto token = [&](const Stream& s) {
    decoder.forward(host.view(), logits.view(), true, s);
    pick_token({.logits = logits.view(), .id = picked.view(), .vocab = model.vocab_size, .temperature = 0}, s);
    copy(picked.view(), host.view(), s);
    synchronize(s);
  };
  std::vector<int32_t> prompt(static_cast<size_t>(options.prompt));
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = int32_t(int64_t(i) % model.vocab_size);
  decoder.forward(ConstView(prompt.data(), DType::i32, {1, options.prompt}), logits.view(), true, stream);
  synchronize(stream);

  std::unique_ptr<MemoryReader> reader;
  if (stream.device().is_cpu()) reader = std::make_unique<MemoryReader>(stream, kMemory);
  std::vector<double> seconds, rates;
  for (int64_t i = 0; i < options.tokens; ++i) {
    if (i % kTurn == 0) {
      if (options.on_tokens) options.on_tokens();
      if (reader) rates.push_back(reader->rate());
    }
    const double start = now_seconds();
    token(stream);
    seconds.push_back(now_seconds() - start);
  }
  report.token = spread_of(seconds);
  report.read_rate = median_of(rates);

  OpTimes times(options.roof);
  for (int64_t i = 0; i < options.tokens; ++i) {
    if (i % kTurn == 0 && options.on_tokens) options.on_tokens();
    times.begin_step();
    const double start = now_seconds();
    token(stream.watched_by(&times));
    times.end_step(now_seconds() - start);
  }
  report.ops = times.times();
  return report;
}

}  // namespace tw
