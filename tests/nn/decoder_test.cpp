#include "src/nn/decoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/nn/small_model.h"

namespace tw {
namespace {

// The loss the transformer gives each target must follow from the decoder's logits, whether these come in one call,
// in pieces or token by token.
TEST(Decoder, LogitsExplainTheTransformersLosses) {
  for (Architecture type : {Architecture::gpt2, Architecture::llama})
    for (int64_t piece : {1, 3, 11}) {
      const ModelConfig model = small_config(type, false);
      const int64_t B = 2, T = 11, V = model.padded_vocab_size();
      SmallModel m(model, B, T);
      const auto ids = random_ids(B * T, model.vocab_size, 3), targets = random_ids(B * T, model.vocab_size, 4);
      m.loss(ids, targets);
      Decoder decoder(model, m.table, m.weights_there(), B, 11, T, m.stream);
      for (int64_t begin = 0; begin < T; begin += piece) {
        const int64_t n = std::min(piece, T - begin);
        std::vector<int32_t> part;
        for (int64_t b = 0; b < B; ++b)
          part.insert(part.end(), ids.begin() + b * T + begin, ids.begin() + b * T + begin + n);
        Tensor logits = tensor({B * n, V}, DType::fp32);
        decoder.forward(ConstView(part.data(), DType::i32, {B, n}), logits.view(), false, m.stream);
        m.op_stream.finish();
        for (int64_t b = 0; b < B; ++b)
          for (int64_t t = 0; t < n; ++t) {
            const float* l = logits.as<float>() + (b * n + t) * V;
            double sum = 0;
            for (int64_t v = 0; v < model.vocab_size; ++v) sum += std::exp(double(l[v]));
            const size_t at = size_t(b * T + begin + t);
            EXPECT_NEAR(std::log(sum) - double(l[targets[at]]), double(m.losses.as<float>()[at]), 2e-5)
                << name_of(type) << " piece " << piece << " at " << at;
          }
      }
      EXPECT_EQ(decoder.past(), T);
    }
}

TEST(Decoder, LastOnlyGivesTheLastRows) {
  const ModelConfig model = small_config(Architecture::llama, true);
  SmallModel m(model, 2, 4);
  const auto ids = random_ids(8, model.vocab_size, 3);
  Tensor all = tensor({8, model.padded_vocab_size()}, DType::fp32), last = tensor({2, model.padded_vocab_size()}, DType::fp32);
  Decoder a(model, m.table, m.weights_there(), 2, 4, 8, m.stream), b(model, m.table, m.weights_there(), 2, 4, 8, m.stream);
  a.forward(m.view(ids), all.view(), false, m.stream);
  b.forward(m.view(ids), last.view(), true, m.stream);
  m.op_stream.finish();
  for (int64_t v = 0; v < model.vocab_size; ++v) {
    EXPECT_NEAR(all.as<float>()[3 * model.padded_vocab_size() + v], last.as<float>()[v], 1e-5);
    EXPECT_NEAR(all.as<float>()[7 * model.padded_vocab_size() + v], last.as<float>()[model.padded_vocab_size() + v], 1e-5);
  }
}

TEST(Decoder, AFullCacheIsRefused) {
  const ModelConfig model = small_config(Architecture::llama, true);
  SmallModel m(model, 1, 4);
  const auto ids = random_ids(4, model.vocab_size, 3);
  Tensor last = tensor({1, model.padded_vocab_size()}, DType::fp32);
  Decoder d(model, m.table, m.weights_there(), 1, 4, 6, m.stream);
  d.forward(m.view(ids), last.view(), true, m.stream);
  EXPECT_THROW(d.forward(m.view(ids), last.view(), true, m.stream), Error);
  d.truncate(2);
  EXPECT_NO_THROW(d.forward(m.view(ids), last.view(), true, m.stream));
}

TEST(Decoder, LearnedPositionsEnd) {
  const ModelConfig model = small_config(Architecture::gpt2, true);
  SmallModel m(model, 1, 4);
  EXPECT_THROW(Decoder(model, m.table, m.weights_there(), 1, 4, 17, m.stream), Error);
}

}  // namespace
}  // namespace tw
