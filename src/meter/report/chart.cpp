#include "src/meter/report/chart.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/html.h"

namespace tw::report {
namespace {

constexpr size_t kDrawn = 400;  // stretches drawn before the script takes over
constexpr int kRows = 12;       // of the table
constexpr int kColours = 6;

std::string style_of(int style) { return fmt::format("s{} d{}", style % kColours, (style + style / kColours) % 4); }

// Short labels: 0.0003, 12, 4.1k. page.js has the same.
std::string label(double value, double spacing) {
  if (value == 0) return "0";
  if (std::fabs(value) >= 10000) return human_count(value);
  if (spacing < 1e-3) return fmt::format("{:g}", value);
  return fmt::format("{:.{}f}", value, spacing >= 1 ? 0 : int(std::ceil(-std::log10(spacing) - 1e-9)));
}

struct Frame {
  double first, last, low, high;
  double x(double step) const { return (step - first) / (last - first) * 1000; }
  double y(double value) const { return (high - value) / (high - low) * 1000; }
};

Frame frame_of(const ChartOptions& options, const std::vector<Series>& series) {
  Frame f{options.first, options.last, INFINITY, -INFINITY};
  for (const Series& s : series)
    for (const Stretch& p : s.curve->stretches(options.points)) {
      f.low = std::min(f.low, options.ranges ? p.low : p.mean);
      f.high = std::max(f.high, options.ranges ? p.high : p.mean);
    }
  if (options.from_zero) f.low = std::min(f.low, 0.0);
  if (!(f.high > f.low)) f.high = f.low + std::max(1e-9, std::fabs(f.low) * 0.1);
  const double margin = (f.high - f.low) * 0.04;
  f.high += margin;
  if (!options.from_zero) f.low -= margin;
  if (!(f.last > f.first)) f.first -= 0.5, f.last += 0.5;
  return f;
}

std::string axes(const Frame& f, bool wide) {
  std::string lines, labels;
  const auto marks = ticks(f.low, f.high, wide ? 5 : 4);
  const double spacing = marks.size() > 1 ? marks[1] - marks[0] : f.high - f.low;
  for (const double mark : marks) {
    lines += fmt::format("M0 {:.1f}H1000", f.y(mark));
    labels += fmt::format("<span class=\"y\" style=\"top:{:.2f}%\">{}</span>", f.y(mark) / 10, label(mark, spacing));
  }
  for (const double mark : ticks(f.first, f.last, wide ? 6 : 4))
    labels += fmt::format("<span class=\"x\" style=\"left:{:.2f}%\">{}</span>", f.x(mark) / 10,
                          std::fabs(mark) >= 1e5 ? human_count(mark) : fmt::format("{:g}", mark));
  return fmt::format(
      "<div class=\"axes\">{}</div><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" "
      "aria-hidden=\"true\"><path class=\"grid\" d=\"{}\"/>",
      labels, lines);
}

std::string curve(const Frame& f, const ChartOptions& options, const Series& s) {
  std::string path, band, dots, data;
  const bool ranges = options.ranges && s.curve->points() > int64_t(options.points);
  for (const Stretch& p : s.curve->stretches(options.points)) {
    data += fmt::format("{}{:.10g},{:.5g}", data.empty() ? "" : ",", std::round(p.step()), p.mean);
    if (ranges) data += fmt::format(",{:.4g},{:.4g}", p.low, p.high);
  }
  const auto drawn = s.curve->stretches(std::min(kDrawn, options.points));
  for (const Stretch& p : drawn) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", f.x(p.step()), f.y(p.mean));
    if (s.dots || drawn.size() == 1) dots += fmt::format("M{:.1f} {:.1f}h0", f.x(p.step()), f.y(p.mean));
    band += fmt::format("{}{:.1f} {:.1f}", band.empty() ? "M" : "L", f.x(p.step()), f.y(p.high));
  }
  for (size_t k = drawn.size(); k-- > 0;)
    band += fmt::format("L{:.1f} {:.1f}", f.x(drawn[k].step()), f.y(drawn[k].low));
  const std::string style = s.faint ? "faint" : style_of(s.style);
  std::string out;
  if (options.ranges && s.curve->points() > int64_t(drawn.size()))
    out += fmt::format("<path class=\"band {}\" d=\"{}Z\"/>", style, band);
  out += fmt::format("<path class=\"line {}\" data-name=\"{}\" data-width=\"{}\" data-points=\"{}\" d=\"{}\"/>", style,
                     escaped(s.name), ranges ? 4 : 2, data, path);
  if (!dots.empty()) out += fmt::format("<path class=\"dots {}\" d=\"{}\"/>", style, dots);
  return out;
}

// "training: 8.35 at step 1, 5.46 at step 300, between 5.43 and 8.35".
std::string in_words(const std::vector<Series>& series) {
  std::string text;
  size_t said = 0;
  for (const Series& s : series) {
    const Curve& c = *s.curve;
    if (c.empty() || s.faint || said++ == kSeriesStyles) continue;
    text += fmt::format("{}{}: {} at step {:.0f}, {} at step {:.0f}, between {} and {}", text.empty() ? "" : "; ",
                        escaped(s.name, 60), digits(c.first(), 3), c.first_step(), digits(c.last(), 3), c.last_step(),
                        digits(c.low(), 3), digits(c.high(), 3));
  }
  return text;
}

// The curves' means over up to kRows equal ranges of steps.
std::string values(const Frame& f, const ChartOptions& options, const std::vector<Series>& series) {
  const double span = options.last - options.first;
  const int rows = int(std::clamp(span + 1, 1.0, double(kRows)));
  std::vector<std::string> headers = {"Steps"};
  std::vector<std::vector<Stretch>> cells;  // of each series
  for (const Series& s : series) {
    if (s.faint) continue;
    headers.push_back(">" + escaped(s.name, 60));
    auto& sums = cells.emplace_back(size_t(rows));
    for (const Stretch& p : s.curve->stretches(4096)) {
      Stretch& sum = sums[size_t(std::clamp((p.step() - f.first) / (f.last - f.first) * rows, 0.0, rows - 1.0))];
      if (sum.points == 0) sum = {.low = p.low, .high = p.high};
      sum.points += p.points;
      sum.mean += (p.mean - sum.mean) * (double(p.points) / double(sum.points));
      sum.low = std::min(sum.low, p.low), sum.high = std::max(sum.high, p.high);
    }
  }
  Table table(options.title + ": means over ranges of steps", headers, 20000);
  for (int r = 0; r < rows; ++r) {
    const double begin = std::ceil(f.first + (f.last - f.first) * r / rows),
                 end = r + 1 == rows ? options.last : std::ceil(f.first + (f.last - f.first) * (r + 1) / rows) - 1;
    std::vector<std::string> row = {end > begin ? fmt::format("{:.0f} to {:.0f}", begin, end)
                                                : fmt::format("{:.0f}", begin)};
    for (const auto& sums : cells) {
      const Stretch& sum = sums[size_t(r)];
      row.push_back(sum.points == 0   ? "–"
                    : sum.points == 1 ? digits(sum.mean, 4)
                                      : fmt::format("{} <small>({} to {})</small>", digits(sum.mean, 4),
                                                    digits(sum.low, 4), digits(sum.high, 4)));
    }
    table.row(row);
  }
  return folded(options.title + " as a table", table.html("metrics.jsonl"), false);
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted) {
  if (!(high > low)) return {low};
  const double raw = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(raw)));
  const double step = raw <= power ? power : raw <= 2 * power ? 2 * power : raw <= 5 * power ? 5 * power : 10 * power;
  std::vector<double> values;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && values.size() < 20; ++k)
    values.push_back(k == 0 ? 0 : k * step);
  return values.size() < 2 && wanted < 8 ? ticks(low, high, 2 * wanted) : values;
}

