#include "kernels/attention.h"

#include <limits>
#include <ostream>

#include "tests/kernels/op_test.h"

namespace tw {
namespace {

struct Case {
  int64_t B, T, H, KV, D;
  DType dtype = DType::fp32;
  int64_t document = 0;  // their longest; 0 = one a row
};
std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "B" << c.B << " T" << c.T << " H" << c.H << " KV" << c.KV << " D" << c.D << " "
             << name_of(c.dtype) << " documents " << c.document;
}

// Where the document of each position begins: lengths 1 to c.document, each row its own.
Tensor made_up_starts(const Case& c) {
  Tensor starts = tensor({c.B, c.T}, DType::i32);
  const Rng rng{3, RngStream::test, uint32_t(c.T), uint32_t(c.document)};
  for (int64_t b = 0; b < c.B; ++b) {
    int32_t begin = 0;
    for (int64_t t = 0, next = 0; t < c.T; ++t) {
      if (t == next) begin = int32_t(t), next = t + 1 + rng.bits(uint64_t(b * c.T + t)) % uint64_t(c.document);
      starts.as<int32_t>()[b * c.T + t] = begin;
    }
  }
  return starts;
}

bool same_bits(const Tensor& x, const Tensor& y) {
  return x.view().bytes() == y.view().bytes() &&
         std::memcmp(x.view().data, y.view().data, x.view().bytes()) == 0;
}

// The definition in double: queries stand at past + i; keys and values as (B, KV, U, D).
struct Truth {
  std::vector<double> out, lse, dq, dk, dv;
};
struct Heads {
  int64_t B, T, U, H, KV, D, past;
  std::vector<double> q, k, v;  // (B, H, T, D), (B, KV, U, D)
};
// starts: of the documents, (B, T).
Truth attend(const Heads& s, double scale, const std::vector<double>* dout, const int32_t* starts = nullptr) {
  Truth r;
  r.out.assign(size_t(s.B * s.T * s.H * s.D), 0);
  r.lse.assign(size_t(s.B * s.H * s.T), 0);
  r.dq.assign(s.q.size(), 0), r.dk.assign(s.k.size(), 0), r.dv.assign(s.v.size(), 0);
  for (int64_t b = 0; b < s.B; ++b) {
    for (int64_t h = 0; h < s.H; ++h) {
      const int64_t kv = h / (s.H / s.KV);
      for (int64_t t = 0; t < s.T; ++t) {
        const int64_t seen = s.past + t + 1, first = starts ? starts[b * s.T + t] : 0;
        const double* q = &s.q[size_t(((b * s.H + h) * s.T + t) * s.D)];
        const size_t keys = size_t((b * s.KV + kv) * s.U * s.D),
                     o = size_t(((b * s.T + t) * s.H + h) * s.D);
        std::vector<double> p(static_cast<size_t>(seen));
        double largest = -1e300, total = 0;
        for (int64_t u = first; u < seen; ++u) {
          double dot = 0;
          for (int64_t d = 0; d < s.D; ++d) dot += q[d] * s.k[keys + size_t(u * s.D + d)];
          p[size_t(u)] = dot * scale;
          largest = std::max(largest, p[size_t(u)]);
        }
        for (size_t u = size_t(first); u < p.size(); ++u) total += p[u] = std::exp(p[u] - largest);
        for (double& x : p) x /= total;  // 0 before the document
        r.lse[size_t((b * s.H + h) * s.T + t)] = largest + std::log(total);
        for (int64_t u = 0; u < seen; ++u) {
          for (int64_t d = 0; d < s.D; ++d)
            r.out[o + size_t(d)] += p[size_t(u)] * s.v[keys + size_t(u * s.D + d)];
        }
        if (!dout) continue;
        const double* g = &(*dout)[o];
        double delta = 0;
        for (int64_t d = 0; d < s.D; ++d) delta += g[d] * r.out[o + size_t(d)];
        for (int64_t u = 0; u < seen; ++u) {
          const size_t ku = keys + size_t(u * s.D);
          double dp = 0;
          for (int64_t d = 0; d < s.D; ++d) dp += g[d] * s.v[ku + size_t(d)];
          const double ds = scale * p[size_t(u)] * (dp - delta);
          for (int64_t d = 0; d < s.D; ++d) {
            r.dq[size_t(((b * s.H + h) * s.T + t) * s.D + d)] += ds * s.k[ku + size_t(d)];
            r.dk[ku + size_t(d)] += ds * q[d];
            r.dv[ku + size_t(d)] += p[size_t(u)] * g[d];
          }
        }
      }
    }
  }
  return r;
}
// Element (b, head, t, d) of a packed qkv-shaped tensor.
double& packed(std::vector<double>& x, const Case& c, int64_t b, int64_t t, int64_t head,
               int64_t d) {
  return x[size_t(((b * c.T + t) * (c.H + 2 * c.KV) + head) * c.D + d)];
}
Heads unpack(const Case& c, std::vector<double> qkv) {
  Heads s{c.B, c.T, c.T, c.H, c.KV, c.D, 0, {}, {}, {}};
  for (int64_t b = 0; b < c.B; ++b) {
    for (int64_t head = 0; head < c.H + 2 * c.KV; ++head) {
      auto& to = head < c.H ? s.q : head < c.H + c.KV ? s.k : s.v;
      for (int64_t t = 0; t < c.T; ++t) {
        for (int64_t d = 0; d < c.D; ++d) to.push_back(packed(qkv, c, b, t, head, d));
      }
    }
  }
  return s;
}

class Attention : public testing::TestWithParam<std::tuple<Case, cpu::SimdLevel>> {
 protected:
  void SetUp() override {
    const cpu::SimdLevel level = std::get<1>(GetParam());
    if (!kOnGpu && cpu::best_simd_level() < level) GTEST_SKIP() << "this CPU has no such instructions";
    cpu::limit_simd_level(level);
  }
  void TearDown() override { cpu::limit_simd_level(cpu::SimdLevel::v4); }
};

TEST_P(Attention, ForwardAndBackwardEqualTheDefinition) {
  const Case c = std::get<0>(GetParam());
  const bool narrow = c.dtype == DType::bf16;
  const float scale = 1 / std::sqrt(float(c.D));
  const Shape packed_shape{c.B, c.T, c.H + 2 * c.KV, c.D}, out_shape{c.B, c.T, c.H, c.D};
  const Tensor qkv = normal(packed_shape, c.dtype, 1, 1.5f), dout = normal(out_shape, c.dtype, 2);
  const std::vector<double> gradient = values(dout);
  const Tensor documents = c.document ? made_up_starts(c) : Tensor();
  const ConstView starts = c.document ? documents.view() : ConstView();
  const Truth want = attend(unpack(c, values(qkv)), double(scale), &gradient, starts ? starts.as<int32_t>() : nullptr);

  Tensor out1, lse1, dqkv1;
  for (int threads : {1, 2, 3}) {
    const OpStream stream(threads);
    Tensor out = poisoned(out_shape, c.dtype), lse = poisoned({c.B, c.H, c.T}, DType::fp32);
    Tensor dqkv = poisoned(packed_shape, c.dtype);
    Mirror m(stream);
    const ConstView qkv_there = m.in(qkv.view()), documents_there = starts ? m.in(starts) : ConstView();
    const View out_there = m.out(out.view()), lse_there = m.out(lse.view());
    attention_forward({.qkv = qkv_there, .starts = documents_there, .out = out_there, .lse = lse_there, .heads = c.H, .kv_heads = c.KV, .scale = scale},
                      stream);
    attention_backward({.qkv = qkv_there, .starts = documents_there, .out = out_there, .dout = m.in(dout.view()), .lse = lse_there,
                        .dqkv = m.out(dqkv.view()), .heads = c.H, .kv_heads = c.KV, .scale = scale},
                       stream);
    m.done();
    if (threads == 1) {
      expect_near(values(out), want.out, narrow ? 1e-2 : 6e-6, narrow ? 8e-3 : 1e-5, "out");
      expect_near(values(lse), want.lse, 5e-6, 2e-6, "lse");
      std::vector<double> gradients(values(dqkv).size());
      size_t at = 0;
      for (int64_t b = 0, q = 0, kv = 0; b < c.B; ++b) {
        for (int64_t head = 0; head < c.H + 2 * c.KV; ++head) {
          const auto& from = head < c.H ? want.dq : head < c.H + c.KV ? want.dk : want.dv;
          int64_t& next = head < c.H ? q : kv;
          if (head == c.H + c.KV) next -= c.KV * c.T * c.D;  // dv follows the same index as dk
          for (int64_t t = 0; t < c.T; ++t) {
            for (int64_t d = 0; d < c.D; ++d, ++at)
              packed(gradients, c, b, t, head, d) = from[size_t(next++)];
          }
        }
      }
      ASSERT_EQ(at, gradients.size());
      expect_near(values(dqkv), gradients, narrow ? 5e-2 : 2e-5, narrow ? 2e-2 : 1e-5, "dqkv");
      out1 = std::move(out), lse1 = std::move(lse), dqkv1 = std::move(dqkv);
    } else {
      EXPECT_TRUE(same_bits(out, out1)) << threads << " threads";
      EXPECT_TRUE(same_bits(lse, lse1)) << threads << " threads";
      EXPECT_TRUE(same_bits(dqkv, dqkv1)) << threads << " threads";
    }
  }
}

TEST_P(Attention, DecodeEqualsTheDefinition) {
  const Case c = std::get<0>(GetParam());
  const bool narrow = c.dtype == DType::bf16;
  const float scale = 1 / std::sqrt(float(c.D));
  for (int64_t past : {int64_t(0), int64_t(1), int64_t(70), int64_t(600)}) {
    const int64_t U = past + c.T, T_max = U + 5;
    Tensor k = normal({c.B, c.KV, T_max, c.D}, c.dtype, 3),
           v = normal({c.B, c.KV, T_max, c.D}, c.dtype, 4);
    const Tensor qkv = normal({c.B, c.T, c.H + 2 * c.KV, c.D}, c.dtype, 1, 1.5f);
    Heads s = unpack(c, values(qkv));
    s.U = U, s.past = past, s.k.clear(), s.v.clear();
    const std::vector<double> all_k = values(k), all_v = values(v);
    for (int64_t bkv = 0; bkv < c.B * c.KV; ++bkv) {
      s.k.insert(s.k.end(), &all_k[size_t(bkv * T_max * c.D)],
                 &all_k[size_t(bkv * T_max * c.D)] + U * c.D);
      s.v.insert(s.v.end(), &all_v[size_t(bkv * T_max * c.D)],
                 &all_v[size_t(bkv * T_max * c.D)] + U * c.D);
      for (Tensor* cache : {&k, &v}) {  // what lies beyond must not be read into the result
        std::memset(static_cast<char*>(cache->view().data) +
                        size_t((bkv * T_max + U) * c.D) * size_of(c.dtype),
                    0xff, size_t(5 * c.D) * size_of(c.dtype));
      }
    }
    const Truth want = attend(s, double(scale), nullptr);
    Tensor out1;
    for (int threads : {1, 2}) {
      const OpStream stream(threads);
      Tensor out = poisoned({c.B, c.T, c.H, c.D}, c.dtype);
      attention_decode({.qkv = qkv.view(),
                        .k_cache = k.view(),
                        .v_cache = v.view(),
                        .out = out.view(),
                        .past = past,
                        .heads = c.H,
                        .kv_heads = c.KV,
                        .scale = scale},
                       stream);
      stream.finish();
      if (threads == 1) {
        expect_near(values(out), want.out, narrow ? 1e-2 : 3e-6, narrow ? 8e-3 : 1e-5, "out");
        out1 = std::move(out);
      } else {
        EXPECT_TRUE(same_bits(out, out1));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ops, Attention,
    testing::Combine(testing::Values(Case{1, 1, 1, 1, 1}, Case{1, 5, 1, 1, 3}, Case{2, 64, 2, 2, 8},
                                     Case{1, 65, 4, 2, 16}, Case{1, 130, 4, 1, 24},
                                     Case{2, 100, 6, 2, 32}, Case{1, 200, 2, 1, 64},
                                     Case{1, 129, 2, 2, 80}, Case{1, 77, 3, 1, 128},
                                     Case{1, 1, 8, 2, 64}, Case{3, 2, 4, 4, 7},
                                     Case{1, 513, 1, 1, 20}, Case{1, 130, 4, 2, 64, DType::bf16},
                                     Case{2, 33, 3, 3, 9, DType::bf16},
                                     Case{1, 1, 4, 1, 80, DType::bf16},
                                     Case{1, 1, 1, 1, 8, DType::fp32, 1},
                                     Case{2, 70, 2, 1, 16, DType::fp32, 1},
                                     Case{2, 300, 4, 2, 16, DType::fp32, 20},
                                     Case{1, 513, 2, 2, 20, DType::fp32, 200},
                                     Case{3, 129, 2, 1, 64, DType::bf16, 90},
                                     Case{1, 100, 2, 1, 128, DType::bf16}, Case{2, 66, 4, 2, 32, DType::bf16, 30},
                                     Case{1, 70, 1, 1, 96, DType::bf16}),
                     testing::ValuesIn(test_levels())),
    [](const auto& info) {
      const Case& c = std::get<0>(info.param);
      return "B" + std::to_string(c.B) + "T" + std::to_string(c.T) + "H" + std::to_string(c.H) +
             "KV" + std::to_string(c.KV) + "D" + std::to_string(c.D) +
             std::string(name_of(c.dtype)) + (c.document ? "Documents" + std::to_string(c.document) : "") +
             level_name(std::get<1>(info.param));
    });

TEST(AttentionScores, HugeScoresStayFinite) {
  // Scores of +-1e4: a softmax without a running maximum overflows.
  const int64_t T = 150, D = 16;
  Tensor qkv = normal({1, T, 3, D}, DType::fp32, 9, 50), out = poisoned({1, T, 1, D}, DType::fp32);
  Tensor lse = poisoned({1, 1, T}, DType::fp32);
  const OpStream stream;
  attention_forward({.qkv = qkv.view(),
                     .out = out.view(),
                     .lse = lse.view(),
                     .heads = 1,
                     .kv_heads = 1,
                     .scale = 1},
                    stream);
  stream.finish();
  const Truth want = attend(unpack({1, T, 1, 1, D}, values(qkv)), 1, nullptr);
  expect_near(values(lse), want.lse, 0, 1e-6, "lse");
  expect_near(values(out), want.out, 1e-1, 1e-4,
              "out");  // scores of 1e4 carry an fp32 error of 1e-3
}

// The same output bits as alone, and a NaN in one document stays there.
TEST(AttentionDocuments, EachIsAsIfAlone) {
  const int64_t D = 24, H = 2, lengths[] = {70, 1, 130, 5}, T = 206;
  Tensor qkv = normal({1, T, H + 2, D}, DType::fp32, 9), dout = normal({1, T, H, D}, DType::fp32, 10);
  Tensor starts = tensor({1, T}, DType::i32), out = tensor({1, T, H, D}, DType::fp32), lse = tensor({1, H, T}, DType::fp32),
         dqkv = tensor({1, T, H + 2, D}, DType::fp32);
  for (int64_t d = 0, t = 0; d < 4; ++d)
    for (int64_t i = 0, begin = t; i < lengths[d]; ++i) starts.as<int32_t>()[t++] = int32_t(begin);
  std::fill_n(qkv.as<float>() + 70 * (H + 2) * D, (H + 2) * D, std::numeric_limits<float>::quiet_NaN());  // the second
  const OpStream stream(2);
  const auto run = [&](ConstView in, ConstView grad, ConstView s, Tensor& o, Tensor& l, Tensor& g) {
    attention_forward({.qkv = in, .starts = s, .out = o.view(), .lse = l.view(), .heads = H, .kv_heads = 1, .scale = 0.2f},
                      stream);
    attention_backward({.qkv = in, .starts = s, .out = o.view(), .dout = grad, .lse = l.view(), .dqkv = g.view(), .heads = H,
                        .kv_heads = 1, .scale = 0.2f},
                       stream);
    stream.finish();
  };
  run(qkv.view(), dout.view(), starts.view(), out, lse, dqkv);
  int64_t begin = 0;
  for (const int64_t n : lengths) {
    Tensor o = tensor({1, n, H, D}, DType::fp32), l = tensor({1, H, n}, DType::fp32), g = tensor({1, n, H + 2, D}, DType::fp32);
    const auto rows = [&](const Tensor& x, int64_t width) {
      return x.view().flat(begin * width, (begin + n) * width);
    };
    run(rows(qkv, (H + 2) * D).reshape({1, n, H + 2, D}), rows(dout, H * D).reshape({1, n, H, D}), {}, o, l, g);
    const ConstView out_rows = rows(out, H * D), dqkv_rows = rows(dqkv, (H + 2) * D);
    // On a GPU tiles begin at fixed positions of the row.
    if (!kOnGpu) EXPECT_EQ(std::memcmp(out_rows.data, o.view().data, o.view().bytes()), 0) << "from " << begin;
    else if (n != 1) expect_near(values(out_rows), values(o), 1e-6, 1e-6, "out");
    EXPECT_EQ(std::isnan(out_rows.as<float>()[0]), n == 1);
    if (n != 1) {
      // Key blocks are dealt to parts that each sum into a dq of their own, so this is within rounding.
      expect_near(values(dqkv_rows), values(g), 1e-5, 1e-5, "dqkv");
    }
    begin += n;
  }
}

TEST(AttentionDocuments, WrongStartsAreRefused) {
  Tensor qkv({1, 4, 3, 8}, DType::fp32), out({1, 4, 1, 8}, DType::fp32), lse({1, 1, 4}, DType::fp32);
  ThreadTeam team(1);
  const auto forward = [&](const std::vector<double>& starts, Shape shape) {
    const Tensor s = from_values(shape, DType::i32, starts);
    attention_forward({.qkv = qkv.view(), .starts = s.view(), .out = out.view(), .lse = lse.view(), .heads = 1, .kv_heads = 1,
                       .scale = 1},
                      Stream(team));
  };
  forward({0, 0, 2, 2}, {1, 4});
  expect_refused([&] { forward({0, 0, 2, 2}, {4, 1}); }, "starts: want (1, 4) i32");
  for (const auto& starts : {std::vector<double>{1, 1, 1, 1}, {0, 0, 1, 1}, {0, 1, 0, 0}, {0, 0, 7, 7}, {0, -1, -1, -1}})
    expect_refused([&] { forward(starts, {1, 4}); }, "the document of position");
}

TEST(AttentionScores, NaNIsNotHidden) {
  const int64_t T = 70, D = 8;
  Tensor qkv = normal({1, T, 3, D}, DType::fp32, 9), out = tensor({1, T, 1, D}, DType::fp32),
         lse = tensor({1, 1, T}, DType::fp32);
  qkv.as<float>()[(66 * 3 + 1) * D] = std::numeric_limits<float>::quiet_NaN();  // key 66
  const OpStream stream;
  attention_forward({.qkv = qkv.view(),
                     .out = out.view(),
                     .lse = lse.view(),
                     .heads = 1,
                     .kv_heads = 1,
                     .scale = 1},
                    stream);
  stream.finish();
  EXPECT_FALSE(std::isnan(out.as<float>()[65 * D]));
  for (int64_t t = 66; t < T; ++t) EXPECT_TRUE(std::isnan(out.as<float>()[t * D])) << t;
}

TEST(AttentionShapes, WrongOnesAreNamed) {
  Tensor qkv({1, 4, 6, 8}, DType::fp32), out({1, 4, 2, 8}, DType::fp32),
      lse({1, 2, 4}, DType::fp32);
  ThreadTeam team(1);
  try {
    attention_forward({.qkv = qkv.view(),
                       .out = out.view(),
                       .lse = lse.view(),
                       .heads = 4,
                       .kv_heads = 1,
                       .scale = 1},
                      Stream(team));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(
                  "[attention_forward] out: want (1, 4, 4, 8) fp32, got (1, 4, 2, 8) fp32"),
              std::string::npos)
        << e.what();
  }
  EXPECT_THROW(attention_forward({.qkv = qkv.view(),
                                  .out = out.view(),
                                  .lse = lse.view(),
                                  .heads = 2,
                                  .kv_heads = 3,
                                  .scale = 1},
                                 Stream(team)),
               Error);
}

}  // namespace
}  // namespace tw
