// How well a model goes on with series it has not seen.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/codec/id_space.h"
#include "src/data/token_file.h"
#include "src/generate/generator.h"

namespace tw {

struct ForecastOptions {
  int64_t windows = 16;  // of all documents of the kind together, spread evenly
  int64_t horizon = 10;  // steps that are forecast
  int64_t samples = 20;  // continuations of each window; their median is the forecast
  int64_t context = 0;   // positions of the model
  SamplingOptions sampling;
};

// Errors over the mean absolute difference of neighbouring steps of what came before: MASE (Hyndman, Koehler 2006, "Another look at measures of forecast
// accuracy", section 2.4).
struct ForecastScore {
  std::string track;
  double mase = 0, last_value = 0, seasonal = 0;  // of the model; of the last value held; of the last season repeated
  double coverage = 0;                            // share of values between the 10th and the 90th percentile of the samples: 0.8 is right
  int64_t values = 0;
};

struct ForecastResult {
  int64_t windows = 0, tokens = 0;
  std::vector<ForecastScore> tracks;  // those that moved
  ForecastScore mean() const;         // of the tracks
};

// Documents of the codec's range in `file`, by Codec::tracks and step_id. The season of a track is the lag of its largest autocorrelation (at most 200
// steps), 1 where none is above 0.3.
ForecastResult test_forecasts(Generator& generator, const Codec& codec, const CodecRange& range, const TokenFile& file, const ForecastOptions& options);

}  // namespace tw
