#include "src/codec/image/conv_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "kernels/fill.h"
#include "kernels/optimizer.h"
#include "src/codec/image/colour.h"
#include "src/codec/image/picture_codec.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/thread_team.h"
#include "src/nn/picture_coder.h"

namespace tw {
namespace {

static_assert(PictureCoderConfig::kPatch == kPatch);
constexpr int kMostNarrow = 64, kMostWide = 256;     // channels that a codebook may ask for
constexpr float kLargestWeight = 1e3f;
constexpr size_t kKeptBytes = size_t(1) << 26;       // bytes of training pictures that are kept
constexpr int kCrop = 32;                            // pixels of a side that are trained on at once
constexpr int kBatchPlaces = 512;                    // of a step
constexpr int kWarmup = 60;                          // steps
constexpr float kRate = 4e-3f;
constexpr int kMargin = 3;                           // pixels that a crop may begin before the border
constexpr uint64_t kSeed = 1;

int whole_patches(int pixels) { return patches_along(pixels) * kPatch; }

// Rows of a picture's pixels in [-1, 1] from (x0, y0) on, w x h; what lies beyond the border repeats it. One channel is the brightness.
void put_pixels(const Picture& p, int channels, int x0, int y0, int w, int h, bool mirrored, float* to) {
  for (int y = 0; y < h; ++y)
    for (int i = 0; i < w; ++i) {
      const int x = std::clamp(mirrored ? x0 + w - 1 - i : x0 + i, 0, p.width - 1), row = std::clamp(y0 + y, 0, p.height - 1);
      if (channels == 1 && p.channels == 3) *to++ = 2 * ycc_of(p.at(x, row, 0), p.at(x, row, 1), p.at(x, row, 2)).y - 1;
      else
        for (int c = 0; c < channels; ++c) *to++ = float(p.at(x, row, c)) / 127.5f - 1;
    }
}

uint8_t pixel_of(float v) {
  const float scaled = (v + 1) * 127.5f;
  return scaled >= 0 ? uint8_t(std::lround(std::min(scaled, 255.0f))) : 0;  // what is no number is black
}

template <class View>
auto all_of(View view) { return std::span(view.template as<float>(), size_t(view.count())); }

std::string hex_of(const ParameterTable& table, const float* flat) {
  std::string text;
  for (const ParameterInfo& p : table.all())
    for (int64_t i = 0; i < p.count(); ++i) text += fmt::format("{:08x}", std::bit_cast<uint32_t>(flat[p.offset + i]));
  return text;
}

class ConvCodec final : public PictureCodec {
 public:
  ConvCodec(const PictureSizes& sizes, const PictureCoderConfig& config, Tensor weights)
      : ConvCodec(sizes, config, FiniteScalars(config.levels), std::move(weights)) {}

