// Sound (WAV, FLAC, OGG). Two codecs, of which CodecTraining::audio names one:
//   rvq    frames of the MDCT, 16 ms apart: a token for the loudness of all bands, then for each band its shape in two residual stages
//          of trained vectors (shape-gain and multistage vector quantisation: Gersho and Gray 1992, chapter 12). Silence is one token a frame.
//   mulaw  a token a sample (ITU-T G.711's curve): the simplest, and 14 times as many tokens.
// Channels are averaged. The codebook has the sample rate most training files have; others are resampled to it.
#pragma once
#include "src/codec/codec.h"

namespace tw {

extern const CodecKind kAudioCodec;

}  // namespace tw
