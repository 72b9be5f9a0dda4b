#include "kernels/cuda/attention_cudnn.h"

#define NV_CUDNN_FRONTEND_USE_DYNAMIC_LOADING
#include <cudnn_frontend.h>

#include <map>
#include <tuple>
#include <unordered_map>

#include "kernels/cuda/native.h"
#include "src/core/dynamic_library.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // where the frontend looks its entries up
}

namespace tw::cuda {
namespace {

namespace fe = cudnn_frontend;

void load_cudnn() {
  if (fe::cudnn_dlhandle) return;
  fe::cudnn_dlhandle = ::dlopen(TW_CUDNN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  TW_CHECK(fe::cudnn_dlhandle, config, "{}", ::dlerror());
}

void check(fe::error_t error, const char* what) {
  TW_CHECK(error.is_good(), config, "cuDNN {}: {}", what, error.get_message());
}
void check(cudnnStatus_t status, const char* what) {
  TW_CHECK(status == CUDNN_STATUS_SUCCESS, config, "cuDNN {}: status {}", what, int(status));
}

enum Uid : int64_t { kQ = 1, kK, kV, kO, kStats, kDO, kDQ, kDK, kDV };

struct Plan {
  fe::graph::Graph graph;
  Memory workspace;
};
// B, T, H, KV, D, scale, backward
using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, float, bool>;

template <class Op>
Key key_of(const Op& op, bool backward) {
  return {op.qkv.dim(0), op.qkv.dim(1), op.heads, op.kv_heads, op.qkv.dim(3), op.scale, backward};
}

}  // namespace

struct CudnnAttention::State {
  Device device;
  cudnnHandle_t handle = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans;

  explicit State(Device where) : device(where) { check(fe::detail::create_handle(&handle), "does not start"); }
  ~State() { (void)fe::detail::destroy_handle(handle); }

  std::unique_ptr<Plan> build(const Key& key) {
    const auto [B, T, H, KV, D, scale, backward] = key;
    auto plan = std::make_unique<Plan>();
    fe::graph::Graph& g = plan->graph;
    g.set_io_data_type(fe::DataType_t::BFLOAT16).set_intermediate_data_type(fe::DataType_t::FLOAT).set_compute_data_type(fe::DataType_t::FLOAT);
    const int64_t token = (H + 2 * KV) * D;
    // Heads of the packed (B, T, H + 2 KV, D), seen as (B, heads, T, D).
    const auto packed = [&](const char* name, int64_t uid, int64_t heads) {
      return g.tensor(fe::graph::Tensor_attributes().set_name(name).set_uid(uid).set_dim({B, heads, T, D}).set_stride({T * token, D, token, 1}));
    };
    const auto plain = [&](const char* name, int64_t uid) {  // (B, T, H, D)
      return g.tensor(fe::graph::Tensor_attributes().set_name(name).set_uid(uid).set_dim({B, H, T, D}).set_stride({T * H * D, D, H * D, 1}));
    };
    const std::vector<int64_t> stats_shape{B, H, T, 1}, stats_stride{H * T, T, 1, 1};
    auto q = packed("q", kQ, H), k = packed("k", kK, KV), v = packed("v", kV, KV);
    if (!backward) {
      auto [o, stats] = g.sdpa(q, k, v, fe::graph::SDPA_attributes().set_name("attention").set_generate_stats(true).set_attn_scale(scale).set_causal_mask(true));
      o->set_output(true).set_uid(kO).set_dim({B, H, T, D}).set_stride({T * H * D, D, H * D, 1});
      stats->set_output(true).set_uid(kStats).set_data_type(fe::DataType_t::FLOAT).set_dim(stats_shape).set_stride(stats_stride);
    } else {
      auto o = plain("o", kO), dout = plain("do", kDO);
      auto stats = g.tensor(fe::graph::Tensor_attributes().set_name("stats").set_uid(kStats).set_dim(stats_shape).set_stride(stats_stride).set_data_type(fe::DataType_t::FLOAT));
      auto [dq, dk, dv] = g.sdpa_backward(q, k, v, o, dout, stats,
                                          fe::graph::SDPA_backward_attributes().set_name("attention_backward").set_attn_scale(scale).set_causal_mask(true).set_deterministic_algorithm(true));
      dq->set_output(true).set_uid(kDQ).set_dim({B, H, T, D}).set_stride({T * token, D, token, 1});
      dk->set_output(true).set_uid(kDK).set_dim({B, KV, T, D}).set_stride({T * token, D, token, 1});
      dv->set_output(true).set_uid(kDV).set_dim({B, KV, T, D}).set_stride({T * token, D, token, 1});
    }
    check(g.build(handle, {fe::HeurMode_t::A}), backward ? "has no backward attention" : "has no attention");
    int64_t bytes = 0;
    check(g.get_workspace_size(bytes), "workspace");
    plan->workspace = Memory(size_t(std::max<int64_t>(bytes, 1)), device);
    return plan;
  }

  void run(const Key& key, std::unordered_map<int64_t, void*> tensors, const Stream& stream) {
    auto& plan = plans[key];
    if (!plan) plan = build(key);
    check(fe::detail::set_stream(handle, native(stream)), "stream");
    check(plan->graph.execute(handle, tensors, plan->workspace.data()), "attention failed");
  }
};

std::string cudnn_absence() {
  try {
    load_cudnn();
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

CudnnAttention::CudnnAttention(Device device) {
  load_cudnn();
  TW_CUDA_CHECK(cudaSetDevice(device.index));
  state_ = std::make_unique<State>(device);
}
CudnnAttention::~CudnnAttention() = default;

bool CudnnAttention::takes(ConstView qkv, ConstView starts) {
  const int64_t D = qkv.dim(3);
  return qkv.dtype == DType::bf16 && !starts && D % 8 == 0 && D <= 128 && qkv.dim(1) > 1 && reinterpret_cast<uintptr_t>(qkv.data) % 16 == 0;
}

namespace {
template <class T>
void* head(T* qkv, int64_t heads_before, int64_t D) {
  return const_cast<bf16*>(static_cast<const bf16*>(qkv)) + heads_before * D;
}
}  // namespace

void CudnnAttention::forward(const AttentionForward& op, const Stream& stream) {
  const int64_t D = op.qkv.dim(3);
  state_->run(key_of(op, false),
              {{kQ, head(op.qkv.data, 0, D)}, {kK, head(op.qkv.data, op.heads, D)}, {kV, head(op.qkv.data, op.heads + op.kv_heads, D)},
               {kO, op.out.data}, {kStats, op.lse.data}},
              stream);
}

void CudnnAttention::backward(const AttentionBackward& op, const Stream& stream) {
  const int64_t D = op.qkv.dim(3);
  state_->run(key_of(op, true),
              {{kQ, head(op.qkv.data, 0, D)}, {kK, head(op.qkv.data, op.heads, D)}, {kV, head(op.qkv.data, op.heads + op.kv_heads, D)},
               {kO, const_cast<void*>(op.out.data)}, {kDO, const_cast<void*>(op.dout.data)}, {kStats, const_cast<void*>(op.lse.data)},
               {kDQ, head(op.dqkv.data, 0, D)}, {kDK, head(op.dqkv.data, op.heads, D)}, {kDV, head(op.dqkv.data, op.heads + op.kv_heads, D)}},
              stream);
}

}  // namespace tw::cuda