 private:
  ConvCodec(const PictureSizes& sizes, const PictureCoderConfig& config, FiniteScalars scalars, Tensor weights)
      : PictureCodec(sizes, int32_t(scalars.codes()), std::log2(double(scalars.codes())), 1), config_(config), scalars_(std::move(scalars)), table_(picture_coder_parameters(config)),
        weights_(std::move(weights)) {
    finish({{"format", kConvCodecFormat},
            {"levels", config.levels},
            {"wide", config.wide},
            {"narrow", config.narrow},
            {"blocks", config.blocks},
            {"narrow_blocks", config.narrow_blocks},
            {"weights", hex_of(table_, weights_.as<float>())}});
  }
  PictureCoder coder(int64_t batch, const Picture& p) const {
    return {config_, table_, weights_.view(), View{}, batch, whole_patches(p.height), whole_patches(p.width)};
  }
  void put_codes(std::span<const FoundPicture> pictures, std::vector<std::vector<int32_t>>& codes) const override;
  void draw(std::span<const int32_t> codes, Picture& picture) const override;
  PictureCoderConfig config_;
  FiniteScalars scalars_;
  ParameterTable table_;
  Tensor weights_;
};

void ConvCodec::put_codes(std::span<const FoundPicture> pictures, std::vector<std::vector<int32_t>>& codes) const {
  ThreadTeam team(1);  // the caller may be one of several
  const PictureCoder pass = coder(int64_t(pictures.size()), pictures[0]);
  const auto pixels = all_of(pass.pixels());
  const size_t each = pixels.size() / pictures.size();
  for (size_t i = 0; i < pictures.size(); ++i)
    put_pixels(pictures[i], sizes().channels, 0, 0, whole_patches(pictures[i].width), whole_patches(pictures[i].height), false, pixels.data() + i * each);
  pass.encode(Stream(team));
  const auto values = all_of(pass.values());
  scalars_.quantise(all_of(pass.numbers()), values);
  const auto d = size_t(scalars_.dimension()), places = values.size() / d / pictures.size();
  for (size_t i = 0; i < pictures.size(); ++i)
    for (size_t k = 0; k < places; ++k) codes[i].push_back(scalars_.code_of(values.subspan((i * places + k) * d, d)));
}

// Places without a code are as those of code 0 to the network, and stay white.
void ConvCodec::draw(std::span<const int32_t> codes, Picture& p) const {
  ThreadTeam team(1);
  const PictureCoder pass = coder(1, p);
  const auto values = all_of(pass.values());
  const auto d = size_t(scalars_.dimension()), places = values.size() / d;
  for (size_t k = 0; k < places; ++k) scalars_.values_of(k < codes.size() ? codes[k] : 0, values.subspan(k * d, d));
  pass.decode(Stream(team));
  const int across = patches_along(p.width), stride = across * kPatch;
  const float* made = pass.made().as<float>();
  for (int y = 0; y < p.height; ++y)
    for (int x = 0; x < p.width; ++x) {
      if (size_t(y / kPatch * across + x / kPatch) >= codes.size()) continue;
      for (int c = 0; c < p.channels; ++c) {
        const auto channels = size_t(p.channels);
        p.pixels[(size_t(y) * size_t(p.width) + size_t(x)) * channels + size_t(c)] = pixel_of(made[(size_t(y) * size_t(stride) + size_t(x)) * channels + size_t(c)]);
      }
    }
}

// Crops of the pictures, in an order and at places that the step alone decides.
class Crops {
 public:
  Crops(std::vector<Picture> pictures, int channels) : pictures_(std::move(pictures)), channels_(channels) {
    int width = 0, height = 0;
    for (const Picture& p : pictures_) width = std::max(width, p.width), height = std::max(height, p.height);
    width_ = std::min(kCrop, whole_patches(width)), height_ = std::min(kCrop, whole_patches(height));
  }
  int width() const { return width_; }
  int height() const { return height_; }
  void put(int64_t step, int64_t batch, float* to) const {
    const Rng random{.seed = kSeed, .stream = RngStream::data_order, .a = uint32_t(step), .b = 1};
    for (int64_t i = 0; i < batch; ++i) {
      const auto draw = [&](int k, int64_t below) { return int64_t(uint64_t(random.bits(uint64_t(4 * i + k))) * uint64_t(below) >> 32); };
      const Picture& p = pictures_[size_t(draw(0, int64_t(pictures_.size())))];
      const auto begin = [&](int k, int side, int crop) { return int(draw(k, std::max(0, side - crop) + 2 * kMargin + 1)) - kMargin; };
      const int x = begin(1, p.width, width_), y = begin(2, p.height, height_);
      put_pixels(p, channels_, x, y, width_, height_, draw(3, 2) > 0, to + i * width_ * height_ * channels_);
    }
  }