void cover(const Curve& curve, double& first, double& last) {
  if (curve.empty()) return;
  first = std::min(first, curve.first_step());
  last = std::max(last, curve.last_step());
}

std::string swatch(int style) {
  return fmt::format(
      "<svg class=\"swatch\" viewBox=\"0 0 26 4\" aria-hidden=\"true\"><path class=\"line {}\" d=\"M1 "
      "2H25\"/></svg>",
      style_of(style));
}

std::string chart(const ChartOptions& options, const std::vector<Series>& series) {
  if (std::all_of(series.begin(), series.end(), [](const Series& s) { return s.curve->empty(); }))
    return missing(options.title + ": no values.");
  const Frame f = frame_of(options, series);
  std::string curves, legend;
  for (const Series& s : series) {
    if (s.curve->empty()) continue;
    curves += curve(f, options, s);
    if (series.size() > 1 && !s.faint)
      legend += fmt::format("<span class=\"key\">{}{}</span>", swatch(s.style), escaped(s.name, 60));
  }
  if (!legend.empty())
    legend = fmt::format("<span class=\"legend{}\">{}</span>", series.size() > 2 ? " many" : "", legend);
  return fmt::format(
      "<figure class=\"chart{}\" aria-labelledby=\"{}-title\"{}><figcaption><h3 id=\"{}-title\">{}</h3>{}<span "
      "class=\"unit\">{}</span><button type=\"button\" class=\"log\" aria-pressed=\"false\" hidden>log<span "
      "class=\"aside\"> scale of {}</span></button></figcaption>\n"
      "<div class=\"plot\" role=\"img\" aria-label=\"{}: {}\">{}{}</svg></div><div "
      "class=\"xlabel\">step</div>\n{}</figure>\n",
      options.wide ? " wide" : "", options.id, options.from_zero ? " data-zero" : options.log ? " data-log" : "", options.id, options.title, legend,
      options.unit, options.title, options.title, in_words(series), axes(f, options.wide), curves,
      values(f, options, series));
}

std::string chart_tools() {
  const auto button = [](const char* what, const char* face, const char* name) {
    return fmt::format("<button type=\"button\" data-do=\"{}\" aria-label=\"{}\" title=\"{}\">{}</button>", what, name,
                       name, face);
  };
  return "<div class=\"tools\" role=\"group\" aria-label=\"Zoom of all charts\" hidden>" +
         button("in", "+", "Zoom in") + button("out", "−", "Zoom out") + button("left", "‹", "Earlier steps") +
         button("right", "›", "Later steps") +
         "<button type=\"button\" data-do=\"reset\">Reset</button><span class=\"range\" role=\"status\"></span>"
         "<span class=\"hint\">Drag over steps to zoom in. <span class=\"keys\">On a chart that has the focus: wheel, "
         "<kbd>+</kbd> <kbd>−</kbd> zoom, "
         "<kbd>←</kbd> <kbd>→</kbd> move the crosshair, <kbd>Page Up</kbd> <kbd>Page Down</kbd> the view, <kbd>L</kbd> "
         "log scale, <kbd>Esc</kbd> reset.</span></span></div>\n";
}

}  // namespace tw::report
