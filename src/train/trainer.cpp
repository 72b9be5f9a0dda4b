#include "src/train/trainer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/checksum.h"
#include "kernels/fill.h"
#include "kernels/loss.h"
#include "kernels/pointwise.h"
#include "src/checkpoint/base.h"
#include "src/core/activity.h"
#include "src/core/clock.h"
#include "src/core/fault.h"
#include "src/core/json_guard.h"
#include "src/nn/initialize.h"
#include "src/nn/model_difference.h"

namespace tw {

void TrainerOptions::check(int ranks) const {
  model.check();
  if (determinism == Determinism::elastic) {
    TW_CHECK(std::has_single_bit(unsigned(virtual_ranks)), config,
             "parallelism.virtual_ranks = {} must be a power of two", virtual_ranks);
    TW_CHECK(virtual_ranks % ranks == 0, config,
             "{} ranks do not divide parallelism.virtual_ranks = {}: start 1, 2, 4, ... ranks, or set "
             "debug.deterministic = \"run\"",
             ranks, virtual_ranks);
  } else {
    TW_CHECK(virtual_ranks == ranks, config, "debug.deterministic other than \"elastic\" has as many virtual ranks as "
             "ranks: {} and {}", virtual_ranks, ranks);
  }
  TW_CHECK(micro_batch_size >= 1 && global_batch_size >= 1, config, "batch sizes must be positive");
  TW_CHECK(global_batch_size % (micro_batch_size * virtual_ranks) == 0, config,
           "training.global_batch_size = {} is not a multiple of training.micro_batch_size x virtual ranks = {} x {}",
           global_batch_size, micro_batch_size, virtual_ranks);
}

Trainer::Trainer(const TrainerOptions& o, std::shared_ptr<const Batches> batches, Communicator& comm, Stream stream)
    : options_((o.check(comm.size()), o)),
      batches_(std::move(batches)),
      comm_(comm),
      stream_(stream),
      model_table_(o.model),
      table_(o.adapters.any() ? adapter_table(o.model, o.adapters) : model_table_),
      layout_(table_.flat_count(), o.bucket_bytes / int64_t(sizeof(float)), o.virtual_ranks, comm.rank(), comm.size()),
      model_(o.model, {.batch = o.micro_batch_size, .seq_len = o.seq_len, .dtype = o.dtype, .training = true, .checkpointing = o.checkpointing,
                       .logits_at_once = logits_for(stream.device())}, plan_, o.adapters),
      integrity_({.enabled = o.integrity.enabled,
                  .interval = o.integrity.interval > 0 ? o.integrity.interval
                                                       : integrity_interval(o.global_batch_size * o.seq_len / comm.size(), stream.device()),
                  .recompute_interval = o.integrity.recompute_interval},
                 comm, table_, layout_, o.dtype != DType::fp32, o.determinism != Determinism::off),
      optimizer_(comm, table_, layout_, o.dtype, o.optimizer),
      sync_(comm, layout_, o.determinism, o.integrity.enabled ? &integrity_.exchange() : nullptr),
      skip_rule_(o.skip_step_sigma),
      feed_(plan_, o.micro_batch_size, o.seq_len, o.packing.needs_starts()),
      staging_(stream) {
  if (o.adapters.any()) {
    frozen_id_ = plan_.add("weights", "frozen", {model_table_.flat_count()}, o.dtype);
    frozen_sum_id_ = plan_.add("checksums", "frozen", {1}, DType::i64);
  }
  optimizer_.plan(plan_);
  sync_.plan(plan_);
  integrity_.plan(plan_);
  const int64_t per_rank = layout_.virtual_per_rank();
  squares_id_ = plan_.add("batch", "squares", {layout_.buckets(), per_rank}, DType::fp64);
  statistics_ = Tensor::beside(stream, {comm.size(), (layout_.buckets() + 2) * per_rank + Integrity::kWords}, DType::fp64);
  words_.resize(size_t(comm.size()) * Integrity::kWords);
  arena_ = Arena(plan_, stream.device());
  optimizer_.bind(arena_, staging_);
  sync_.bind(arena_);
  integrity_.bind(arena_, stream_);
  feed_.bind(arena_, stream_);
  squares_ = arena_.view(squares_id_);
  ModelWeights weights(optimizer_.weights());
  if (o.adapters.any()) {
    frozen_ = arena_.view(frozen_id_), frozen_sum_ = arena_.view(frozen_sum_id_);
    weights.flat = frozen_, weights.adapter_table = &table_, weights.adapters = optimizer_.weights();
  }
  model_.bind(arena_, model_table_, weights, sync_.sums(), stream_);
}

void Trainer::initialize(uint64_t seed) {
  integrity_.state().forget();
  const auto fill = [&](int64_t first, View part) { initialize_weights(options_.model, table_, seed, first, part, stream_.host()); };
  const View weights = optimizer_.weights();
  if (weights.device.is_cpu() && weights.dtype == DType::fp32) return fill(0, weights);
  // In pieces that stay in the cache, so that no more memory is touched than the weights' own.
  constexpr int64_t kPiece = int64_t(1) << 20;
  Tensor piece({std::min(kPiece, weights.count())}, DType::fp32);
  for (int64_t first = 0; first < weights.count(); first += piece.count()) {
    const View part = piece.view().flat(0, std::min(piece.count(), weights.count() - first));
    fill(first, part);
    set_weights(first, part);
  }
}

namespace {

nlohmann::json parse_stored(const std::string& text, const std::string& where) {
  check_json_structure(text, {}, where);
  return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace

void Trainer::load_base(const Checkpoint& base, const std::string& hash) {
  TW_CHECK(options_.adapters.any(), bug, "frozen weights without adapters");
  const std::string where = base.folder().string();
  const ModelConfig stored = model_config_from_json(parse_stored(base.info().model_json, where));
  TW_CHECK(stored == options_.model, data, "{} holds another model than its adapters are for: {}", where, model_difference(stored, options_.model));
  zero({.x = frozen_}, stream_);
  WeightsHash found;
  int64_t longest = 0;
  for (const ParameterInfo& p : model_table_.all()) longest = std::max(longest, p.count());
  const bool in_place = frozen_.device.is_cpu() && frozen_.dtype == DType::fp32;
  Tensor read, rounded;
  if (!in_place) read = Tensor({longest}, DType::fp32), rounded = Tensor({longest}, frozen_.dtype);
  for (const ParameterInfo& p : model_table_.all()) {
    const View to = frozen_.flat(p.offset, p.offset + p.count()), values = in_place ? to : read.view().flat(0, p.count());
    base.read(p.name, "weight", 0, p.count(), values);
    found.add(p.name, values);
    if (in_place) continue;
    const View narrow = frozen_.device.is_cpu() ? to : rounded.view().flat(0, p.count());
    cast({.in = values, .out = narrow}, stream_.host());
    if (!frozen_.device.is_cpu()) staging_.to_device(narrow, to);
  }
  base_hash_ = found.hex();
  TW_CHECK(hash.empty() || base_hash_ == hash, data, "{}: these are not the weights that the adapters were trained beside: hash {:.12}, not {:.12}", where,
           base_hash_, hash);
  loaded_frozen_sum_ = frozen_sum();
}

int64_t Trainer::frozen_sum() {
  Tensor host({1}, DType::i64);
  checksum({.x = frozen_, .sums = frozen_sum_}, stream_);
  copy(frozen_sum_, host.view(), stream_);
  synchronize(stream_);
  return host.as<int64_t>()[0];
}

void Trainer::set_weights(int64_t first, ConstView values) {
  integrity_.state().forget();
  if (stream_.device().is_cpu()) return optimizer_.set_weights(first, values, stream_);
  // The gradients' memory is free before the first step.
  const View there = sync_.sums().flat(0, values.count());
  staging_.to_device(values, there);
  optimizer_.set_weights(first, there, stream_);
}

namespace {

// What describe() wrote, from a file that may hold anything.
struct StoredState {
  int64_t updates = 0, skipped = 0, global_batch_size = 0;
  std::string skip_rule;
  std::vector<LeftOut> left_out;
};
StoredState stored_state(const CheckpointInfo& info, const std::string& where) {
  StoredState state;
  try {
    const nlohmann::json json = parse_stored(info.trainer_json, where);
    const auto whole = [&](const char* key) {
      const auto n = whole_number(json.at(key));
      TW_CHECK(n, data, "{}: the trainer's state is damaged: \"{}\" is no whole number", where, key);
      return *n;
    };
    state.updates = whole("updates"), state.skipped = whole("skipped");
    state.global_batch_size = whole("global_batch_size");
    state.skip_rule = json.at("skip_rule").dump();
    for (const nlohmann::json& entry : json.value("left_out", nlohmann::json::array())) {
      const auto number = [&](const char* key) { return whole_number(entry.at(key), 0, int64_t(1) << 53); };
      const auto step = number("step"), first = number("first"), batches = number("batches");
      TW_CHECK(step && first && batches, data, "{}: the trainer's state is damaged: \"left_out\" holds no whole numbers", where);
      state.left_out.push_back({*step, *first, *batches, entry.at("loss").is_number() ? entry.at("loss").get<float>() : NAN});
    }
  } catch (const nlohmann::json::exception& e) {
    TW_FAIL(data, "{}: the trainer's state is damaged: {}", where, e.what());
  }
  TW_CHECK(state.updates >= 0 && state.updates <= info.step && state.skipped == info.step - state.updates, data,
           "{}: the trainer's state is damaged: {} updates and {} skipped steps are not {} steps", where, state.updates,
           state.skipped, info.step);
  return state;
}

}  // namespace

void Trainer::load(const Checkpoint& checkpoint, bool resume) {
  const CheckpointInfo& info = checkpoint.info();
  const std::string where = checkpoint.folder().string();
  integrity_.state().forget();
  const ModelConfig stored = model_config_from_json(parse_stored(info.model_json, where));
  TW_CHECK(stored == options_.model, data, "{} holds another model: {} parameters of {}; {}", where, ParameterTable(stored).parameter_count(),
           name_of(stored.type), model_difference(stored, options_.model));
  const AdapterConfig adapters = info.adapter_json.empty() ? AdapterConfig{} : parse_adapter_config(info.adapter_json, where);
  TW_CHECK(adapters.any() == options_.adapters.any() && (!adapters.any() || adapters == options_.adapters), data,
           "{} holds {}, not {}: lora.rank, lora.alpha and lora.targets stay as they are within a run", where,
           adapters.any() ? "adapters " + to_json(adapters).dump() : "whole weights",
           options_.adapters.any() ? "adapters " + to_json(options_.adapters).dump() : "whole weights");
  if (adapters.any()) {
    const std::filesystem::path folder = base_of(checkpoint);
    const std::optional<Checkpoint> base = open_checkpoint(folder, comm_);
    TW_CHECK(base, data, "{} holds adapters, but {} holds no finished checkpoint of their base weights", where, folder.string());
    load_base(*base, info.base_hash);
  }
  if (!resume) return optimizer_.load(checkpoint, false, staging_, stream_);
  TW_CHECK(info.data_fingerprint.empty() || info.data_fingerprint == batches_->fingerprint(), data,
           "the training data or its blend changed since {}: fingerprint {} then, {} now. Put the old token files and "
           "data settings back, or start a new run from its weights with checkpoint.init_from",
           where, info.data_fingerprint, batches_->fingerprint());
  const StoredState state = stored_state(info, where);
  TW_CHECK(state.global_batch_size == options_.global_batch_size, config,
           "training.global_batch_size is {} now, but {} was trained with {}: keep it to resume",
           options_.global_batch_size, where, state.global_batch_size);
  skip_rule_.from_json(state.skip_rule);
  optimizer_.set_updates(state.updates);  // first: the weights are rounded as in that update
  optimizer_.load(checkpoint, true, staging_, stream_);
  if (integrity_.enabled()) {
    StateSums& sums = integrity_.state();
    optimizer_.weigh_state(sums, stream_);
    sums.weigh(optimizer_.weights(), stream_);
    sums.fetch(stream_);
    synchronize(stream_);
    sums.adopt();
  }
  step_ = info.step;
  tokens_ = info.tokens;
  skipped_ = state.skipped;
  last_unusual_ = -1;
  left_out_ = state.left_out;
}

void Trainer::leave_out(const LeftOut& batches) {
  TW_CHECK(batches.first == batch_number() && batches.batches > 0, bug, "{} batches from {} on cannot be left out before batch {}", batches.batches,
           batches.first, batch_number());
  left_out_.push_back(batches);
}

int64_t Trainer::batch_number() const noexcept {
  int64_t number = step_;
  for (const LeftOut& l : left_out_) number += l.batches;
  return number;
}

void Trainer::describe(CheckpointInfo& info) const {
  info.step = step_;
  info.samples = samples_done();
  info.tokens = tokens_;
  info.model_json = to_json(options_.model).dump();
  info.data_fingerprint = batches_->fingerprint();
  if (options_.adapters.any()) info.adapter_json = to_json(options_.adapters).dump(), info.base_hash = base_hash_;
  nlohmann::json left_out = nlohmann::json::array();
  for (const LeftOut& l : left_out_)
    left_out.push_back({{"step", l.step}, {"first", l.first}, {"batches", l.batches}, {"loss", l.loss}});
  info.trainer_json = nlohmann::json{{"updates", optimizer_.updates()},
                                     {"skipped", skipped_},
                                     {"global_batch_size", options_.global_batch_size},
                                     {"virtual_ranks", options_.virtual_ranks},
                                     {"skip_rule", nlohmann::json::parse(skip_rule_.to_json())},
                                     {"left_out", left_out}}
                          .dump();
}

// On a GPU all shapes and addresses of a batch are those of the one before, so that its ops are recorded once and started
// together. Where peers are sent what is ready meanwhile, the host has to follow: not then. The first batch is not recorded
// either: libraries choose and load what they need.
void Trainer::run_batch(View gradients, const Transformer::GradientsReady& ready) {
  const gpu::Range range("batch");
  const auto run = [&](const Transformer::GradientsReady& then) {
    model_.forward_backward(feed_.ids(), feed_.targets(), feed_.losses(), then, stream_);
  };
  const bool follow = ready && comm_.size() > 1;
  if (stream_.device().is_cpu() || follow || stream_.probe()) return run(ready);
  const auto found = graphs_.find(gradients.data);
  if (found == graphs_.end()) {
    run(nullptr);
    graphs_.emplace(gradients.data, gpu::Graph());
  } else {
    if (!found->second) found->second = gpu::Graph(stream_, [&] { run(nullptr); });
    found->second.start(stream_);
  }
  if (ready) ready(0);
}

double Trainer::run_micro_batch(int64_t virtual_rank, int64_t a, View gradients, const Transformer::GradientsReady& ready,
                                const BatchFeed::OnLosses& on_losses) {
  const Packing& packing = options_.packing;
  const int64_t B = options_.micro_batch_size, T = options_.seq_len;
  const int64_t first = batch_number() * options_.global_batch_size + (virtual_rank * options_.accumulation() + a) * B;
  model_.use_gradients(gradients);
  model_.use_document_starts(packing.reset_attention_mask ? feed_.starts() : View{},
                             packing.reset_position_ids ? feed_.starts() : View{});
  double tokens = 0;
  mark_phase(WorkPhase::data);
  const BatchFeed::Slot slot = feed_.begin(on_losses);
  for (int64_t b = 0; b < B; ++b) {
    int32_t *x = slot.ids + b * T, *y = slot.targets + b * T;
    batches_->sample(first + b, x, y);
    if (slot.starts) document_starts(x, T, packing.eod, slot.starts + b * T);
    for (int64_t t = 0; packing.eod_mask_loss && t < T; ++t)
      if (x[t] == packing.eod) y[t] = kIgnoredTarget;
    tokens += double(T - std::count(y, y + T, kIgnoredTarget));
  }
  feed_.send(stream_);
  mark_phase(WorkPhase::forward);
  fault_point("train.forward");
  fault_memory("train.weights", optimizer_.weights(), stream_);
  if (frozen_) fault_memory("train.frozen", frozen_, stream_);
  run_batch(gradients, ready);
  feed_.fetch(stream_);
  return tokens;
}

// One virtual rank's micro-batches.
Trainer::LeafSums Trainer::run_leaf(int leaf, View gradients) {
  const int64_t B = options_.micro_batch_size, T = options_.seq_len, accumulation = options_.accumulation();
  const int64_t virtual_rank = comm_.rank() * layout_.virtual_per_rank() + leaf;
  const bool last_leaf = leaf == sync_.leaves() - 1;
  LeafSums sums;
  const auto add_losses = [&](const float* losses) {
    for (int64_t i = 0; i < B * T; ++i) sums.losses += double(losses[i]);
  };
  for (int64_t a = 0; a < accumulation; ++a) {
    Transformer::GradientsReady ready;
    if (last_leaf && a == accumulation - 1)
      ready = [&](int64_t offset) {
        fault_point("train.backward");
        sync_.ready(offset, stream_);
      };
    sums.tokens += run_micro_batch(virtual_rank, a, gradients, ready, add_losses);
    // Where its buckets have left already, their sums may stand in their place.
    const bool kept = comm_.size() == 1 || sync_.leaves() > 1 || accumulation > 1;
    if (virtual_rank == twice_ && a == 0 && kept) integrity_.add_batch(true, gradients, stream_);
  }
  feed_.finish(add_losses);
  return sums;
}

Trainer::Totals Trainer::sum_gradients(bool all_checks) {
  const int per_rank = layout_.virtual_per_rank(), buckets = layout_.buckets();
  const View row = statistics_.view().rows(comm_.rank(), comm_.rank() + 1).reshape({statistics_.shape()[1]});
  const View mine = row.flat(0, (buckets + 2) * per_rank).reshape({buckets + 2, per_rank});
  double *losses = mine.as<double>() + buckets * per_rank, *scored = losses + per_rank;
  integrity_.begin(step_, all_checks, stream_);
  compute_twice();
  for (int leaf = 0; leaf < sync_.leaves(); ++leaf) {
    const LeafSums sums = run_leaf(leaf, sync_.begin_leaf(leaf, stream_));
    losses[leaf] = sums.losses, scored[leaf] = sums.tokens;
    if (leaf + 1 < sync_.leaves()) sync_.end_leaf(leaf, stream_);
  }
  mark_phase(WorkPhase::exchange);
  {
    const gpu::Range range("exchange of gradients");
    sync_.finish(stream_);
  }
  fault_point("train.exchange");

  // Squares and losses of all virtual ranks, added in one fixed order.
  optimizer_.sums_of_squares(sync_.sums(), squares_, stream_);
  copy(squares_, mine.rows(0, buckets), stream_);
  integrity_.end(optimizer_.weights(), stream_);
  synchronize(stream_);
  int64_t words[Integrity::kWords];
  integrity_.say(words);
  std::memcpy(row.as<double>() + (buckets + 2) * per_rank, words, sizeof words);
  comm_.all_gather(row, statistics_.view(), stream_);
  const double* all = statistics_.as<double>();
  const int64_t stride = statistics_.shape()[1];
  Totals totals;
  for (int b = 0; b < buckets; ++b)
    for (int v = 0; v < layout_.virtual_ranks(); ++v) totals.squares += all[v / per_rank * stride + b * per_rank + v % per_rank];
  for (int v = 0; v < layout_.virtual_ranks(); ++v) {
    const double* of = all + v / per_rank * stride + buckets * per_rank + v % per_rank;
    totals.losses += of[0], totals.tokens += of[per_rank];
  }
  for (int r = 0; r < comm_.size(); ++r) std::memcpy(words_.data() + r * Integrity::kWords, all + (r + 1) * stride - Integrity::kWords, sizeof words);
  return totals;
}

StepResult Trainer::result_of(const Totals& totals) const {
  const double divisor = std::max(totals.tokens, 1.0);  // all may be masked
  StepResult r;
  r.loss = float(totals.losses / divisor);
  r.grad_norm = float(std::sqrt(totals.squares) / divisor);
  r.lr = float(options_.schedule.at(step_));
  r.tokens = int64_t(totals.tokens);
  return r;
}

StepResult Trainer::step() {
  const PhaseScope phase(WorkPhase::data);
  const double start = now_seconds(), waited = sync_.waited_seconds();
  Totals totals = sum_gradients(integrity_.recomputes(step_));
  settle(totals);
  StepResult r = result_of(totals);
  r.step = step_ + 1;
  if (watch_spikes_ && !blend_changes_near() && skip_rule_.lasting_spike(r.loss)) {
    r.verdict = StepVerdict::spike;
    return r;
  }
  r.verdict = skip_rule_.judge(r.loss, r.grad_norm);
  if (r.verdict == StepVerdict::take) {
    const double clip = options_.max_grad_norm > 0
                            ? std::min(1.0, options_.max_grad_norm / (double(r.grad_norm) + 1e-6))
                            : 1.0;
    mark_phase(WorkPhase::optimizer);
    fault_point("train.optimizer");
    const gpu::Range range("optimizer");
    StateSums* const sums = integrity_.enabled() ? &integrity_.state() : nullptr;
    optimizer_.step(sync_.sums(), options_.schedule.at(step_), clip / std::max(totals.tokens, 1.0), sums, stream_);
    if (sums) sums->updated(integrity_.due() ? integrity_.exchange().summed() : nullptr);
  } else {
    ++skipped_;
    TW_CHECK(skip_rule_.consecutive() < options_.max_skipped, numerics,
             "{} steps in a row were skipped (the last at step {}: loss {}, gradient norm {}): lower optimizer.lr, raise "
             "lr_scheduler.warmup_steps or go back to an earlier checkpoint",
             skip_rule_.consecutive(), step_ + 1, r.loss, r.grad_norm);
  }
  ++step_;
  tokens_ += r.tokens;
  mark_step(step_);
  r.seconds = now_seconds() - start;
  r.sync_wait_seconds = sync_.waited_seconds() - waited;
  return r;
}

Evaluation Trainer::evaluate(const TokenFile& file, int64_t max_windows) {
  return tw::evaluate(model_, file, max_windows, feed_, comm_, stream_, options_.packing);
}

Trainer::ExchangeCost Trainer::measure_exchange() {
  const auto median_of_3 = [&](auto&& exchange) {
    double seconds[3];
    for (double& s : seconds) {
      comm_.barrier();
      const double start = now_seconds();
      exchange();
      s = now_seconds() - start;
    }
    std::sort(seconds, seconds + 3);
    return all_reduce_value(comm_, seconds[1], ReduceOp::max);
  };
  ExchangeCost cost;
  integrity_.exchange().begin(false, stream_);
  for (int leaf = 0; leaf < sync_.leaves(); ++leaf) sync_.begin_leaf(leaf, stream_);
  cost.exact = median_of_3([&] {
    sync_.begin_leaf(sync_.leaves() - 1, stream_);
    sync_.finish(stream_);
    synchronize(stream_);
  });
  cost.off = median_of_3([&] {
    sync_.begin_leaf(sync_.leaves() - 1, stream_);  // the same zeroing, so that only the exchange differs
    std::vector<Pending> pending;
    for (int b = 0; b < layout_.buckets(); ++b) {
      const Range bucket = layout_.bucket(b);
      pending.push_back(comm_.start_all_reduce(sync_.sums().flat(bucket.begin, bucket.end), ReduceOp::sum, stream_));
    }
    for (auto& p : pending) p->wait();
    synchronize(stream_);
  });
  return cost;
}

}  // namespace tw
