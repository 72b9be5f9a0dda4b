// Pictures as tokens: each has its width, its height, and then its places, patches of 4 x 4 pixels, out of two palettes (patch_codec.h) or by
// a trained network (conv_codec.h).
#pragma once
#include "src/codec/codec.h"

namespace tw {

extern const CodecKind kImageCodec;

}  // namespace tw
