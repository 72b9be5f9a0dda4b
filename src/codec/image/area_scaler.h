// Pictures made smaller: each new pixel is the mean of the area it covers. Rows come one by one, so that a picture needs not be in memory.
#pragma once
#include <cstdint>
#include <vector>

#include "src/codec/image/picture.h"

namespace tw {

class AreaScaler {
 public:
  // New sides are at most the old ones. Rows have `channels` bytes a pixel.
  AreaScaler(int width, int height, Sides to, int channels);
  void add_row(const uint8_t* row);
  // After the last row. A picture of three channels without colours becomes grey.
  Picture finish();

 private:
  struct Share {
    int to = 0;         // the first pixel an old one belongs to
    float first = 1, second = 0;  // and how much of it to this one and to the next
  };
  static std::vector<Share> shares(int from, int to);
  void close_row();
  int width_, height_, channels_;
  Sides to_;
  std::vector<Share> across_, down_;
  std::vector<float> narrow_, open_, next_;  // the row at hand, made narrow; sums of two new rows
  Picture out_;
  int row_ = 0, made_ = 0;
};

}  // namespace tw
