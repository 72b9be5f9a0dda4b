#include "src/codec/image/area_scaler.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/core/error.h"

namespace tw {

std::vector<AreaScaler::Share> AreaScaler::shares(int from, int to) {
  std::vector<Share> all(static_cast<size_t>(from));
  for (int64_t x = 0; x < from; ++x) {
    Share& s = all[size_t(x)];
    s.to = int(x * to / from);
    const double border = double(s.to + 1) * from / to, scale = double(to) / from;
    const double inside = std::clamp(border - double(x), 0.0, 1.0);
    s.first = float(inside * scale), s.second = s.to + 1 < to ? float((1 - inside) * scale) : 0.0f;
  }
  return all;
}

AreaScaler::AreaScaler(int width, int height, Sides to, int channels)
    : width_(width), height_(height), channels_(channels), to_(to), across_(shares(width, to.width)), down_(shares(height, to.height)) {
  TW_CHECK(to.width >= 1 && to.height >= 1 && to.width <= width && to.height <= height, bug, "{} x {} pixels become {} x {}", width, height, to.width, to.height);
  const size_t row = size_t(to.width) * size_t(channels);
  narrow_.resize(row), open_.assign(row, 0), next_.assign(row, 0);
  out_ = {.width = to.width, .height = to.height, .channels = channels, .pixels = std::vector<uint8_t>(row * size_t(to.height))};
}

void AreaScaler::add_row(const uint8_t* row) {
  TW_CHECK(row_ < height_, bug, "more than {} rows", height_);
  if (to_.width == width_ && to_.height == height_) {
    std::memcpy(out_.pixels.data() + size_t(row_++) * narrow_.size(), row, narrow_.size());
    return;
  }
  std::fill(narrow_.begin(), narrow_.end(), 0.0f);
  const auto c = size_t(channels_);
  for (int x = 0; x < width_; ++x) {
    const Share& s = across_[size_t(x)];
    float* to = narrow_.data() + size_t(s.to) * c;
    const uint8_t* p = row + size_t(x) * c;
    for (size_t k = 0; k < c; ++k) to[k] += s.first * float(p[k]);
    if (s.second > 0)
      for (size_t k = 0; k < c; ++k) to[c + k] += s.second * float(p[k]);
  }
  const Share& s = down_[size_t(row_++)];
  while (made_ < s.to) close_row();
  for (size_t i = 0; i < narrow_.size(); ++i) open_[i] += s.first * narrow_[i], next_[i] += s.second * narrow_[i];
}

void AreaScaler::close_row() {
  uint8_t* to = out_.pixels.data() + size_t(made_++) * open_.size();
  for (size_t i = 0; i < open_.size(); ++i) to[i] = uint8_t(std::clamp(std::lround(open_[i]), 0l, 255l));
  open_.swap(next_);
  std::fill(next_.begin(), next_.end(), 0.0f);
}

Picture AreaScaler::finish() {
  TW_CHECK(row_ == height_, bug, "{} of {} rows", row_, height_);
  if (to_.width != width_ || to_.height != height_) close_row();
  if (channels_ == 3) {
    const auto& p = out_.pixels;
    bool grey = true;
    for (size_t i = 0; i + 2 < p.size() && grey; i += 3) grey = p[i] == p[i + 1] && p[i] == p[i + 2];
    if (grey) {
      for (size_t i = 0; 3 * i < p.size(); ++i) out_.pixels[i] = p[3 * i];
      out_.pixels.resize(p.size() / 3);
      out_.channels = 1;
    }
  }
  return std::move(out_);
}

}  // namespace tw
