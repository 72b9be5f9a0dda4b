#include "src/meter/report_chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report_html.h"

namespace tw::report {
namespace {

constexpr size_t kPoints = 400;  // of a curve as drawn

struct Point {
  double step, value, low, high;
};

std::vector<Point> thinned(const Curve& curve) {
  std::vector<Point> points;
  const size_t n = curve.step.size();
  const size_t parts = std::min(n, kPoints);
  for (size_t part = 0; part < parts; ++part) {
    const size_t begin = part * n / parts, end = (part + 1) * n / parts;
    Point p{0, 0, curve.value[begin], curve.value[begin]};
    for (size_t i = begin; i < end; ++i) {
      p.step += curve.step[i] / double(end - begin);
      p.value += curve.value[i] / double(end - begin);
      p.low = std::min(p.low, curve.value[i]);
      p.high = std::max(p.high, curve.value[i]);
    }
    points.push_back(p);
  }
  if (n > kPoints) points.front().step = curve.step.front(), points.back().step = curve.step.back();
  return points;
}

// Short labels: 0.0003, 12, 4.1k.
std::string label(double value, double spacing) {
  if (value == 0) return "0";
  if (std::fabs(value) >= 10000) return human_count(value);
  if (spacing < 1e-3) return fmt::format("{:g}", value);
  return fmt::format("{:.{}f}", value, spacing >= 1 ? 0 : int(std::ceil(-std::log10(spacing) - 1e-9)));
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted) {
  if (!(high > low)) return {low};
  const double raw = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(raw)));
  const double step = raw <= power ? power : raw <= 2 * power ? 2 * power : raw <= 5 * power ? 5 * power : 10 * power;
  std::vector<double> values;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && values.size() < 20; ++k)
    values.push_back(k == 0 ? 0 : k * step);
  return values;
}

std::string chart(const ChartOptions& options, const std::vector<Series>& series) {
  double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY;
  std::vector<std::vector<Point>> drawn;
  for (const Series& s : series) {
    drawn.push_back(thinned(*s.curve));
    for (const Point& p : drawn.back()) low = std::min(low, p.low), high = std::max(high, p.high);
    if (s.curve->empty()) continue;
    first = std::min(first, s.curve->step.front());
    last = std::max(last, s.curve->step.back());
  }
  if (!(last >= first)) return missing(options.title + ": no values.");
  if (options.from_zero) low = std::min(low, 0.0);
  if (!(high > low)) high = low + std::max(1e-9, std::fabs(low) * 0.1);
  const double margin = (high - low) * 0.04;
  high += margin;
  if (!options.from_zero) low -= margin;
  if (!(last > first)) first -= 0.5, last += 0.5;
  const auto x = [&](double step) { return (step - first) / (last - first) * 1000; };
  const auto y = [&](double value) { return (high - value) / (high - low) * 1000; };

  std::string lines, labels, legend;
  const auto marks = ticks(low, high, options.tall ? 5 : 4);
  const double spacing = marks.size() > 1 ? marks[1] - marks[0] : high - low;
  for (const double mark : marks) {
    lines += fmt::format("<path class=\"grid\" d=\"M0 {0:.1f}H1000\"/>", y(mark));
    labels += fmt::format("<span class=\"y\" style=\"top:{:.2f}%\">{}</span>", y(mark) / 10, label(mark, spacing));
  }
  for (const double mark : ticks(first, last, options.tall ? 6 : 4))
    labels += fmt::format("<span class=\"x\" style=\"left:{:.2f}%\">{}</span>", x(mark) / 10,
                          mark >= 1e5 ? human_count(mark) : fmt::format("{:g}", mark));
  for (size_t i = 0; i < series.size(); ++i) {
    const auto& points = drawn[i];
    if (points.empty()) continue;
    const Series& s = series[i];
    std::string path, band, dots, data;
    for (const Point& p : points) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(p.step), y(p.value));
      data += fmt::format("{}[{:.10g},{:.5g}]", data.empty() ? "" : ",", std::round(p.step), p.value);
      if (s.dots || points.size() == 1) dots += fmt::format("M{:.1f} {:.1f}h0", x(p.step), y(p.value));
      band += fmt::format("{}{:.1f} {:.1f}", band.empty() ? "M" : "L", x(p.step), y(p.high));
    }
    for (size_t k = points.size(); k-- > 0;) band += fmt::format("L{:.1f} {:.1f}", x(points[k].step), y(points[k].low));
    if (s.curve->step.size() > points.size())
      lines += fmt::format("<path class=\"band {}\" d=\"{}Z\"/>", s.css_class, band);
    lines += fmt::format("<path class=\"line {}\" data-name=\"{}\" data-points=\"[{}]\" d=\"{}\"/>", s.css_class,
                         escaped(s.name), data, path);
    if (!dots.empty()) lines += fmt::format("<path class=\"dots {}\" d=\"{}\"/>", s.css_class, dots);
    if (series.size() > 1) legend += fmt::format("<span class=\"key {}\">{}</span>", s.css_class, escaped(s.name));
  }
  return fmt::format(
      "<figure class=\"chart{}\"><figcaption><b>{}</b>{}<span class=\"unit\">{}</span></figcaption>"
      "<div class=\"plot\"><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}, "
      "{} to "
      "{} over steps {:.0f} to {:.0f}\">{}</svg>{}<i class=\"cursor\"></i><div class=\"tip\"></div></div>"
      "<div class=\"xlabel\">step</div></figure>\n",
      options.tall   ? " tall"
      : options.half ? " half"
                     : "",
      escaped(options.title), legend, escaped(options.y_label), escaped(options.title), digits(low, 3), digits(high, 3),
      first, last, lines, labels);
}

}  // namespace tw::report
