#include "src/train/sharded_adamw.h"

#include <algorithm>
#include <cstring>

#include "kernels/fill.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "src/core/fault.h"
#include "src/core/thread_team.h"

namespace tw {

ShardedAdamW::ShardedAdamW(Communicator& comm, const ParameterTable& table, const ShardLayout& layout, DType dtype,
                           const AdamWOptions& options)
    : comm_(comm), table_(table), layout_(layout), dtype_(dtype), options_(options) {
  TW_CHECK(dtype == DType::fp32 || dtype == DType::bf16, config, "training.dtype = \"{}\": fp32 or bf16", name_of(dtype));
}

void ShardedAdamW::plan(ArenaPlan& plan) {
  const int64_t owned = layout_.owned_count();
  weights_id_ = plan.add("weights", "weights", {layout_.padded_count()}, dtype_);
  if (dtype_ != DType::fp32) master_id_ = plan.add("optimizer", "master", {owned}, DType::fp32);
  m_id_ = plan.add("optimizer", "m", {owned}, DType::fp32);
  v_id_ = plan.add("optimizer", "v", {owned}, DType::fp32);
  decayed_id_ = plan.add("optimizer", "decayed", {layout_.padded_count() / kParameterBlock}, DType::u8);
}

void ShardedAdamW::bind(const Arena& arena, Staging& staging) {
  weights_ = arena.view(weights_id_);
  if (master_id_ >= 0) master_ = arena.view(master_id_);
  m_ = arena.view(m_id_), v_ = arena.view(v_id_), decayed_ = arena.view(decayed_id_);
  Tensor flags(decayed_.shape, DType::u8);
  uint8_t* decayed = flags.as<uint8_t>();
  for (const ParameterInfo& p : table_.all())
    if (p.decayed)
      std::fill(decayed + p.offset / kParameterBlock,
                decayed + (p.offset + p.count() + kParameterBlock - 1) / kParameterBlock, uint8_t(1));
  staging.to_device(flags.view(), decayed_);
}

View ShardedAdamW::master(int bucket) const {
  const Range mine = layout_.owned(bucket), local = layout_.local(bucket);
  return master_ ? master_.flat(local.begin, local.end) : weights_.flat(mine.begin, mine.end);
}

void ShardedAdamW::set_weights(int64_t first, ConstView values, const Stream& stream) {
  const int64_t last = first + values.count();
  cast({.in = values, .out = weights_.flat(first, last)}, stream);
  for (int b = 0; master_ && b < layout_.buckets(); ++b) {
    const Range mine = layout_.owned(b);
    const int64_t begin = std::max(mine.begin, first), end = std::min(mine.end, last);
    if (begin < end) cast({.in = values.flat(begin - first, end - first), .out = master(b).flat(begin - mine.begin, end - mine.begin)}, stream);
  }
}

void ShardedAdamW::gather_weights(const Stream& stream) {
  std::vector<Pending> pending;
  for (int b = 0; b < layout_.buckets(); ++b) {
    const Range mine = layout_.owned(b), all = layout_.bucket(b);
    const View own = weights_.flat(mine.begin, mine.end);
    if (master_ && options_.stochastic_rounding && updates_ > 0)
      round_by_chance({.param = master(b), .copy = own, .seed = options_.seed, .first = mine.begin, .step = updates_}, stream);
    else if (master_)
      cast({.in = master(b), .out = own}, stream);
    pending.push_back(comm_.start_all_gather(own, weights_.flat(all.begin, all.end), stream));
  }
  for (auto& p : pending) p->wait();
}

void ShardedAdamW::sums_of_squares(ConstView gradients, View sums, const Stream& stream) const {
  fault_memory("train.m", m_, stream), fault_memory("train.v", v_, stream);
  for (int b = 0; b < layout_.buckets(); ++b) fault_memory("train.master", master(b), stream);
  for (int b = 0; b < layout_.buckets(); ++b) {
    const Range mine = layout_.owned(b);
    sum_of_squares({.x = gradients.flat(mine.begin, mine.end),
                    .sums = sums.rows(b, b + 1).reshape({layout_.virtual_per_rank()})},
                   stream);
  }
}

void ShardedAdamW::step(ConstView gradients, double lr, double gradient_scale, StateSums* sums, const Stream& stream) {
  ++updates_;
  std::vector<Pending> pending;
  for (int b = 0; b < layout_.buckets(); ++b) {
    const Range mine = layout_.owned(b), local = layout_.local(b), all = layout_.bucket(b);
    const View own = weights_.flat(mine.begin, mine.end);
    adamw({.param = master(b), .m = m_.flat(local.begin, local.end), .v = v_.flat(local.begin, local.end),
           .gradient = gradients.flat(mine.begin, mine.end),
           .decayed = decayed_.flat(mine.begin / kParameterBlock, mine.end / kParameterBlock),
           .copy = master_ ? own : View{}, .sums = sums ? sums->of_update(b) : View{},
           .stochastic_rounding = options_.stochastic_rounding, .seed = options_.seed, .first = mine.begin, .lr = float(lr),
           .beta1 = float(options_.beta1), .beta2 = float(options_.beta2), .eps = float(options_.eps),
           .weight_decay = float(options_.weight_decay), .gradient_scale = float(gradient_scale), .step = updates_},
          stream);
    pending.push_back(comm_.start_all_gather(own, weights_.flat(all.begin, all.end), stream));
    for (auto& p : pending) p->test();
  }
  for (auto& p : pending) p->wait();
  fault_memory("train.gathered", weights_, stream);
}

void ShardedAdamW::weigh_state(StateSums& sums, const Stream& stream) const {
  for (int b = 0; b < layout_.buckets(); ++b) {
    const Range local = layout_.local(b);
    sums.weigh_state(b, master(b), m_.flat(local.begin, local.end), v_.flat(local.begin, local.end), stream);
  }
}

// visit(parameter, bucket, begin, end, at): elements [begin, end) of the parameter lie at `at` of this rank's slice of
// the bucket.
template <class Visit>
void ShardedAdamW::visit_owned(Visit&& visit) const {
  for (const ParameterInfo& p : table_.all())
    for (int b = 0; b < layout_.buckets(); ++b) {
      const Range mine = layout_.owned(b);
      const int64_t begin = std::max(mine.begin, p.offset), end = std::min(mine.end, p.offset + p.count());
      if (begin < end) visit(p, b, begin - p.offset, end - p.offset, begin - mine.begin);
    }
}

std::vector<TensorSlice> ShardedAdamW::slices(Staging& staging) {
  if (m_.device.is_cuda()) {
    for (Tensor* t : {&host_master_, &host_m_, &host_v_})
      if (t->count() == 0) *t = Tensor({layout_.owned_count()}, DType::fp32);
    for (int b = 0; b < layout_.buckets(); ++b) {
      const Range local = layout_.local(b);
      staging.to_host(master(b), host_master_.view().flat(local.begin, local.end));
    }
    staging.to_host(m_, host_m_.view());
    staging.to_host(v_, host_v_.view());
  }
  return slices_of(m_.device.is_cuda());
}

std::vector<TensorSlice> ShardedAdamW::slices_of(bool copies) const {
  std::vector<TensorSlice> all;
  visit_owned([&](const ParameterInfo& p, int b, int64_t begin, int64_t end, int64_t at) {
    const int64_t first = layout_.local(b).begin + at, last = first + end - begin;
    const ConstView weight = copies ? host_master_.view().flat(first, last) : master(b).flat(at, at + end - begin);
    all.push_back({p.name, "weight", p.shape, begin, end, weight});
    all.push_back({p.name, "m", p.shape, begin, end, (copies ? host_m_.view() : m_).flat(first, last)});
    all.push_back({p.name, "v", p.shape, begin, end, (copies ? host_v_.view() : v_).flat(first, last)});
  });
  return all;
}

void ShardedAdamW::reserve_snapshot(const Stream& stream) {
  for (Tensor* t : {&host_master_, &host_m_, &host_v_}) {
    *t = Tensor::beside(stream, {layout_.owned_count()}, DType::fp32);
    float* values = t->as<float>();
    parallel_blocks(stream, t->count(), int64_t(1) << 19, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i += 1024) values[i] = 0;
    });
  }
}

