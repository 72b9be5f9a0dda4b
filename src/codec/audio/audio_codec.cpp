#include "src/codec/audio/audio_codec.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "src/codec/audio/mdct.h"
#include "src/codec/audio/sound.h"
#include "src/codec/vector_book.h"
#include "src/codec/codebook.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"

namespace tw {
namespace {

constexpr const char* kFormatName = "tokenwerk audio codec 1";
constexpr int kBook = 256, kStages = 2;      // vectors of a book; books of a band
constexpr float kSilence = 1e-4f;            // root mean square of a frame below which it is silent: -80 dB
constexpr float kQuietest = 1e-6f;           // of a band
constexpr size_t kMostFrames = 60000;        // of training
constexpr size_t kBlock = size_t(1) << 14;   // ids
constexpr int64_t kMostSamples = int64_t(1) << 31;  // of a decoded sound
constexpr int kEdges[] = {500, 1200, 2200, 4000, 7000, 11000};  // Hz, where bands end
constexpr float kMu = 255;

int hop_of(int rate) { return std::max(8, (rate * 16 / 1000 + 4) / 8 * 8); }

// Where bands begin and end, in coefficients.
std::vector<int> bands_of(int rate, int hop) {
  std::vector<int> edges = {0};
  for (const int hz : kEdges)
    if (const int at = int(std::lround(double(hz) / (rate / 2.0) * hop)); at > edges.back() && hz < rate / 2) edges.push_back(at);
  edges.push_back(hop);
  return edges;
}

// The samples of a file at a rate, block by block.
void read_at(std::string_view bytes, int rate, const std::function<void(std::span<const float>)>& take) {
  std::unique_ptr<Resampler> resampler;
  read_sound(bytes, "the sound", [&](const SoundInfo& info) { resampler = std::make_unique<Resampler>(info.rate, rate, take); },
             [&](std::span<const float> samples) { resampler->add(samples); });
  resampler->finish();
}

// Cuts samples into overlapping frames; the last ones reach into silence.
class Framing {
 public:
  Framing(const Mdct& mdct, std::function<void(std::span<const float> coefficients)> take) : mdct_(mdct), take_(std::move(take)), waiting_(size_t(mdct.hop())), frame_(size_t(mdct.hop())) {}
  void add(std::span<const float> samples) {
    waiting_.insert(waiting_.end(), samples.begin(), samples.end());
    make();
  }
  void finish() {
    const auto hop = size_t(mdct_.hop());
    waiting_.resize((waiting_.size() + hop - 1) / hop * hop + hop);
    make();
  }

 private:
  void make() {
    const auto hop = size_t(mdct_.hop());
    size_t at = 0;
    for (; at + 2 * hop <= waiting_.size(); at += hop) {
      mdct_.forward(std::span(waiting_).subspan(at, 2 * hop), frame_);
      take_(frame_);
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + std::ptrdiff_t(at));
  }
  const Mdct& mdct_;
  std::function<void(std::span<const float>)> take_;
  std::vector<float> waiting_, frame_;
};

float level(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += double(v) * double(v);
  return float(std::sqrt(sum / double(std::max<size_t>(x.size(), 1))));
}

std::span<const float> band_of(std::span<const float> frame, const std::vector<int>& bands, size_t b) {
  return frame.subspan(size_t(bands[b]), size_t(bands[b + 1] - bands[b]));
}

// Appends the base-2 logarithm of each band's root mean square.
void add_levels(std::span<const float> frame, const std::vector<int>& bands, std::vector<float>& levels) {
  for (size_t b = 0; b + 1 < bands.size(); ++b) levels.push_back(std::log2(std::max(level(band_of(frame, bands, b)), kQuietest)));
}

// What both codecs share: a rate, ids from samples, samples from ids.
class AudioCodec : public Codec {
 public:
  explicit AudioCodec(int rate) : rate_(rate) {}
  std::string_view name() const override { return kAudioCodec.name; }
  std::string hash() const override { return hash_; }
  void save(const std::filesystem::path& path) const override { write_file_atomically(path, to_json().dump() + "\n"); }
  std::string decode(std::span<const int32_t> ids) const override {
    for (const int32_t id : ids) TW_CHECK(id >= 0 && id < vocab_size(), data, "id {} is not in [0, {}), those of the audio codec", id, vocab_size());
    return wav_of(samples_of(ids), rate_);
  }
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const override;
  virtual std::vector<float> samples_of(std::span<const int32_t> ids) const = 0;

