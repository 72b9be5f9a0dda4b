// Pictures as tokens: patches of 4 x 4 pixels out of two palettes, one for the patch and one for what it leaves over (a residual vector
// quantiser; Gersho, Gray 1992, section 12.10). Colours are kept at half the resolution, as in JPEG.
#pragma once
#include "src/codec/codec.h"

namespace tw {

extern const CodecKind kImageCodec;

}  // namespace tw
