// Curves as inline SVG that stretches to the page's width; the labels are HTML, so they keep their size on a phone.
// The page's script lets the reader zoom; the same values stand below as a table.
#pragma once
#include <string>
#include <vector>

#include "src/meter/report/curve.h"

namespace tw::report {

struct Series {
  std::string name;
  const Curve* curve;
  int style = 0;      // colour and dashes of the style sheet: a pair of its own for each of 0..kSeriesStyles-1
  bool dots = false;  // few points, each shown
  bool faint = false;  // behind the others: grey, and only drawn
};
inline constexpr int kSeriesStyles = 24;

struct ChartOptions {
  std::string id;  // of the element: letters
  std::string title, unit;
  bool wide = false;       // over the whole width
  bool from_zero = false;  // the y axis begins at 0
  bool log = false;        // the script begins with a logarithmic y axis
  bool ranges = true;      // the smallest and largest value of each stretch behind its mean
  size_t points = 600;     // most of a curve that the page carries
  // Steps of the x axis; of all the charts on a page, which zoom together.
  double first = 0, last = 1;
};

// Long curves are drawn as the mean of equal stretches of points, with the range from smallest to largest behind.
std::string chart(const ChartOptions& options, const std::vector<Series>& series);

// A line as it is drawn in charts, before the name of a series.
std::string swatch(int style);

// Round numbers from low to high, about `wanted` of them.
std::vector<double> ticks(double low, double high, int wanted);

// Widens first and last to the curve's steps.
void cover(const Curve& curve, double& first, double& last);

// What moves all the charts of the page.
std::string chart_tools();

}  // namespace tw::report
