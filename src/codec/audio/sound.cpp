#include "src/codec/audio/sound.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numbers>
#include <sndfile.h>

#include "src/core/error.h"
#include "src/core/sandbox.h"

namespace tw {
namespace {

constexpr int kMostChannels = 64;
constexpr sf_count_t kBlock = 1 << 14;               // frames
constexpr int64_t kMostBytes = int64_t(1) << 40;     // of samples that a child may give
constexpr int kCrossings = 16;

// The mapped bytes as libsndfile reads files.
struct Bytes {
  std::string_view bytes;
  sf_count_t at = 0;
};

SF_VIRTUAL_IO virtual_io() {
  return {.get_filelen = [](void* p) { return sf_count_t(static_cast<Bytes*>(p)->bytes.size()); },
          .seek =
              [](sf_count_t offset, int whence, void* p) {
                auto& b = *static_cast<Bytes*>(p);
                const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? b.at : sf_count_t(b.bytes.size());
                b.at = std::clamp<sf_count_t>(base + offset, 0, sf_count_t(b.bytes.size()));
                return b.at;
              },
          .read =
              [](void* to, sf_count_t count, void* p) {
                auto& b = *static_cast<Bytes*>(p);
                const sf_count_t n = std::min<sf_count_t>(count, sf_count_t(b.bytes.size()) - b.at);
                if (n > 0) std::memcpy(to, b.bytes.data() + b.at, size_t(n)), b.at += n;
                return std::max<sf_count_t>(n, 0);
              },
          .write = [](const void*, sf_count_t, void*) { return sf_count_t(0); },
          .tell = [](void* p) { return static_cast<Bytes*>(p)->at; }};
}

struct Head {
  int32_t rate = 0, channels = 0;
  int64_t frames = 0;
};

// In the child: the head, then samples of one channel.
void give_sound(std::string_view bytes, int64_t, const SandboxWrite& write) {
  Bytes source{bytes};
  SF_VIRTUAL_IO io = virtual_io();
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, int (*)(SNDFILE*)> handle(sf_open_virtual(&io, SFM_READ, &info, &source), sf_close);
  SNDFILE* file = handle.get();
  TW_CHECK(file, data, "no sound that can be read: {}", sf_strerror(nullptr));
  const Head head{.rate = info.samplerate, .channels = info.channels, .frames = info.frames};
  TW_CHECK(info.channels >= 1 && info.channels <= kMostChannels, data, "{} channels", info.channels);
  TW_CHECK(info.samplerate >= kLowestRate && info.samplerate <= kHighestRate, data, "{} samples a second", info.samplerate);
  write({reinterpret_cast<const char*>(&head), sizeof head});
  std::vector<float> block(size_t(kBlock) * size_t(info.channels)), mono(static_cast<size_t>(kBlock));
  for (sf_count_t n; (n = sf_readf_float(file, block.data(), kBlock)) > 0;) {
    for (sf_count_t i = 0; i < n; ++i) {
      float sum = 0;
      for (int c = 0; c < info.channels; ++c) sum += block[size_t(i) * size_t(info.channels) + size_t(c)];
      mono[size_t(i)] = sum / float(info.channels);
    }
    write({reinterpret_cast<const char*>(mono.data()), size_t(n) * sizeof(float)});
  }
  TW_CHECK(sf_error(file) == SF_ERR_NO_ERROR, data, "damaged: {}", sf_strerror(file));
}

}  // namespace

SoundInfo read_sound(std::string_view bytes, const std::string& name, const std::function<void(const SoundInfo&)>& begin,
                     const std::function<void(std::span<const float>)>& take) {
  SandboxLimits limits;
  limits.cpu_seconds = 3600, limits.wall = std::chrono::hours(2), limits.result = kMostBytes;
  Head head;
  std::string left;  // bytes that do not end a sample
  size_t head_bytes = 0;
  SoundInfo info;
  std::vector<float> samples;
  run_sandboxed_small(name, limits, give_sound, bytes, 0, [&](std::string_view piece) {
    if (head_bytes < sizeof head) {
      const size_t n = std::min(piece.size(), sizeof head - head_bytes);
      std::memcpy(reinterpret_cast<char*>(&head) + head_bytes, piece.data(), n);
      head_bytes += n;
      piece.remove_prefix(n);
      if (head_bytes < sizeof head) return;
      TW_CHECK(head.rate >= kLowestRate && head.rate <= kHighestRate && head.channels >= 1 && head.channels <= kMostChannels, data, "{}: {} samples a second, {} channels", name,
               head.rate, head.channels);
      info = {.rate = head.rate, .channels = head.channels, .frames = 0, .frames_said = head.frames};
      if (begin) begin(info);
    }
    left += piece;
    const size_t n = left.size() / sizeof(float);
    samples.resize(n);
    if (n > 0) std::memcpy(samples.data(), left.data(), n * sizeof(float));
    left.erase(0, n * sizeof(float));
    for (float& s : samples) s = std::isfinite(s) ? std::clamp(s, -1.0f, 1.0f) : 0.0f;
    info.frames += int64_t(n);
    if (n > 0 && take) take(samples);
  });
  TW_CHECK(head_bytes == sizeof head && info.frames > 0, data, "no sample inside");
  return info;
}

std::string wav_of(std::span<const float> samples, int rate) {
  const auto bytes = uint32_t(std::min<size_t>(samples.size(), (size_t(1) << 31) - 64) * 2);
  std::string out;
  out.reserve(44 + bytes);
  const auto number = [&](uint32_t value, int width) {
    for (int i = 0; i < width; ++i) out += char(value >> (8 * i) & 255);
  };
  out += "RIFF", number(36 + bytes, 4), out += "WAVEfmt ";
  number(16, 4), number(1, 2), number(1, 2), number(uint32_t(rate), 4), number(uint32_t(rate) * 2, 4), number(2, 2), number(16, 2);
  out += "data", number(bytes, 4);
  for (size_t i = 0; i < bytes / 2; ++i) number(uint16_t(int16_t(std::lround(std::clamp(samples[i], -1.0f, 1.0f) * 32767.0f))), 2);
  return out;
}

Resampler::Resampler(int from, int to, std::function<void(std::span<const float>)> take)
    : ratio_(double(from) / double(to)), cutoff_(std::min(1.0, double(to) / double(from))), from_(from), to_(to), half_(int(std::ceil(kCrossings / cutoff_))), take_(std::move(take)) {}

void Resampler::add(std::span<const float> samples) {
  all_ += int64_t(samples.size());
  if (from_ == to_) return take_(samples);
  in_.insert(in_.end(), samples.begin(), samples.end());
  make(false);
}

void Resampler::finish() {
  if (from_ != to_) make(true);
}

void Resampler::make(bool last) {
  const int64_t wanted = int64_t(std::ceil(double(all_) / ratio_));
  out_.clear();
  for (;; ++made_) {
    const double at = double(made_) * ratio_;
    const auto center = int64_t(at);
    if (last ? made_ >= wanted : center + half_ + 1 >= all_) break;
    double sum = 0;
    for (int64_t i = std::max<int64_t>(center - half_ + 1, 0); i <= std::min(center + half_, all_ - 1); ++i) {
      const double x = double(i) - at, u = x / (half_ + 1);
      const double sinc = x == 0 ? cutoff_ : std::sin(std::numbers::pi * cutoff_ * x) / (std::numbers::pi * x);
      sum += double(in_[size_t(i - begin_)]) * sinc * (0.42 + 0.5 * std::cos(std::numbers::pi * u) + 0.08 * std::cos(2 * std::numbers::pi * u));  // Blackman
    }
    out_.push_back(float(sum));
  }
  const int64_t keep = std::max<int64_t>(int64_t(double(made_) * ratio_) - half_ - 1, begin_);
  in_.erase(in_.begin(), in_.begin() + std::min<int64_t>(keep - begin_, int64_t(in_.size())));
  begin_ = keep;
  if (!out_.empty()) take_(out_);
}

}  // namespace tw
