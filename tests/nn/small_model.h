// A small model with every weight, gain and bias random, so that a forgotten one shows.
#pragma once
#include <deque>
#include <vector>

#include "src/core/rng.h"
#include "src/nn/transformer.h"
#include "tests/support/test_device.h"

namespace tw {

inline ModelConfig small_config(Architecture type, bool tied) {
  ModelConfig m;
  m.type = type;
  m.vocab_size = 37;
  m.make_vocab_size_divisible_by = 8;
  m.hidden_size = 24;
  m.intermediate_size = 40;
  m.num_hidden_layers = 2;
  m.num_attention_heads = 4;
  m.num_key_value_heads = type == Architecture::gpt2 ? 4 : 2;
  m.head_dim = type == Architecture::gpt2 ? 6 : 10;  // 4 x 10 is not 24
  m.max_position_embeddings = 16;
  m.hidden_act = type == Architecture::gpt2 ? "gelu_new" : "silu";
  m.tie_word_embeddings = tied;
  return m;
}

inline Tensor random_weights(const ModelConfig& model, const ParameterTable& table, uint64_t seed) {
  Tensor flat = tensor({table.flat_count()}, DType::fp32);
  const Rng rng{seed, RngStream::test, 0, 0};
  for (const ParameterInfo& p : table.all()) {
    const bool vocabulary = p.name == "tokens.weight" || p.name == "head.weight";
    const int64_t n = vocabulary ? model.vocab_size * model.hidden_size : p.count();
    for (int64_t i = 0; i < n; ++i)
      flat.as<float>()[p.offset + i] = (p.init == Init::one ? 1.0f : 0.0f) + 0.2f * rng.normal(uint64_t(p.offset + i));
  }
  return flat;
}

inline std::vector<int32_t> random_ids(int64_t n, int64_t vocab, uint64_t seed) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  const Rng rng{seed, RngStream::test, 1, 0};
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(rng.bits(i) % uint32_t(vocab));
  return ids;
}

// A transformer over its own memory, all of it trained, or random adapters beside it.
struct SmallModel {
  SmallModel(const ModelConfig& model, int64_t batch, int64_t seq_len, uint64_t seed = 1, bool training = true, int threads = 2,
             Checkpointing checkpointing = Checkpointing::selective, const AdapterConfig& adapted = {})
      : op_stream(threads), stream(op_stream), table(model), trained(adapted.any() ? adapter_table(model, adapted) : table),
        weights(random_weights(model, table, seed)), adapters(adapted.any() ? random_weights(model, trained, seed + 1) : Tensor()),
        gradients(tensor({trained.flat_count()}, DType::fp32)), losses(tensor({batch * seq_len}, DType::fp32)),
        transformer(model, {.batch = batch, .seq_len = seq_len, .dtype = DType::fp32, .training = training, .checkpointing = checkpointing}, plan,
                    adapted),
        arena(plan, stream.device()) {
    if (kOnGpu) {
      device_weights = Tensor(weights.shape(), DType::fp32, stream.device());
      device_gradients = Tensor(gradients.shape(), DType::fp32, stream.device());
      if (adapted.any()) device_adapters = Tensor(adapters.shape(), DType::fp32, stream.device());
    }
    transformer.bind(arena, table, weights_there(), !training ? View{} : kOnGpu ? device_gradients.view() : gradients.view(), stream);
  }
  // The weights as the host has them now, on the device.
  ModelWeights weights_there() {
    if (kOnGpu) copy(weights.view(), device_weights.view(), stream);
    ModelWeights there(kOnGpu ? device_weights.view() : weights.view());
    if (adapters.count() == 0) return there;
    if (kOnGpu) copy(adapters.view(), device_adapters.view(), stream);
    there.adapter_table = &trained, there.adapters = kOnGpu ? device_adapters.view() : adapters.view();
    return there;
  }
  double loss(const std::vector<int32_t>& ids, const std::vector<int32_t>& targets) {
    (void)weights_there();
    transformer.losses(view(ids), view(targets), losses.view(), stream);
    op_stream.finish();
    double sum = 0;
    for (int64_t i = 0; i < losses.count(); ++i) sum += double(losses.as<float>()[i]);
    return sum;
  }
  void forward_backward(const std::vector<int32_t>& ids, const std::vector<int32_t>& targets,
                        const Transformer::GradientsReady& ready = nullptr) {
    (void)weights_there();
    transformer.forward_backward(view(ids), view(targets), losses.view(), ready, stream);
    fetch_gradients();
  }
  void fetch_gradients() {
    if (kOnGpu) copy(device_gradients.view(), gradients.view(), stream);
    op_stream.finish();
  }
  ConstView view(const std::vector<int32_t>& ids) {
    const Shape shape{transformer.sizes().batch, transformer.sizes().seq_len};
    if (!kOnGpu) return {ids.data(), DType::i32, shape};
    given.push_back(tensor(shape, DType::i32));
    std::memcpy(given.back().view().data, ids.data(), ids.size() * sizeof(int32_t));
    return given.back().view();
  }
  OpStream op_stream;
  Stream stream;
  std::deque<Tensor> given;
  ParameterTable table, trained;              // of the model; of what has gradients
  Tensor weights, adapters, gradients, losses;                 // the host's
  Tensor device_weights, device_adapters, device_gradients;    // of a GPU
  ArenaPlan plan;
  Transformer transformer;
  Arena arena;
};

}  // namespace tw
