// Curves as inline SVG that stretches to the page's width; the labels are HTML, so they keep their size on a phone.
#pragma once
#include <string>
#include <vector>

#include "src/meter/report_record.h"

namespace tw::report {

struct Series {
  std::string name;
  std::string css_class;  // "a" or "b": colours of the style sheet
  const Curve* curve;
  bool dots = false;  // few points, each shown
};

struct ChartOptions {
  std::string title;
  std::string y_label;
  bool tall = false;       // over the whole width
  bool half = false;       // two beside each other, else three
  bool from_zero = false;  // the y axis begins at 0
};

// Long curves are drawn as the mean of equal stretches of points, with the band from smallest to largest behind.
std::string chart(const ChartOptions& options, const std::vector<Series>& series);

// Round numbers from low to high, about `wanted` of them.
std::vector<double> ticks(double low, double high, int wanted);

}  // namespace tw::report
