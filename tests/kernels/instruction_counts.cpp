// The hot CPU kernels on fixed shapes, one thread, SIMD level v3, for tests/instruction_counts, which runs this under callgrind.
//   instruction_counts --compiler   what compiled it
//   instruction_counts              runs every case once to warm up and once within measured_case(), and prints a line for
//                                   each: name, unit, number of units
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include "kernels/attention.h"
#include "kernels/cpu/simd.h"
#include "kernels/loss.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "kernels/rope.h"
#include "src/core/thread_team.h"

// callgrind counts what happens within this function, by its name.
extern "C" __attribute__((noinline, noclone, used)) void measured_case(const std::function<void()>& run) { run(); }

namespace tw {
namespace {

Tensor numbers(Shape shape, DType dtype) {
  Tensor x(shape, dtype);
  for (int64_t i = 0; i < shape.count(); ++i) {
    const float v = float((i * 7919 + 31) % 251) / 125 - 1;
    if (dtype == DType::bf16) x.as<bf16>()[i] = bf16(v);
    else x.as<float>()[i] = v;
  }
  return x;
}

void measure(const std::string& name, const char* unit, int64_t units, const std::function<void()>& run) {
  run();
  measured_case(run);
  std::printf("%s %s %lld\n", name.c_str(), unit, static_cast<long long>(units));
}

void products(DType dtype, const std::string& type, const Stream& s) {
  const int64_t n = 256, rows = 4, out_features = 512, in_features = 1024;
  const Tensor a = numbers({n, n}, dtype), b = numbers({n, n}, dtype), x = numbers({rows, in_features}, dtype);
  const Tensor weight = numbers({out_features, in_features}, dtype);
  Tensor out({n, n}, dtype), y({rows, out_features}, dtype);
  measure("matmul_" + type, "flop", 2 * n * n * n, [&] { matmul({.a = a.view(), .b = b.view(), .out = out.view()}, s); });
  measure("few_rows_" + type, "flop", 2 * rows * out_features * in_features,
          [&] { matmul({.a = x.view(), .b = weight.view(), .out = y.view(), .transpose_b = true}, s); });
}

void attention(DType dtype, const std::string& type, const Stream& s) {
  const int64_t T = 128, H = 2, D = 64, pairs = H * T * (T + 1) / 2;
  const Tensor qkv = numbers({1, T, 3 * H, D}, dtype), dout = numbers({1, T, H, D}, dtype);
  Tensor out({1, T, H, D}, dtype), dqkv({1, T, 3 * H, D}, dtype), lse({1, H, T}, DType::fp32);
  measure("attention_forward_" + type, "flop", pairs * 4 * D, [&] {
    attention_forward({.qkv = qkv.view(), .out = out.view(), .lse = lse.view(), .heads = H, .kv_heads = H, .scale = 0.125f}, s);
  });
  measure("attention_backward_" + type, "flop", pairs * 10 * D, [&] {
    attention_backward({.qkv = qkv.view(), .out = out.view(), .dout = dout.view(), .lse = lse.view(), .dqkv = dqkv.view(), .heads = H,
                        .kv_heads = H, .scale = 0.125f}, s);
  });
  Tensor cos({T, D / 2}, DType::fp32), sin({T, D / 2}, DType::fp32);
  rope_table(10000, 0, cos.view(), sin.view());
  measure("rope_" + type, "element", T * 2 * H * D,
          [&] { rope({.qkv = dqkv.view(), .cos = cos.view(), .sin = sin.view(), .heads = H, .kv_heads = H}, s); });
}

void norms(DType dtype, const std::string& type, const Stream& s) {
  const int64_t N = 64, C = 768;
  const Tensor x = numbers({N, C}, dtype), residual = numbers({N, C}, dtype), gamma = numbers({C}, DType::fp32), beta = numbers({C}, DType::fp32);
  Tensor sum({N, C}, dtype), y({N, C}, dtype), mean({N}, DType::fp32), rstd({N}, DType::fp32), dgamma({C}, DType::fp32), dbeta({C}, DType::fp32);
  for (const bool layer : {true, false}) {
    const std::string kind = layer ? "layer_norm_" : "rms_norm_";
    measure(kind + "forward_" + type, "element", N * C, [&] {
      norm_forward({.x = x.view(), .residual = residual.view(), .sum = sum.view(), .gamma = gamma.view(), .beta = layer ? beta.view() : ConstView(),
                    .y = y.view(), .mean = layer ? mean.view() : View(), .rstd = rstd.view()}, s);
    });
    measure(kind + "backward_" + type, "element", N * C, [&] {
      norm_backward({.dy = y.view(), .s = x.view(), .gamma = gamma.view(), .mean = layer ? mean.view() : View(), .rstd = rstd.view(),
                     .dsum = residual.view(), .dx = sum.view(), .dgamma = dgamma.view(), .dbeta = layer ? dbeta.view() : View()}, s);
    });
  }
}

void element_wise(DType dtype, const std::string& type, const Stream& s) {
  const int64_t N = 32, F = 1024;
  const Tensor x = numbers({N, F}, dtype), dy = numbers({N, F}, dtype), gate_up = numbers({N, 2 * F}, dtype);
  Tensor y({N, F}, dtype), dgate_up({N, 2 * F}, dtype), dbias({F}, DType::fp32);
  measure("gelu_forward_" + type, "element", N * F, [&] { gelu_forward({.x = x.view(), .y = y.view()}, s); });
  measure("gelu_backward_" + type, "element", N * F, [&] { gelu_backward({.x = x.view(), .dy = dy.view(), .dx = y.view()}, s); });
  measure("swiglu_forward_" + type, "element", N * F, [&] { swiglu_forward({.gate_up = gate_up.view(), .y = y.view()}, s); });
  measure("swiglu_backward_" + type, "element", N * F,
          [&] { swiglu_backward({.gate_up = gate_up.view(), .dy = dy.view(), .dgate_up = dgate_up.view()}, s); });
  measure("bias_backward_" + type, "element", N * F, [&] { bias_backward({.dy = dy.view(), .dbias = dbias.view()}, s); });
}

void loss(DType dtype, const std::string& type, const Stream& s) {
  const int64_t N = 8, V = 8192;
  Tensor logits = numbers({N, V}, dtype), targets({N}, DType::i32), losses({N}, DType::fp32);
  measure("cross_entropy_" + type, "element", N * V,
          [&] { cross_entropy({.logits = logits.view(), .targets = targets.view(), .losses = losses.view(), .vocab = V}, s); });
}

void optimizer(const Stream& s) {
  const int64_t n = 64 * kParameterBlock;
  const Tensor g = numbers({n}, DType::fp32), decayed({n / kParameterBlock}, DType::u8);
  Tensor p = numbers({n}, DType::fp32), m({n}, DType::fp32), v({n}, DType::fp32), copy({n}, DType::bf16), sums({1}, DType::fp64);
  const auto update = [&](View to, bool by_chance) {
    adamw({.param = p.view(), .m = m.view(), .v = v.view(), .gradient = g.view(), .decayed = decayed.view(), .copy = to,
           .stochastic_rounding = by_chance, .lr = 1e-3f, .step = 2}, s);
  };
  measure("adamw_fp32", "element", n, [&] { update({}, false); });
  measure("adamw_bf16", "element", n, [&] { update(copy.view(), false); });
  measure("adamw_by_chance", "element", n, [&] { update(copy.view(), true); });
  measure("sum_of_squares", "element", n, [&] { sum_of_squares({.x = g.view(), .sums = sums.view()}, s); });
}

}  // namespace
}  // namespace tw

int main(int argc, char** argv) {
  using namespace tw;
  if (argc > 1 && std::strcmp(argv[1], "--compiler") == 0) {
#if !defined(__OPTIMIZE__)
    std::puts("no optimisation");
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    std::puts("a sanitizer");
#else
    std::puts("GCC " __VERSION__);
#endif
    return 0;
  }
  cpu::limit_simd_level(cpu::SimdLevel::v3);
  if (cpu::simd_level() != cpu::SimdLevel::v3) {
    std::fputs("this CPU has no AVX2\n", stderr);
    return 77;
  }
  ThreadTeam team(1);
  const Stream stream(team);
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    const std::string type(name_of(dtype));
    products(dtype, type, stream);
    attention(dtype, type, stream);
    norms(dtype, type, stream);
    element_wise(dtype, type, stream);
    loss(dtype, type, stream);
  }
  optimizer(stream);
}
