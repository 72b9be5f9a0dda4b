#include "src/generate/generator.h"

#include <algorithm>
#include <cstring>

#include "src/core/clock.h"

namespace tw {
namespace {
constexpr int64_t kPromptChunk = 256;  // tokens of a prompt run at a time
}

Generator::Generator(const ModelConfig& model, const ParameterTable& table, const ModelWeights& weights, const Stream& stream)
    : model_(model), table_(table), weights_(weights), stream_(stream) {}

// Runs ids through the decoder; last_logits (1, V) fp32, on the device, are those after the last one.
void Generator::feed(Decoder& decoder, const int32_t* ids, int64_t count, View last_logits) {
  for (int64_t begin = 0; begin < count; begin += kPromptChunk) {
    const int64_t n = std::min(kPromptChunk, count - begin);
    decoder.forward(ConstView(ids + begin, DType::i32, {1, n}), last_logits, true, stream_);
  }
}

Generation Generator::run(const std::vector<int32_t>& prompt, const GenerateOptions& options, int64_t sample,
                          const std::function<void(int32_t)>& on_token) {
  TW_CHECK(!prompt.empty(), data, "a prompt needs at least one token");
  for (size_t i = 0; i < prompt.size(); ++i)
    TW_CHECK(prompt[i] >= 0 && prompt[i] < model_.vocab_size, data,
             "token {} of the prompt is {}, but the model's vocabulary has {} tokens", i, prompt[i], model_.vocab_size);
  TW_CHECK(options.max_new_tokens >= 0 && options.max_new_tokens <= int64_t(1) << 40, config,
           "generate.max_new_tokens = {} is out of range: 0 to 2^40", options.max_new_tokens);
  const int64_t context = std::min<int64_t>(model_.max_position_embeddings, int64_t(prompt.size()) + options.max_new_tokens);
  Decoder decoder(model_, table_, weights_, 1, std::min(kPromptChunk, context), context, stream_);
  const int32_t end_id = options.end_id < 0 ? int32_t(model_.vocab_size) : options.end_id;
  TW_CHECK(options.first_id >= 0 && options.first_id < end_id && end_id <= model_.vocab_size, bug, "ids {} to {} of {} are to be drawn", options.first_id,
           end_id, model_.vocab_size);
  Sampler sampler(options.sampling, end_id, options.first_id);
  Tensor logits({1, model_.padded_vocab_size()}, DType::fp32, stream_.device());
  Generation g;
  std::vector<int32_t> all = prompt;

  double start = now_seconds();
  const int64_t window = std::min<int64_t>(int64_t(all.size()), context);
  feed(decoder, all.data() + (int64_t(all.size()) - window), window, logits.view());
  g.prompt_seconds = now_seconds() - start;
  start = now_seconds();
  int64_t stops = 0;
  std::vector<uint8_t> allowed(options.allow ? size_t(end_id - options.first_id) : 0);
  for (int64_t i = 0; i < options.max_new_tokens; ++i) {
    if (options.allow) {
      options.allow(g.ids, allowed);
      sampler.leave_out(logits.view(), allowed, stream_);
    }
    const int32_t id = sampler.pick(logits.view(), sample, i, stream_);
    if (id == options.stop_id && ++stops == options.stops) {
      g.stopped = true;
      break;
    }
    g.ids.push_back(id);
    all.push_back(id);
    if (on_token) on_token(id);
    if (i + 1 == options.max_new_tokens) break;
    if (decoder.past() == context) {
      const int64_t keep = std::max<int64_t>(1, context / 2);
      decoder.truncate(0);
      feed(decoder, all.data() + (int64_t(all.size()) - keep), keep, logits.view());
    } else {
      feed(decoder, &all.back(), 1, logits.view());
    }
  }
  g.token_seconds = now_seconds() - start;
  return g;
}

Tensor Generator::logits(const std::vector<int32_t>& ids) {
  const int64_t T = int64_t(ids.size()), V = model_.vocab_size, padded = model_.padded_vocab_size();
  TW_CHECK(T >= 1, data, "no token ids were given");
  Decoder decoder(model_, table_, weights_, 1, std::min(kPromptChunk, T), T, stream_);
  Tensor out({T, V}, DType::fp32), chunk({std::min(kPromptChunk, T), padded}, DType::fp32, stream_.device());
  Tensor host = Tensor::beside(stream_, chunk.shape(), DType::fp32);
  for (int64_t begin = 0; begin < T; begin += kPromptChunk) {
    const int64_t n = std::min(kPromptChunk, T - begin);
    decoder.forward(ConstView(ids.data() + begin, DType::i32, {1, n}), chunk.view().rows(0, n), false, stream_);
    copy(chunk.view().rows(0, n), host.view().rows(0, n), stream_);
    synchronize(stream_);
    for (int64_t t = 0; t < n; ++t)
      std::memcpy(out.as<float>() + (begin + t) * V, host.as<float>() + t * padded, size_t(V) * sizeof(float));
  }
  return out;
}

}  // namespace tw
