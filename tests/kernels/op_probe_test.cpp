// What ops say of their work, and who hears it.
#include "kernels/op_probe.h"

#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/fill.h"
#include "kernels/loss.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise.h"
#include "kernels/rope.h"
#include "tests/kernels/op_test.h"

namespace tw {
namespace {

struct Recorder final : OpProbe {
  struct Call {
    std::string op;
    OpWork work;
  };
  void begin(const Stream&) override { ++begun; }
  void end(const char* op, const OpWork& work, const Stream&) override { calls.push_back({op, work}); }
  int begun = 0;
  std::vector<Call> calls;
};

class Probe : public testing::Test {
 protected:
  ThreadTeam team{1};
  Recorder recorder;
  Stream stream = Stream(team).watched_by(&recorder);
};

TEST_F(Probe, MatrixProductsTellShapeFormAndBytes) {
  const Tensor a = normal({6, 5}, DType::fp32, 1), b = normal({7, 5}, DType::fp32, 2), bias = normal({7}, DType::fp32, 3);
  Tensor out({6, 7}, DType::fp32), gradient({5, 7}, DType::fp32);
  matmul({.a = a.view(), .b = b.view(), .out = out.view(), .bias = bias.view(), .transpose_b = true}, stream);
  matmul({.a = a.view(), .b = out.view(), .out = gradient.view(), .transpose_a = true, .accumulate = true}, stream);
  ASSERT_EQ(recorder.calls.size(), 2u);
  const OpWork& forward = recorder.calls[0].work;
  EXPECT_EQ(recorder.calls[0].op, "matmul");
  EXPECT_EQ(forward.flops, 2 * 6 * 7 * 5);
  EXPECT_EQ(forward.bytes, 4 * (6 * 5 + 7 * 5 + 6 * 7 + 7));
  EXPECT_EQ(forward.shape, (Shape{6, 7, 5}));
  EXPECT_STREQ(forward.form, "a b^T");
  const OpWork& weight = recorder.calls[1].work;
  EXPECT_EQ(weight.shape, (Shape{5, 7, 6}));
  EXPECT_EQ(weight.bytes, 4 * (6 * 5 + 6 * 7 + 2 * 5 * 7)) << "what is added to is read, too";
  EXPECT_STREQ(weight.form, "a^T b");
}

TEST_F(Probe, AttentionCountsThePairsThatAreSeen) {
  const int64_t B = 2, T = 6, H = 2, KV = 1, D = 4;
  const Tensor qkv = normal({B, T, H + 2 * KV, D}, DType::fp32, 1);
  Tensor out({B, T, H, D}, DType::fp32), lse({B, H, T}, DType::fp32), dqkv({B, T, H + 2 * KV, D}, DType::fp32);
  const auto forward = [&](ConstView starts) {
    attention_forward({.qkv = qkv.view(), .starts = starts, .out = out.view(), .lse = lse.view(), .heads = H, .kv_heads = KV, .scale = 1},
                      stream);
    return recorder.calls.back().work;
  };
  EXPECT_EQ(forward({}).flops, B * H * (T * (T + 1) / 2) * (4 * D + 4));
  Tensor starts({B, T}, DType::i32);  // the second row: two documents of 3
  for (int t = 3; t < 6; ++t) starts.as<int32_t>()[T + t] = 3;
  EXPECT_EQ(forward(starts.view()).flops, H * (21 + 12) * (4 * D + 4));
  attention_backward({.qkv = qkv.view(), .out = out.view(), .dout = out.view(), .lse = lse.view(), .dqkv = dqkv.view(), .heads = H,
                      .kv_heads = KV, .scale = 1},
                     stream);
  EXPECT_EQ(recorder.calls.back().work.flops, B * H * (T * (T + 1) / 2) * (10 * D + 6));
}

TEST_F(Probe, EveryOpOfAStepHasBytes) {
  const int64_t N = 4, C = 8, V = 16, n = kParameterBlock;
  Tensor x = normal({N, C}, DType::bf16, 1), y({N, C}, DType::bf16), wide = normal({N, 2 * C}, DType::bf16, 2);
  Tensor gamma = normal({C}, DType::fp32, 3), beta({C}, DType::fp32), mean({N}, DType::fp32), rstd({N}, DType::fp32);
  Tensor dgamma({C}, DType::fp32), dbeta({C}, DType::fp32);
  norm_forward({.x = x.view(), .gamma = gamma.view(), .beta = beta.view(), .y = y.view(), .mean = mean.view(), .rstd = rstd.view()}, stream);
  norm_backward({.dy = y.view(), .s = x.view(), .gamma = gamma.view(), .mean = mean.view(), .rstd = rstd.view(), .dx = y.view(),
                 .dgamma = dgamma.view(), .dbeta = dbeta.view()}, stream);
  gelu_forward({.x = x.view(), .y = y.view()}, stream);
  gelu_backward({.x = x.view(), .dy = y.view(), .dx = y.view()}, stream);
  swiglu_forward({.gate_up = wide.view(), .y = y.view()}, stream);
  swiglu_backward({.gate_up = wide.view(), .dy = y.view(), .dgate_up = wide.view()}, stream);
  bias_backward({.dy = y.view(), .dbias = dbeta.view()}, stream);
  add({.a = x.view(), .b = y.view(), .out = y.view()}, stream);
  cast({.in = gamma.view(), .out = beta.view()}, stream);
  scale({.x = beta.view(), .factor = 2}, stream);
  zero({.x = y.view()}, stream);
  Tensor ids({1, N}, DType::i32), targets({N}, DType::i32), table = normal({V, C}, DType::fp32, 4), dtable({V, C}, DType::fp32);
  Tensor embedded({1, N, C}, DType::fp32), logits = normal({N, V}, DType::fp32, 5), losses({N}, DType::fp32);
  embedding_forward({.ids = ids.view(), .tokens = table.view(), .x = embedded.view()}, stream);
  embedding_backward({.ids = ids.view(), .dx = embedded.view(), .dtokens = dtable.view()}, stream);
  cross_entropy({.logits = logits.view(), .targets = targets.view(), .losses = losses.view(), .vocab = V}, stream);
  Tensor heads = normal({1, N, 3, C}, DType::fp32, 6), cos({N, C / 2}, DType::fp32), sin({N, C / 2}, DType::fp32);
  rope_table(10000, 0, cos.view(), sin.view());
  rope({.qkv = heads.view(), .cos = cos.view(), .sin = sin.view(), .heads = 1, .kv_heads = 1}, stream);
  Tensor p({n}, DType::fp32), m({n}, DType::fp32), v({n}, DType::fp32), g({n}, DType::fp32), decayed({1}, DType::u8), sums({1}, DType::fp64);
  adamw({.param = p.view(), .m = m.view(), .v = v.view(), .gradient = g.view(), .decayed = decayed.view()}, stream);
  sum_of_squares({.x = g.view(), .sums = sums.view()}, stream);
  tree_sum({.parts = std::as_const(g).view().reshape({1, n}), .out = p.view()}, stream);
  EXPECT_EQ(recorder.calls.size(), 18u);
  for (const auto& [op, work] : recorder.calls) {
    EXPECT_GT(work.bytes, 0) << op;
    const bool moves_alone = op == "zero" || op == "cast" || op == "tree_sum" || op == "embedding_forward";
    EXPECT_EQ(work.flops > 0, !moves_alone) << op;
  }
  EXPECT_EQ(recorder.calls[7].work.bytes, 3 * N * C * 2) << "add reads two and writes one";
  EXPECT_EQ(recorder.calls[2].work.dtype, DType::bf16);
  EXPECT_EQ(recorder.calls[15].op, "adamw");
  EXPECT_EQ(recorder.calls[15].work.bytes, 7 * 4 * n + 1);
}

TEST_F(Probe, AnOpThatThrowsHasNoEndAndNobodyWatchesAPlainStream) {
  Tensor x({4}, DType::fp32), y({5}, DType::fp32);
  EXPECT_THROW(gelu_forward({.x = x.view(), .y = y.view()}, stream), Error);
  Tensor table({4, 2}, DType::fp32), ids({1, 1}, DType::i32), out({1, 1, 2}, DType::fp32);
  ids.as<int32_t>()[0] = 99;
  EXPECT_THROW(embedding_forward({.ids = ids.view(), .tokens = table.view(), .x = out.view()}, stream), Error);
  EXPECT_EQ(recorder.begun, 1) << "shapes are checked before";
  EXPECT_TRUE(recorder.calls.empty());
  zero({.x = x.view()}, Stream(team));
  EXPECT_EQ(recorder.begun, 1);
}

}  // namespace
}  // namespace tw