std::vector<TensorSlice> ShardedAdamW::snapshot(const Stream& stream) {
  TW_CHECK(host_master_.count() > 0, bug, "no memory was set aside for a snapshot");
  const auto take = [&](ConstView from, View to) {
    if (from.device.is_cuda()) return copy(from, to, stream);
    const char* in = static_cast<const char*>(from.data);
    char* out = static_cast<char*>(to.data);
    parallel_stretches(stream, int64_t(from.bytes()), int64_t(1) << 19,
                       [&](int64_t begin, int64_t end, int) { std::memcpy(out + begin, in + begin, size_t(end - begin)); });
  };
  for (int b = 0; b < layout_.buckets(); ++b) {
    const Range local = layout_.local(b);
    take(master(b), host_master_.view().flat(local.begin, local.end));
  }
  take(m_, host_m_.view());
  take(v_, host_v_.view());
  synchronize(stream);
  return slices_of(true);
}

void ShardedAdamW::load(const Checkpoint& checkpoint, bool optimizer, Staging& staging, const Stream& stream) {
  Tensor arrived;  // of a GPU's: a piece on its way
  const auto read = [&](const ParameterInfo& p, const char* slot, int64_t begin, int64_t end, View to) {
    if (to.device.is_cpu()) return checkpoint.read(p.name, slot, begin, end, to);
    if (arrived.count() < to.count()) arrived = Tensor({to.count()}, DType::fp32);
    const View host = arrived.view().flat(0, to.count());
    checkpoint.read(p.name, slot, begin, end, host);
    staging.to_device(host, to);
  };
  visit_owned([&](const ParameterInfo& p, int b, int64_t begin, int64_t end, int64_t at) {
    const int64_t n = end - begin, local = layout_.local(b).begin;
    read(p, "weight", begin, end, master(b).flat(at, at + n));
    if (!optimizer) return;
    read(p, "m", begin, end, m_.flat(local + at, local + at + n));
    read(p, "v", begin, end, v_.flat(local + at, local + at + n));
  });
  if (!optimizer) {
    zero({.x = m_}, stream);
    zero({.x = v_}, stream);
    updates_ = 0;
  }
  gather_weights(stream);
}

}  // namespace tw
