// Ops that know of tokens and positions: embedding, rope, key/value cache.
#include "kernels/embedding.h"
#include "kernels/kv_cache.h"
#include "kernels/rope.h"
#include "tests/kernels/op_test.h"

namespace tw {
namespace {

using Sequence = OpTest;
INSTANTIATE_TEST_SUITE_P(Ops, Sequence, op_levels(), op_level_name);

struct Table {
  int64_t B, T, V, C;
};
const Table kTables[] = {{1, 1, 1, 1}, {2, 3, 5, 7}, {3, 33, 300, 16}, {2, 65, 11, 37}};

Tensor some_ids(const Table& t) {  // every id again and again where V is small
  std::vector<double> ids;
  for (int64_t i = 0; i < t.B * t.T; ++i) ids.push_back(double(i * i * 31 % t.V));
  return from_values({t.B, t.T}, DType::i32, ids);
}

TEST_P(Sequence, EmbeddingAddsTokenAndPosition) {
  for (const Table& t : kTables)
    for (bool with_positions : {true, false}) {
      const int64_t first = 2;
      const Tensor ids = some_ids(t), tokens = normal({t.V, t.C}, dtype(), 1), positions = normal({t.T + first, t.C}, dtype(), 2);
      std::vector<double> want, token = values(tokens), position = values(positions);
      for (int64_t n = 0; n < t.B * t.T; ++n)
        for (int64_t c = 0; c < t.C; ++c) {
          const double a = token[size_t(ids.as<int32_t>()[n] * t.C + c)];
          want.push_back(with_positions ? a + position[size_t((first + n % t.T) * t.C + c)] : a);
        }
      const auto got = on_threads({{{t.B, t.T, t.C}, dtype()}}, [&](const Stream& s, const std::vector<View>& out) {
        embedding_forward({.ids = ids.view(), .tokens = tokens.view(),
                           .positions = with_positions ? positions.view() : ConstView(), .x = out[0], .first_position = first}, s);
      });
      expect_near(got[0], want, 0, with_positions ? 1e-7 + rounding() : 0, "x");
    }
}

TEST_P(Sequence, EmbeddingGradientsAreSumsOverTokens) {
  for (const Table& t : kTables)
    for (bool with_positions : {true, false}) {
      const Tensor ids = some_ids(t), dx = normal({t.B, t.T, t.C}, dtype(), 3);
      const Tensor dtokens = normal({t.V, t.C}, DType::fp32, 4), dpositions = normal({t.T + 2, t.C}, DType::fp32, 5);
      std::vector<double> want = values(dtokens), want_positions = values(dpositions), d = values(dx);
      for (int64_t i = 0; i < dx.count(); ++i) {
        const int64_t n = i / t.C, c = i % t.C;
        want[size_t(ids.as<int32_t>()[n] * t.C + c)] += d[size_t(i)];
        if (with_positions) want_positions[size_t(n % t.T * t.C + c)] += d[size_t(i)];
      }
      const auto got = on_threads({{dtokens.shape(), DType::fp32, &dtokens}, {dpositions.shape(), DType::fp32, &dpositions}},
                                  [&](const Stream& s, const std::vector<View>& out) {
        embedding_backward({.ids = ids.view(), .dx = dx.view(), .dtokens = out[0],
                            .dpositions = with_positions ? out[1] : View()}, s);
      });
      expect_near(got[0], want, 1e-5, 1e-6, "dtokens");
      expect_near(got[1], want_positions, 1e-6, 1e-6, "dpositions");
    }
}

TEST_P(Sequence, PositionsBeginAgainWhereDocumentsDo) {
  for (const Table& t : kTables) {
    const Tensor ids = some_ids(t), tokens = normal({t.V, t.C}, dtype(), 1), positions = normal({t.T, t.C}, dtype(), 2),
                 dx = normal({t.B, t.T, t.C}, dtype(), 3), dtokens = normal({t.V, t.C}, DType::fp32, 4),
                 dpositions = normal({t.T, t.C}, DType::fp32, 5);
    Tensor starts = tensor({t.B, t.T}, DType::i32);
    std::vector<double> want, want_positions = values(dpositions), token = values(tokens), position = values(positions),
                              d = values(dx);
    for (int64_t n = 0, start = 0; n < t.B * t.T; ++n) {
      if (n % t.T == 0 || n % 7 == 3 || n % 11 == 4) start = n % t.T;
      starts.as<int32_t>()[n] = int32_t(start);
      for (int64_t c = 0; c < t.C; ++c) {
        const size_t p = size_t((n % t.T - start) * t.C + c);
        want.push_back(token[size_t(ids.as<int32_t>()[n] * t.C + c)] + position[p]);
        want_positions[p] += d[size_t(n * t.C + c)];
      }
    }
    const auto got = on_threads({{{t.B, t.T, t.C}, dtype()}, {dtokens.shape(), DType::fp32, &dtokens},
                                 {dpositions.shape(), DType::fp32, &dpositions}},
                                [&](const Stream& s, const std::vector<View>& out) {
      embedding_forward({.ids = ids.view(), .tokens = tokens.view(), .positions = positions.view(), .starts = starts.view(),
                         .x = out[0]}, s);
      embedding_backward({.ids = ids.view(), .starts = starts.view(), .dx = dx.view(), .dtokens = out[1],
                          .dpositions = out[2]}, s);
    });
    expect_near(got[0], want, 0, 1e-7 + rounding(), "x");
    expect_near(got[2], want_positions, 1e-5, 1e-6, "dpositions");
    starts.as<int32_t>()[0] = 1;
    ThreadTeam team(1);
    Tensor x({t.B, t.T, t.C}, dtype());
    expect_refused([&] {
      embedding_forward({.ids = ids.view(), .tokens = tokens.view(), .positions = positions.view(), .starts = starts.view(),
                         .x = x.view()}, Stream(team));
    }, "the document of position 0");
  }
}

TEST_P(Sequence, RopeRotatesQueriesAndKeysOnly) {
  struct Case { int64_t B, T, H, KV, D; };
  for (const Case& c : {Case{1, 1, 1, 1, 2}, Case{2, 5, 3, 1, 6}, Case{1, 19, 4, 2, 32}, Case{2, 9, 2, 2, 70}}) {
    const int64_t slots = c.H + 2 * c.KV, half = c.D / 2, first = 11;
    const Shape shape{c.B, c.T, slots, c.D};
    const Tensor qkv = normal(shape, dtype(), 1);
    Tensor cos = poisoned({c.T, half}, DType::fp32), sin = poisoned({c.T, half}, DType::fp32);
    rope_table(10000, first, cos.view(), sin.view());
    const auto got = on_threads({{shape, dtype(), &qkv}, {shape, dtype(), &qkv}}, [&](const Stream& s, const std::vector<View>& out) {
      rope({.qkv = out[0], .cos = cos.view(), .sin = sin.view(), .heads = c.H, .kv_heads = c.KV}, s);
      rope({.qkv = out[1], .cos = cos.view(), .sin = sin.view(), .heads = c.H, .kv_heads = c.KV, .backward = true}, s);
    });
    for (double direction : {1.0, -1.0}) {  // the gradient of a rotation is the rotation back
      std::vector<double> want = values(qkv);
      for (int64_t row = 0; row < c.B * c.T * slots; ++row) {
        if (row % slots >= c.H + c.KV) continue;
        for (int64_t i = 0; i < half; ++i) {
          const double angle = direction * double(first + row / slots % c.T) * std::pow(10000.0, -2.0 * double(i) / double(c.D));
          double &a = want[size_t(row * c.D + i)], &b = want[size_t(row * c.D + half + i)];
          const double old = a;
          a = a * std::cos(angle) - b * std::sin(angle);
          b = b * std::cos(angle) + old * std::sin(angle);
        }
      }
      const auto& result = direction > 0 ? got[0] : got[1];
      expect_near(result, want, 5e-6 + (narrow() ? 1e-3 : 0), rounding(), "qkv");
      for (size_t i = 0; i < want.size(); ++i) {
        if (int64_t(i) / c.D % slots < c.H + c.KV) continue;
        ASSERT_EQ(result[i], want[i]) << "a value head changed";
      }
    }
  }
}

TEST_P(Sequence, CacheTakesKeysAndValuesOfNewTokens) {
  const int64_t B = 2, T = 3, H = 3, KV = 2, D = 5, T_max = 9, past = 4;
  const Tensor qkv = normal({B, T, H + 2 * KV, D}, dtype(), 1), k = normal({B, KV, T_max, D}, dtype(), 2), v = normal({B, KV, T_max, D}, dtype(), 3);
  std::vector<double> want_k = values(k), want_v = values(v), from = values(qkv);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t t = 0; t < T; ++t)
      for (int64_t h = 0; h < KV; ++h)
        for (int64_t d = 0; d < D; ++d) {
          const size_t to = size_t(((b * KV + h) * T_max + past + t) * D + d), token = size_t((b * T + t) * (H + 2 * KV) * D + d);
          want_k[to] = from[token + size_t((H + h) * D)];
          want_v[to] = from[token + size_t((H + KV + h) * D)];
        }
  const auto got = on_threads({{k.shape(), dtype(), &k}, {v.shape(), dtype(), &v}}, [&](const Stream& s, const std::vector<View>& out) {
    kv_cache_append({.qkv = qkv.view(), .k_cache = out[0], .v_cache = out[1], .past = past, .heads = H, .kv_heads = KV}, s);
  });
  EXPECT_EQ(got[0], want_k);
  EXPECT_EQ(got[1], want_v);
}

TEST(SequenceArguments, WrongOnesAreNamed) {
  ThreadTeam team(1);
  const Stream s(team);
  Tensor ids({1, 3}, DType::i32), tokens({4, 5}, DType::fp32), x({1, 3, 5}, DType::fp32), positions({2, 5}, DType::fp32);
  Tensor qkv({1, 3, 4, 6}, DType::fp32), angles({3, 3}, DType::fp32), wrong({2, 3}, DType::fp32), cache({1, 1, 2, 6}, DType::fp32);
  expect_refused([&] { embedding_forward({.ids = ids.view(), .tokens = tokens.view(), .positions = positions.view(), .x = x.view()}, s); },
                 "[embedding_forward] positions 0 to 3 of 2");
  expect_refused([&] { embedding_backward({.ids = ids.view(), .dx = tokens.view(), .dtokens = tokens.view()}, s); },
                 "[embedding_backward] dx: want (1, 3, 5) fp32, got (4, 5) fp32");
  expect_refused([&] { rope({.qkv = qkv.view(), .cos = wrong.view(), .sin = wrong.view(), .heads = 2, .kv_heads = 1}, s); },
                 "[rope] cos (2, 3) has no 3 positions");
  expect_refused([&] { rope({.qkv = qkv.view(), .cos = angles.view(), .sin = angles.view(), .heads = 3, .kv_heads = 1}, s); },
                 "[rope] qkv (1, 3, 4, 6) does not hold 3 + 2 x 1 heads");
  expect_refused([&] { rope_table(10000, 0, angles.view(), wrong.view()); }, "[rope_table] sin: want (3, 3) fp32");
  expect_refused([&] { kv_cache_append({.qkv = qkv.view(), .k_cache = cache.view(), .v_cache = cache.view(), .heads = 2, .kv_heads = 1}, s); },
                 "[kv_cache_append] 3 tokens after 0 do not fit a cache of 2");
  for (int32_t id : {4, -1}) {
    ids.as<int32_t>()[2] = id;
    const std::string text = "token 2 of row 0 is " + std::to_string(id) + ", but the vocabulary has 4 tokens";
    expect_refused([&] { embedding_forward({.ids = ids.view(), .tokens = tokens.view(), .x = x.view()}, s); }, text);
    expect_refused([&] { embedding_backward({.ids = ids.view(), .dx = x.view(), .dtokens = tokens.view()}, s); }, text);
  }
}

}  // namespace
}  // namespace tw