 protected:
  virtual nlohmann::json to_json() const = 0;
  void finish() { hash_ = Sha256().update(to_json().dump()).hex(); }  // at the end of a constructor
  int rate_;

 private:
  std::string hash_;
};

struct AllIds final : CodecSink {
  void ids(std::span<const int32_t> some) override { all.insert(all.end(), some.begin(), some.end()); }
  std::vector<int32_t> all;
};

uint8_t mulaw_of(float x) {
  const float y = std::copysign(std::log1p(kMu * std::min(std::abs(x), 1.0f)) / std::log1p(kMu), x);
  return uint8_t(std::clamp(int(std::lround((y + 1) * 127.5f)), 0, 255));
}
float of_mulaw(uint8_t code) {
  const float y = float(code) / 127.5f - 1;
  return std::copysign(std::expm1(std::abs(y) * std::log1p(kMu)) / kMu, y);
}

std::vector<float> resampled(std::span<const float> samples, int from, int to) {
  std::vector<float> out;
  Resampler r(from, to, [&](std::span<const float> some) { out.insert(out.end(), some.begin(), some.end()); });
  r.add(samples), r.finish();
  return out;
}

// The signal over what is off, dB; beside one sample a token with mu-law at the same number of tokens a second.
std::vector<CodecQuality> AudioCodec::quality(std::span<const std::filesystem::path> files) const {
  double signal = 0, noise = 0, plain = 0;
  for (const auto& path : files) {
    const MappedFile map(path);
    std::vector<float> x;
    read_at(map.text(), rate_, [&](std::span<const float> some) { x.insert(x.end(), some.begin(), some.end()); });
    AllIds ids;
    encode(map.text(), ids);
    std::vector<float> y = samples_of(ids.all);
    const int slow = std::clamp(int(std::lround(double(ids.all.size()) / (double(x.size()) / rate_))), 50, rate_);
    std::vector<float> few = resampled(x, rate_, slow);
    for (float& s : few) s = of_mulaw(mulaw_of(s));
    std::vector<float> z = resampled(few, slow, rate_);
    y.resize(x.size()), z.resize(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      signal += double(x[i]) * double(x[i]);
      noise += double(x[i] - y[i]) * double(x[i] - y[i]);
      plain += double(x[i] - z[i]) * double(x[i] - z[i]);
    }
  }
  const auto db = [&](double off) { return off > 0 && signal > 0 ? 10 * std::log10(signal / off) : 0; };
  return {{"signal to noise, dB, larger is better", db(noise), "mu-law at as many tokens a second", db(plain), signal > 0 && noise == 0}};
}

class MuLawCodec final : public AudioCodec {
 public:
  explicit MuLawCodec(int rate) : AudioCodec(rate) { finish(); }
  int32_t vocab_size() const override { return 256; }
  void encode(const CodecInput& file, CodecSink& sink) const override {
    std::vector<int32_t> ids;
    read_at(file.bytes, rate_, [&](std::span<const float> samples) {
      ids.clear();
      for (const float s : samples) ids.push_back(mulaw_of(s));
      sink.ids(ids);
    });
  }
  std::vector<float> samples_of(std::span<const int32_t> ids) const override {
    std::vector<float> samples;
    for (const int32_t id : ids) samples.push_back(of_mulaw(uint8_t(id)));
    return samples;
  }

 private:
  nlohmann::json to_json() const override { return {{"format", kFormatName}, {"codec", "mulaw"}, {"rate", rate_}}; }
};

class RvqCodec final : public AudioCodec {
 public:
  // shapes: of each band, then of each stage.
  RvqCodec(int rate, VectorBook levels, std::vector<VectorBook> shapes)
      : AudioCodec(rate), mdct_(hop_of(rate)), bands_(bands_of(rate, mdct_.hop())), levels_(std::move(levels)), shapes_(std::move(shapes)) {
    const size_t bands = bands_.size() - 1;
    TW_CHECK(size_t(levels_.dimension()) == bands && shapes_.size() == bands * kStages, data, "{} and {} books are none of {} bands", levels_.dimension(), shapes_.size(), bands);
    first_.push_back(1 + levels_.size());
    for (size_t b = 0; b < shapes_.size(); ++b) {
      TW_CHECK(shapes_[b].dimension() == bands_[b / kStages + 1] - bands_[b / kStages], data, "book {} has vectors of {}", b, shapes_[b].dimension());
      first_.push_back(first_.back() + shapes_[b].size());
    }
    finish();
  }
  int32_t vocab_size() const override { return first_.back(); }
  void encode(const CodecInput& file, CodecSink& sink) const override {
    std::vector<int32_t> ids;
    Framing framing(mdct_, [&](std::span<const float> frame) {
      add_frame(frame, ids);
      if (ids.size() >= kBlock) sink.ids(ids), ids.clear();
    });
    read_at(file.bytes, rate_, [&](std::span<const float> samples) { framing.add(samples); });
    framing.finish();
    sink.ids(ids);
  }
  std::vector<float> samples_of(std::span<const int32_t> ids) const override;
  static std::unique_ptr<RvqCodec> trained(std::span<const std::filesystem::path> files, int rate, int threads);

