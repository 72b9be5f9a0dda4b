#include "src/nn/picture_coder.h"

#include <algorithm>
#include <cmath>

#include "kernels/pointwise.h"
#include "src/core/normals.h"

namespace tw {
namespace {

constexpr int kResample = 4, kMostChannels = 1024, kMostBlocks = 16;

std::string numbered(const char* name, size_t i) { return std::string(name) + "." + std::to_string(i); }

// The last of a row of residual layers, or what goes into it.
View last_of(const std::vector<ConvResidual>& layers, View in) { return layers.empty() ? in : layers.back().out(); }

void forward(const std::vector<ConvResidual>& layers, View x, const Stream& stream) {
  for (const ConvResidual& layer : layers) layer.forward(x, stream), x = layer.out();
}
// The gradient lies in d[0] before and after.
void backward(const std::vector<ConvResidual>& layers, View x, View (&d)[2], const Stream& stream) {
  for (size_t i = layers.size(); i-- > 0; std::swap(d[0], d[1])) layers[i].backward(i > 0 ? layers[i - 1].out() : x, d[0], d[1], stream);
}

}  // namespace

void PictureCoderConfig::validate() const {
  TW_CHECK(channels == 1 || channels == 3, data, "pictures of {} channels", channels);
  for (const int n : {wide, narrow}) TW_CHECK(n >= 1 && n <= kMostChannels, data, "{} channels of a layer: 1 to {}", n, kMostChannels);
  for (const int n : {blocks, narrow_blocks}) TW_CHECK(n >= 0 && n <= kMostBlocks, data, "{} layers: at most {}", n, kMostBlocks);
  FiniteScalars{levels};
}

ParameterTable picture_coder_parameters(const PictureCoderConfig& c) {
  c.validate();
  ParameterTable table;
  const auto conv = [&](const char* name, int64_t first, int64_t size, int64_t last, int64_t biases) {
    table.add(std::string(name) + ".weight", {first, size, size, last}, Init::normal);
    table.add(std::string(name) + ".bias", {biases}, Init::zero);
  };
  const auto residuals = [&](const char* name, int count, int64_t channels) {
    for (size_t i = 0; i < size_t(count); ++i) ConvResidual::add_parameters(table, numbered(name, i), channels);
  };
  const auto d = int64_t(c.levels.size());
  conv("stem", c.narrow, kResample, c.channels, c.narrow);
  residuals("narrow_in", c.narrow_blocks, c.narrow);
  conv("down", c.wide, kResample, c.narrow, c.wide);
  residuals("wide_in", c.blocks, c.wide);
  conv("head", d, 1, c.wide, d);
  conv("tail", c.wide, 3, d, c.wide);
  residuals("wide_out", c.blocks, c.wide);
  conv("up", c.wide, kResample, c.narrow, c.narrow);
  residuals("narrow_out", c.narrow_blocks, c.narrow);
  conv("image", c.narrow, kResample, c.channels, c.channels);
  return table;
}

void initialize_picture_coder(const ParameterTable& table, uint64_t seed, View weights) {
  float* flat = weights.as<float>();
  std::fill_n(flat, table.flat_count(), 0.0f);
  for (size_t i = 0; i < table.all().size(); ++i) {
    const ParameterInfo& p = table.all()[i];
    if (p.init == Init::zero) continue;
    // What a sum has of parts: of a transposed convolution a quarter of its places meet.
    const bool transposed = p.name == "up.weight" || p.name == "image.weight";
    const double parts = transposed ? double(p.shape[0] * p.shape[1] * p.shape[2]) / 4 : double(p.shape[1] * p.shape[2] * p.shape[3]);
    const double sigma = std::sqrt((p.name.ends_with(".in.weight") ? 2.0 : 1.0) / parts) * (p.init == Init::scaled_normal ? 0.1 : 1.0);
    fill_normals({seed, RngStream::init, uint32_t(i), 1}, float(sigma), 0, p.count(), flat + p.offset);
  }
}

PictureCoder::PictureCoder(const PictureCoderConfig& c, const ParameterTable& table, ConstView weights, View gradients, int64_t B, int height, int width) {
  TW_CHECK(B >= 1 && height >= 1 && width >= 1 && height % c.kPatch == 0 && width % c.kPatch == 0, bug, "{} pictures of {} x {} pixels", B, width, height);
  const bool training = bool(gradients);
  const Shape image{B, height, width, c.channels}, narrow{B, height / 2, width / 2, c.narrow}, wide{B, height / 4, width / 4, c.wide};
  const Shape middle{B, height / 4, width / 4, int64_t(c.levels.size())};
  ArenaPlan plan;
  const auto own = [&](const char* name, const Shape& shape) { return plan.add("activations", name, shape, DType::fp32); };
  // Where a row of residual layers begins: where nothing is kept, all of it is in one place.
  const auto stream = [&](const char* name, const char* stage, const Shape& shape) {
    return training ? own(name, shape) : plan.add_shared("activations", std::string(stage) + ".out", name, shape, DType::fp32);
  };
  const int pixels = own("pixels", image);
  const int hidden = training ? own("stem.hidden", narrow) : plan.add_shared("activations", "narrow.hidden", "stem.hidden", narrow, DType::fp32);
  const int stem = stream("stem", "narrow", narrow), down = stream("down", "wide", wide), numbers = own("numbers", middle), values = own("values", middle);
  const int tail = stream("tail", "wide", wide), up = stream("up", "narrow", narrow), made = own("made", image);
  const auto residuals = [&](std::vector<ConvResidual>& layers, int count, const char* name, const Shape& shape, const char* stage) {
    layers.resize(size_t(count));
    for (size_t i = 0; i < layers.size(); ++i) layers[i].plan(plan, shape, training, numbered(name, i), stage);
  };
  residuals(narrow_in_, c.narrow_blocks, "narrow_in", narrow, "narrow"), residuals(wide_in_, c.blocks, "wide_in", wide, "wide");
  residuals(wide_out_, c.blocks, "wide_out", wide, "wide"), residuals(narrow_out_, c.narrow_blocks, "narrow_out", narrow, "narrow");
  int dnumbers = -1, dwide[2] = {}, dnarrow[2] = {};
  if (training) {
    dnumbers = own("numbers.gradient", middle);
    for (int& id : dwide) id = own("wide.gradient", wide);
    for (int& id : dnarrow) id = own("narrow.gradient", narrow);
  }
  arena_ = Arena(plan, weights.device);
  const ParameterViews parameters(table, weights, gradients);
  stem_.stride = down_.stride = up_.stride = image_.stride = 2;
  stem_.padding = down_.padding = up_.padding = image_.padding = tail_.padding = 1;
  stem_.bind(parameters, "stem"), down_.bind(parameters, "down"), head_.bind(parameters, "head"), tail_.bind(parameters, "tail");
  up_.bind(parameters, "up"), image_.bind(parameters, "image");
  for (auto* layers : {&narrow_in_, &wide_in_, &wide_out_, &narrow_out_})
    for (ConvResidual& layer : *layers) layer.bind(arena_, parameters);
  pixels_ = arena_.view(pixels), stem_hidden_ = arena_.view(hidden), stem_out_ = arena_.view(stem), down_out_ = arena_.view(down), numbers_ = arena_.view(numbers);
  values_ = arena_.view(values), tail_out_ = arena_.view(tail), up_out_ = arena_.view(up), made_ = arena_.view(made);
  if (!training) return;
  dnumbers_ = arena_.view(dnumbers);
  for (int i = 0; i < 2; ++i) dwide_[i] = arena_.view(dwide[i]), dnarrow_[i] = arena_.view(dnarrow[i]);
}

void PictureCoder::encode(const Stream& stream) const {
  stem_.forward(pixels_, stem_hidden_, stream);
  gelu_forward({.x = stem_hidden_, .y = stem_out_}, stream);
  forward(narrow_in_, stem_out_, stream);
  down_.forward(last_of(narrow_in_, stem_out_), down_out_, stream);
  forward(wide_in_, down_out_, stream);
  head_.forward(last_of(wide_in_, down_out_), numbers_, stream);
}

void PictureCoder::decode(const Stream& stream) const {
  tail_.forward(values_, tail_out_, stream);
  forward(wide_out_, tail_out_, stream);
  up_.forward(last_of(wide_out_, tail_out_), up_out_, stream);
  forward(narrow_out_, up_out_, stream);
  image_.forward(last_of(narrow_out_, up_out_), made_, stream);
}

void PictureCoder::backward(View dmade, const FiniteScalars& scalars, const Stream& stream) const {
  TW_CHECK(dnumbers_, bug, "nothing was kept for a backward pass");
  View wide[2] = {dwide_[0], dwide_[1]}, narrow[2] = {dnarrow_[0], dnarrow_[1]};
  image_.backward(last_of(narrow_out_, up_out_), dmade, narrow[0], stream);
  tw::backward(narrow_out_, up_out_, narrow, stream);
  up_.backward(last_of(wide_out_, tail_out_), narrow[0], wide[0], stream);
  tw::backward(wide_out_, tail_out_, wide, stream);
  tail_.backward(values_, wide[0], dnumbers_, stream);
  const auto all = [](auto view) { return std::span(view.template as<float>(), size_t(view.count())); };
  scalars.backward(all(ConstView(numbers_)), all(ConstView(dnumbers_)), all(dnumbers_));
  head_.backward(last_of(wide_in_, down_out_), dnumbers_, wide[0], stream);
  tw::backward(wide_in_, down_out_, wide, stream);
  down_.backward(last_of(narrow_in_, stem_out_), wide[0], narrow[0], stream);
  tw::backward(narrow_in_, stem_out_, narrow, stream);
  gelu_backward({.x = stem_hidden_, .dy = narrow[0], .dx = narrow[0]}, stream);
  stem_.backward(pixels_, narrow[0], View{}, stream);
}

}  // namespace tw
