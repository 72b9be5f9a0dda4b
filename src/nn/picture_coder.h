// A convolutional autoencoder of pictures, four by four pixels a place of its middle:
//
//   pixels ─ 4x4 /2 ─ gelu ─ residual… ─ 4x4 /2 ─ residual… ─ 1x1 ─┐ numbers of a place
//                                                                  │ rounded (nn/fsq.h)
//   pixels ─ 4x4 x2 ─ residual… ─ 4x4 x2 ─ residual… ─ 3x3 ────────┘
//
// /2: a stride of 2, x2: a transposed convolution. Residual: nn/conv.h.
#pragma once
#include <vector>

#include "src/nn/conv.h"
#include "src/nn/fsq.h"

namespace tw {

struct PictureCoderConfig {
  static constexpr int kPatch = 4;  // pixels of a place's side
  int channels = 3;                 // of a picture
  int wide = 96, narrow = 32;       // channels at a quarter and at half of the resolution
  int blocks = 2, narrow_blocks = 1;  // residual layers there, of the encoder and as many of the decoder
  std::vector<int> levels = {8, 5, 5, 5};  // of the numbers of a place
  void validate() const;            // Error(data)
};

// The parameters: stem, narrow_in.<i>, down, wide_in.<i>, head, tail, wide_out.<i>, up, narrow_out.<i>, image.
ParameterTable picture_coder_parameters(const PictureCoderConfig& config);
// fp32 (flat_count), a function of the seed alone; residual outputs begin small.
void initialize_picture_coder(const ParameterTable& table, uint64_t seed, View weights);

// The buffers of passes over `batch` pictures of width x height pixels, multiples of kPatch.
class PictureCoder {
 public:
  // weights: fp32 (flat_count); gradients: the same, added to; or empty: then nothing is kept for backward. Both outlive this.
  PictureCoder(const PictureCoderConfig& config, const ParameterTable& table, ConstView weights, View gradients, int64_t batch, int height, int width);

  View pixels() const noexcept { return pixels_; }    // (B, H, W, channels): the encoder's input, in [-1, 1] or about it
  View numbers() const noexcept { return numbers_; }  // (B, H/4, W/4, dimension): its output, not rounded
  View values() const noexcept { return values_; }    // the same shape: the decoder's input
  View made() const noexcept { return made_; }        // (B, H, W, channels): its output
  void encode(const Stream& stream) const;            // pixels to numbers
  void decode(const Stream& stream) const;            // values to made
  // Gradients of all parameters, given that at `made` (overwritten), which went through values that are the numbers rounded.
  void backward(View dmade, const FiniteScalars& scalars, const Stream& stream) const;

 private:
  Arena arena_;
  Conv stem_, down_, head_, tail_;
  ConvTranspose up_, image_;
  std::vector<ConvResidual> narrow_in_, wide_in_, wide_out_, narrow_out_;
  View pixels_, stem_hidden_, stem_out_, down_out_, numbers_, values_, tail_out_, up_out_, made_;
  View dnumbers_, dwide_[2], dnarrow_[2];  // gradients: of two, one is read and one written
};

}  // namespace tw