 private:
  void add_frame(std::span<const float> frame, std::vector<int32_t>& ids) const;
  nlohmann::json to_json() const override {
    nlohmann::json shapes = nlohmann::json::array();
    for (const VectorBook& book : shapes_) shapes.push_back(json_of(book));
    return {{"format", kFormatName}, {"codec", "rvq"}, {"rate", rate_}, {"levels", json_of(levels_)}, {"shapes", shapes}};
  }
  Mdct mdct_;
  std::vector<int> bands_;
  VectorBook levels_;
  std::vector<VectorBook> shapes_;
  std::vector<int32_t> first_;  // ids of each book of shapes, and the end
};

void RvqCodec::add_frame(std::span<const float> frame, std::vector<int32_t>& ids) const {
  if (level(frame) < kSilence) return ids.push_back(0);
  std::vector<float> levels, shape;
  add_levels(frame, bands_, levels);
  const int loud = levels_.nearest(levels);
  ids.push_back(1 + loud);
  for (size_t b = 0; b + 1 < bands_.size(); ++b) {
    const float scale = std::exp2(-levels_.vector(loud)[b]);
    const auto x = band_of(frame, bands_, b);
    shape.assign(x.begin(), x.end());
    for (float& v : shape) v *= scale;
    for (size_t s = 0; s < kStages; ++s) {
      const VectorBook& book = shapes_[b * kStages + s];
      const int best = book.nearest(shape);
      ids.push_back(first_[b * kStages + s] + best);
      for (size_t k = 0; k < shape.size(); ++k) shape[k] -= book.vector(best)[k];
    }
  }
}

// Any row of ids is a sound: a frame begins with silence or a loudness, and what is missing of it is nothing.
std::vector<float> RvqCodec::samples_of(std::span<const int32_t> ids) const {
  const auto hop = size_t(mdct_.hop());
  std::vector<float> out(hop), frame(hop);
  int loud = -1;
  bool begun = false;
  const auto close = [&] {
    if (!begun) return;
    TW_CHECK(int64_t(out.size()) < kMostSamples, data, "a sound of more than {} samples", kMostSamples);
    out.resize(out.size() + hop);
    mdct_.add_inverse(frame, std::span(out).subspan(out.size() - 2 * hop));
    std::fill(frame.begin(), frame.end(), 0.0f);
  };
  for (const int32_t id : ids) {
    if (id <= levels_.size()) {
      close();
      begun = true;
      loud = id - 1;
    } else if (loud >= 0) {
      const size_t book = size_t(std::upper_bound(first_.begin(), first_.end(), id) - first_.begin()) - 1, b = book / kStages;
      const float scale = std::exp2(levels_.vector(loud)[b]);
      const auto v = shapes_[book].vector(id - first_[book]);
      for (size_t k = 0; k < v.size(); ++k) frame[size_t(bands_[b]) + k] += scale * v[k];
    }
  }
  close();
  out.erase(out.begin(), out.begin() + std::ptrdiff_t(std::min(hop, out.size())));  // before the first sample
  if (out.size() >= hop) out.resize(out.size() - hop);
  return out;
}

std::unique_ptr<RvqCodec> RvqCodec::trained(std::span<const std::filesystem::path> files, int rate, int threads) {
  const Mdct mdct(hop_of(rate));
  const auto hop = size_t(mdct.hop());
  const std::vector<int> bands = bands_of(rate, mdct.hop());
  SampledPoints sampled(mdct.hop(), kMostFrames);
  for (const auto& path : files) {
    const MappedFile map(path);
    Framing framing(mdct, [&](std::span<const float> frame) {
      if (level(frame) >= kSilence) sampled.add(frame);
    });
    read_at(map.text(), rate, [&](std::span<const float> samples) { framing.add(samples); });
    framing.finish();
  }
  const std::vector<float>& frames = sampled.points();
  const size_t n = frames.size() / hop, count = bands.size() - 1;
  TW_CHECK(n > 0, data, "the sounds of the train split are silent: there is nothing to make the audio codec of");
  std::vector<float> levels;
  for (size_t i = 0; i < n; ++i) add_levels(std::span(frames).subspan(i * hop, hop), bands, levels);
  VectorBook loudness = VectorBook::trained(levels, int(count), kBook, threads);
  std::vector<VectorBook> shapes;
  for (size_t b = 0; b < count; ++b) {
    const auto d = size_t(bands[b + 1] - bands[b]);
    std::vector<float> points(n * d);
    for (size_t i = 0; i < n; ++i) {
      const int loud = loudness.nearest(std::span(levels).subspan(i * count, count));
      const float scale = std::exp2(-loudness.vector(loud)[b]);
      for (size_t k = 0; k < d; ++k) points[i * d + k] = frames[i * hop + size_t(bands[b]) + k] * scale;
    }
    for (int s = 0; s < kStages; ++s) {
      shapes.push_back(VectorBook::trained(points, int(d), kBook, threads));
      for (size_t i = 0; i < n; ++i) {
        const auto v = shapes.back().vector(shapes.back().nearest(std::span(points).subspan(i * d, d)));
        for (size_t k = 0; k < d; ++k) points[i * d + k] -= v[k];
      }
    }
  }
  return std::make_unique<RvqCodec>(rate, std::move(loudness), std::move(shapes));
}

CodecContent inspect_audio(const CodecInput& file) {
  const SoundInfo info = read_sound(file.bytes, "the sound", {}, {});
  const double seconds = double(info.frames) / info.rate;
  return {.units = info.frames, .said = fmt::format("{:.1f} s at {} Hz, {} {}", seconds, info.rate, info.channels, info.channels == 1 ? "channel" : "channels"),
          .note = info.frames < info.frames_said ? fmt::format("it ends after {} of {} samples", info.frames, info.frames_said) : ""};
}

std::unique_ptr<Codec> train_audio(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  // The rate of most seconds.
  std::map<int, double> seconds;
  for (const auto& path : files) {
    const MappedFile map(path);
    const SoundInfo info = read_sound(map.text(), path.string(), {}, {});
    seconds[std::clamp(info.rate, kLowestRate, 48000)] += double(info.frames) / info.rate;
  }
  TW_CHECK(!seconds.empty(), data, "there is no sound to make the audio codec of");
  const int rate = std::max_element(seconds.begin(), seconds.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
  if (options.audio == "mulaw") return std::make_unique<MuLawCodec>(rate);
  TW_CHECK(options.audio == "rvq", config, "codec.audio = \"{}\": rvq or mulaw", options.audio);
  return RvqCodec::trained(files, rate, options.threads);
}

std::unique_ptr<Codec> load_audio(const std::filesystem::path& path) {
  const auto json = read_codebook(path, {kFormatName}, "sound", size_t(256) << 20, 1 << 24);
  const std::string file = path.string();
  const auto rate = json.value("rate", nlohmann::json());
  TW_CHECK(rate.is_number_integer() && rate.get<int64_t>() >= kLowestRate && rate.get<int64_t>() <= 48000, data, "{}: a rate of {}", file, rate.dump());
  const auto codec = json.value("codec", nlohmann::json());
  if (codec == "mulaw") return std::make_unique<MuLawCodec>(rate.get<int>());
  TW_CHECK(codec == "rvq", data, "{}: the codec {}", file, codec.dump());
  TW_CHECK(json.contains("levels") && json.contains("shapes") && json["shapes"].is_array() && json["shapes"].size() <= 64, data, "{}: its books are missing", file);
  std::vector<VectorBook> shapes;
  for (const auto& book : json["shapes"]) shapes.push_back(book_of(book, file, kBook));
  return std::make_unique<RvqCodec>(rate.get<int>(), book_of(json["levels"], file, kBook), std::move(shapes));
}

constexpr std::string_view kEndings[] = {".wav", ".flac", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".au"};

}  // namespace

const CodecKind kAudioCodec = {.name = "audio", .endings = kEndings, .artefact = "wav", .codebook = "audio.json", .folder_captions = true, .inspect = inspect_audio, .train = train_audio, .load = load_audio};

}  // namespace tw
