// Parallel coordinates (Inselberg, "The plane with parallel coordinates", 1985): an axis for each parameter and one for
// the metric; a trial is a line across them.
#pragma once
#include <string>

#include "src/sweep/sweep.h"

namespace tw {

// A figure as inline SVG with labels in HTML. Trials without a result end below the axis of the metric. "" where no trial
// has begun.
std::string parallel_coordinates(const Sweep& sweep);

}  // namespace tw
