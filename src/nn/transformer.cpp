#include "src/nn/transformer.h"

#include <algorithm>

#include "kernels/embedding.h"
#include "kernels/loss.h"
#include "kernels/matmul.h"
#include "kernels/rope.h"
#include "src/core/activity.h"
#include "src/core/fault.h"

namespace tw {
namespace {

int64_t logits_chunk(const PassSizes& sizes, int64_t vocab) {
  const int64_t most = std::max<int64_t>(64, sizes.logits_at_once / vocab), rows = sizes.rows();
  const int64_t chunks = (rows + most - 1) / most;
  return (rows + chunks - 1) / chunks;
}

std::string layer_name(int64_t i) { return "layers." + std::to_string(i) + "."; }

}  // namespace

Transformer::Transformer(const ModelConfig& model, const PassSizes& sizes, ArenaPlan& plan, const AdapterConfig& adapters)
    : model_(model), sizes_(sizes), adapters_(adapters) {
  model.check();
  TW_CHECK(sizes.batch >= 1 && sizes.seq_len >= 1, config, "a pass needs at least one row and one token, not {} x {}",
           sizes.batch, sizes.seq_len);
  TW_CHECK(sizes.seq_len <= model.max_position_embeddings, config,
           "training.seq_len = {} is longer than model.max_position_embeddings = {}", sizes.seq_len,
           model.max_position_embeddings);
  const int64_t N = sizes.rows(), C = model.hidden_size;
  blocks_.resize(size_t(model.num_hidden_layers));
  for (int64_t i = 0; i < model.num_hidden_layers; ++i) {
    Block& b = blocks_[size_t(i)];
    b.attention_norm.plan(plan, sizes, model, layer_name(i) + "attention_norm", true);
    b.attention.plan(plan, sizes, model, adapters, layer_name(i) + "attention");
    b.mlp_norm.plan(plan, sizes, model, layer_name(i) + "mlp_norm");
    b.mlp.plan(plan, sizes, model, adapters, layer_name(i) + "mlp");
  }
  PassSizes outside = sizes;  // of any block: nothing of it is computed again
  if (outside.checkpointing == Checkpointing::full) outside.checkpointing = Checkpointing::selective;
  final_norm_.plan(plan, outside, model, "final_norm");
  branch_id_ = plan.add_shared("scratch", "branch", "branch", {N, C}, sizes.dtype);
  if (model.type == Architecture::llama) {
    cos_id_ = plan.add("activations", "rope.cos", {sizes.seq_len, model.head_dim / 2}, DType::fp32);
    sin_id_ = plan.add("activations", "rope.sin", {sizes.seq_len, model.head_dim / 2}, DType::fp32);
  }
  chunk_ = logits_chunk(sizes, model.padded_vocab_size());
  logits_id_ = plan.add("logits", "logits", {chunk_, model.padded_vocab_size()}, sizes.dtype);
  if (sizes.training) {
    dstream_id_ = plan.add("scratch", "dstream", {N, C}, sizes.dtype);
    dbranch_id_ = plan.add_shared("scratch", "branch", "dbranch", {N, C}, sizes.dtype);
  }
}

void Transformer::bind(const Arena& arena, const ParameterTable& table, const ModelWeights& weights, View gradients, const Stream& stream) {
  TW_CHECK(adapters_.any() == (weights.adapter_table != nullptr), bug, "a model with adapters and their weights come together");
  arena_ = &arena, table_ = &table, weights_ = weights;
  branch_ = arena.view(branch_id_);
  logits_ = arena.view(logits_id_);
  if (cos_id_ >= 0) {
    cos_ = arena.view(cos_id_), sin_ = arena.view(sin_id_);
    copy_rope_table(model_.rope_theta, cos_, sin_, stream);
  }
  if (sizes_.training) dstream_ = arena.view(dstream_id_), dbranch_ = arena.view(dbranch_id_);
  const ParameterTable& trained = weights.adapter_table ? *weights.adapter_table : table;
  const auto first_of = [&](const std::string& layer) {
    const auto p = std::find_if(trained.all().begin(), trained.all().end(), [&](const ParameterInfo& q) { return q.name.starts_with(layer); });
    return p == trained.all().end() ? trained.flat_count() : p->offset;
  };
  layer_offset_.clear();
  for (int64_t i = 0; i < model_.num_hidden_layers; ++i) layer_offset_.push_back(first_of(layer_name(i)));
  final_offset_ = first_of("final_norm.");
  use_gradients(gradients);
}

void Transformer::use_gradients(View gradients) {
  const Arena& arena = *arena_;
  has_gradients_ = bool(gradients);
  const ParameterViews parameters(*table_, weights_, gradients);
  for (Block& b : blocks_) {
    b.attention_norm.bind(arena, parameters);
    b.attention.bind(arena, parameters, cos_, sin_);
    b.mlp_norm.bind(arena, parameters);
    b.mlp.bind(arena, parameters);
  }
  final_norm_.bind(arena, parameters);
  tokens_ = parameters("tokens.weight");
  if (model_.type == Architecture::gpt2) positions_ = parameters("positions.weight");
  head_ = parameters(model_.tie_word_embeddings ? "tokens.weight" : "head.weight");
}

void Transformer::forward(ConstView ids, const Stream& stream) {
  View s = blocks_[0].attention_norm.s();
  embedding_forward({.ids = ids, .tokens = tokens_.value, .token_scales = tokens_.scales, .positions = positions_.value,
                     .starts = positions_.value ? position_starts_ : ConstView{}, .x = s.reshape({sizes_.batch, sizes_.seq_len, model_.hidden_size})},
                    stream);
  ConstView branch;
  for (Block& b : blocks_) {
    b.attention_norm.forward(s, branch, stream);
    s = b.attention_norm.s();
    b.attention.forward(b.attention_norm.y(), attention_starts_, branch_, stream);
    b.mlp_norm.forward(s, branch_, stream);
    s = b.mlp_norm.s();
    b.mlp.forward(b.mlp_norm.y(), branch_, stream);
    branch = branch_;
  }
  final_norm_.forward(s, branch, stream);
}

// Logits, losses and their gradient chunk by chunk; with gradient, dbranch becomes the gradient at the
// final norm's output.
void Transformer::head(ConstView targets, View losses, bool gradient, const Stream& stream) {
  const int64_t N = sizes_.rows();
  const ConstView flat_targets = targets.reshape({N});
  for (int64_t begin = 0; begin < N; begin += chunk_) {
    const int64_t end = std::min(begin + chunk_, N);
    const View y = final_norm_.y().rows(begin, end), logits = logits_.rows(0, end - begin);
    project(y, head_, {}, logits, stream);
    cross_entropy({.logits = logits, .targets = flat_targets.rows(begin, end), .losses = losses.rows(begin, end),
                   .vocab = model_.vocab_size, .gradient = gradient},
                  stream);
    if (!gradient) continue;
    if (head_.gradient) matmul({.a = logits, .b = y, .out = head_.gradient, .transpose_a = true, .accumulate = true}, stream);
    matmul({.a = logits, .b = head_.value, .out = dbranch_.rows(begin, end)}, stream);
  }
}

void Transformer::losses(ConstView ids, ConstView targets, View losses, const Stream& stream) {
  forward(ids, stream);
  head(targets, losses, false, stream);
}

void Transformer::forward_backward(ConstView ids, ConstView targets, View losses, const GradientsReady& ready,
                                   const Stream& stream) {
  TW_CHECK(sizes_.training && has_gradients_, bug, "backward on a transformer that was planned for evaluation");
  forward(ids, stream);
  head(targets, losses, true, stream);
  mark_phase(WorkPhase::backward);
  final_norm_.backward(dbranch_, dstream_, true, stream);
  if (ready) ready(final_offset_);
  for (size_t i = blocks_.size(); i-- > 0;) {
    Block& b = blocks_[i];
    fault_memory("train.activation", b.mlp_norm.s(), stream), fault_memory("train.activation", dstream_, stream);
    if (sizes_.checkpointing == Checkpointing::full) {
      b.attention_norm.repeat(stream);
      b.attention.forward(b.attention_norm.y(), attention_starts_, branch_, stream);
      b.mlp_norm.forward(b.attention_norm.s(), branch_, stream);
      b.mlp.repeat(b.mlp_norm.y(), stream);
    } else {
      b.mlp_norm.repeat(stream);
    }
    b.mlp.backward(b.mlp_norm.y(), dstream_, dbranch_, stream);
    b.mlp_norm.backward(dbranch_, dstream_, false, stream);
    b.attention_norm.repeat(stream);
    const bool wanted = i > 0 || tokens_.gradient;  // below the first block only the embedding wants a gradient
    b.attention.backward(b.attention_norm.y(), attention_starts_, dstream_, wanted ? dbranch_ : View{}, stream);
    if (wanted) b.attention_norm.backward(dbranch_, dstream_, false, stream);
    if (ready) ready(layer_offset_[i]);
  }
  if (tokens_.gradient)
    embedding_backward({.ids = ids, .starts = positions_.value ? position_starts_ : ConstView{}, .dx = dstream_.reshape({sizes_.batch, sizes_.seq_len, model_.hidden_size}),
                        .dtokens = tokens_.gradient, .dpositions = positions_.gradient},
                       stream);
  if (ready) ready(0);
}

}  // namespace tw