 private:
  std::vector<Picture> pictures_;
  int channels_, width_ = 0, height_ = 0;
};

float rate_at(int64_t step, int64_t steps) {
  if (step < kWarmup) return kRate * float(step + 1) / kWarmup;
  return kRate * 0.5f * (1 + std::cos(std::numbers::pi_v<float> * float(step - kWarmup) / float(std::max<int64_t>(1, steps - kWarmup))));
}

// Levels of about 4096, 1000 or 240 codes: as many as have 16 places each to be learnt from, so that most of them are used.
std::vector<int> levels_for(int64_t places) {
  constexpr int64_t kEach = 16;
  if (places >= kEach * 4096) return {8, 8, 8, 8};
  if (places >= kEach * 1000) return {8, 5, 5, 5};
  return {8, 6, 5};
}

// Mean squares are made small; the roundings of the middle are passed as if there were none.
Tensor trained_weights(const PictureCoderConfig& config, const ParameterTable& table, const Crops& crops, const CodecTraining& options) {
  const int64_t n = table.flat_count(), places = int64_t(crops.width()) * crops.height() / (kPatch * kPatch), batch = std::max<int64_t>(1, kBatchPlaces / places);
  Tensor weights({n}, DType::fp32), gradients({n}, DType::fp32), m({n}, DType::fp32), v({n}, DType::fp32), decayed({n / kParameterBlock}, DType::u8);
  initialize_picture_coder(table, kSeed, weights.view());
  ThreadTeam team(std::max(1, options.threads));
  const Stream stream(team);
  const FiniteScalars scalars(config.levels);
  const PictureCoder pass(config, table, weights.view(), gradients.view(), batch, crops.height(), crops.width());
  Tensor dmade(pass.made().shape, DType::fp32);
  for (int64_t step = 0; step < options.steps; ++step) {
    if (options.progress) options.progress(double(step) / options.steps);
    crops.put(step, batch, pass.pixels().as<float>());
    zero({.x = gradients.view()}, stream);
    pass.encode(stream);
    scalars.quantise(all_of(pass.numbers()), all_of(pass.values()));
    pass.decode(stream);
    const float *made = pass.made().as<float>(), *given = pass.pixels().as<float>();
    float* d = dmade.as<float>();
    const float scale = 2 / float(dmade.count());
    for (int64_t i = 0; i < dmade.count(); ++i) d[i] = (made[i] - given[i]) * scale;
    pass.backward(dmade.view(), scalars, stream);
    adamw({.param = weights.view(), .m = m.view(), .v = v.view(), .gradient = gradients.view(),
           .decayed = decayed.view(), .copy = {}, .sums = {}, .lr = rate_at(step, options.steps), .beta2 = 0.99f, .step = step + 1}, stream);
  }
  return weights;
}

}  // namespace

std::unique_ptr<Codec> train_conv_codec(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  const int size = std::clamp(options.image_size, kSmallestPicture, kLargestPicture);
  std::vector<Picture> pictures;
  SizesSeen seen;
  int64_t stride = 1, count = 0, places = 0;
  size_t bytes = 0;
  for (const auto& path : files) {
    const MappedFile map(path);
    read_pictures({map.text(), path}, size, [&](FoundPicture p) {
      seen.add(p);
      places += int64_t(patches_along(p.width)) * patches_along(p.height);
      if (count++ % stride != 0) return;
      bytes += p.pixels.size();
      pictures.push_back(std::move(static_cast<Picture&>(p)));
      while (bytes > kKeptBytes && pictures.size() > 1) {  // then every second one
        const size_t left = (pictures.size() + 1) / 2;
        for (size_t i = 1; i < left; ++i) pictures[i] = std::move(pictures[2 * i]);
        pictures.resize(left);
        stride *= 2, bytes = 0;
        for (const Picture& kept : pictures) bytes += kept.pixels.size();
      }
    });
  }
  TW_CHECK(!pictures.empty(), data, "there is no picture to make the image codec of");
  const PictureSizes sizes = seen.sizes(size);
  PictureCoderConfig config;
  config.channels = sizes.channels;
  config.levels = levels_for(places);
  const Crops crops(std::move(pictures), sizes.channels);
  Tensor weights = trained_weights(config, picture_coder_parameters(config), crops, options);
  return std::make_unique<ConvCodec>(sizes, config, std::move(weights));
}

std::unique_ptr<Codec> conv_codec_of(const nlohmann::json& book, const std::string& file) {
  const PictureSizes sizes = sizes_of(book, file);
  const auto number = [&](const char* key, int64_t low, int64_t high) { return codebook_number(book.value(key, nlohmann::json()), low, high, key, file); };
  PictureCoderConfig config;
  config.channels = sizes.channels;
  config.wide = number("wide", 1, kMostWide), config.narrow = number("narrow", 1, kMostNarrow);
  config.blocks = number("blocks", 0, 16), config.narrow_blocks = number("narrow_blocks", 0, 16);
  const auto levels = book.value("levels", nlohmann::json());
  TW_CHECK(levels.is_array() && !levels.empty() && levels.size() <= 16, data, "{}: its levels are no list of 1 to 16 numbers", file);
  config.levels.clear();
  for (const auto& n : levels) config.levels.push_back(codebook_number(n, 2, 64, "a number of levels", file));
  const ParameterTable table = picture_coder_parameters(config);
  const auto found = book.find("weights");
  TW_CHECK(found != book.end() && found->is_string(), data, "{}: it has no weights", file);
  const auto& text = found->get_ref<const std::string&>();
  TW_CHECK(text.size() == size_t(table.parameter_count()) * 8, data,
           "{}: {} digits of weights, but its network has {} numbers of 8 digits each", file, text.size(), table.parameter_count());
  Tensor weights({table.flat_count()}, DType::fp32);
  size_t at = 0;
  for (const ParameterInfo& p : table.all())
    for (int64_t i = 0; i < p.count(); ++i, at += 8) {
      uint32_t bits = 0;
      for (size_t k = 0; k < 8; ++k) {
        const char c = text[at + k];
        const bool digit = c >= '0' && c <= '9';
        TW_CHECK(digit || (c >= 'a' && c <= 'f'), data, "{}: its weights are not in hexadecimal", file);
        bits = bits << 4 | uint32_t(digit ? c - '0' : c - 'a' + 10);
      }
      const float w = std::bit_cast<float>(bits);
      TW_CHECK(std::abs(w) <= kLargestWeight, data, "{}: {} as a weight of {}", file, w, p.name);
      weights.as<float>()[p.offset + i] = w;
    }
  return std::make_unique<ConvCodec>(sizes, config, std::move(weights));
}

}  // namespace tw
