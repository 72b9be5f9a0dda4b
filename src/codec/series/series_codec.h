// Measurements over time: tables of numbers (CSV; HDF5, where a file may hold several) of which each column is a channel.
//   A document: one token for each of its columns, in their order, then its rows. A row is a token for each channel whose value is
//   another than in the row before, and the token that ends rows; so what does not change costs nothing, and what is not there
//   ("", NA) is a value of its own.
// Numbers become the nearest of at most 256 values a channel (scalar quantisation as in Lloyd 1982; values by quantiles at first, as
// Ansari et al. 2024, Chronos, section 3.1, discusses beside equal steps). A channel with few different values keeps them exactly. Words are tokens of
// their own. A number beyond those of the training files is spelled out, a token a digit. Of clocks (times of day, or numbers that only rise) the difference to the row before is kept.
#pragma once
#include "src/codec/codec.h"

namespace tw {

extern const CodecKind kSeriesCodec;

}  // namespace tw
