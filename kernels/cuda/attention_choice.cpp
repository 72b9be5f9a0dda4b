#include "kernels/cuda/attention_choice.h"

#include <cmath>
#include <vector>

#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_simt.h"
#include "src/core/log.h"
#include "src/core/rng.h"

namespace tw::cuda {
namespace {

// The largest difference of two bf16 tensors over the largest value; NaN counts as infinite.
double difference(const Tensor& a, const Tensor& b, const Stream& stream) {
  Tensor x(a.shape(), DType::bf16), y(a.shape(), DType::bf16);
  copy(a.view(), x.view(), stream);
  copy(b.view(), y.view(), stream);
  synchronize(stream);
  double most = 0, largest = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    const double u = double(float(x.as<bf16>()[i])), v = double(float(y.as<bf16>()[i]));
    if (!std::isfinite(u) || !std::isfinite(v)) return INFINITY;
    most = std::max(most, std::abs(u - v)), largest = std::max(largest, std::abs(v));
  }
  return most / std::max(largest, 1e-6);
}

}  // namespace

AttentionChoice::AttentionChoice(int64_t D, const Stream& stream) {
  why_ = cudnn_absence();
  if (!why_.empty()) {
    why_ = "attention by our own kernels: " + why_;
    if (log_rank() <= 0) log_info("{}", why_);
    return;
  }
  const int64_t B = 2, T = 200, H = 4, KV = 2;
  const Device device = stream.device();
  const Shape packed{B, T, H + 2 * KV, D}, plain{B, T, H, D};
  Tensor host(packed, DType::bf16), host_dout(plain, DType::bf16);
  const Rng rng{.seed = 1, .stream = RngStream::test};
  for (int64_t i = 0; i < host.count(); ++i) host.as<bf16>()[i] = bf16(rng.normal(uint64_t(i)));
  for (int64_t i = 0; i < host_dout.count(); ++i) host_dout.as<bf16>()[i] = bf16(rng.normal(uint64_t(i + host.count())));
  Tensor qkv(packed, DType::bf16, device), dout(plain, DType::bf16, device);
  copy(host.view(), qkv.view(), stream);
  copy(host_dout.view(), dout.view(), stream);
  try {
    auto candidate = std::make_unique<CudnnAttention>(device);
    Tensor out[2], lse[2], dqkv[2];
    for (int i = 0; i < 2; ++i) {
      out[i] = Tensor(plain, DType::bf16, device), lse[i] = Tensor({B, H, T}, DType::fp32, device), dqkv[i] = Tensor(packed, DType::bf16, device);
      const float scale = float(1 / std::sqrt(double(D)));
      const AttentionForward forward{.qkv = qkv.view(), .out = out[i].view(), .lse = lse[i].view(), .heads = H, .kv_heads = KV, .scale = scale};
      const AttentionBackward backward{.qkv = qkv.view(), .out = out[i].view(), .dout = dout.view(), .lse = lse[i].view(), .dqkv = dqkv[i].view(),
                                       .heads = H, .kv_heads = KV, .scale = scale};
      if (i == 0) simt_attention_forward(forward, stream), simt_attention_backward(backward, stream);
      else candidate->forward(forward, stream), candidate->backward(backward, stream);
    }
    const double forward = difference(out[1], out[0], stream), backward = difference(dqkv[1], dqkv[0], stream);
    TW_CHECK(forward < 0.02 && backward < 0.04, config, "cuDNN's attention differs from ours by {:.3g} forward and {:.3g} backward", forward, backward);
    why_ = "attention by cuDNN";
    if (log_rank() <= 0) log_info("{}", why_);
    cudnn_ = std::move(candidate);
  } catch (const Error& e) {
    why_ = fmt::format("attention by our own kernels: {}", e.what());
    log_warning("{}", why_);
  }
}

}  // namespace tw::cuda
