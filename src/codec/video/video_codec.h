// Videos as tokens: blocks of 8 x 8 pixels that stand still, come from the frame before, or are new.
#pragma once
#include "src/codec/codec.h"

namespace tw {

// Files that ffmpeg reads (frames.h). Frames are made smaller to `video_size` pixels and taken `video_rate` times a second; the sound is left out.
extern const CodecKind kVideoCodec;

}  // namespace tw
