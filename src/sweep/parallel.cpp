#include "src/sweep/parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/config/values.h"
#include "src/meter/report/chart.h"
#include "src/meter/report/html.h"

namespace tw {
using namespace report;
namespace {

constexpr double kBottom = 900;      // of the metric's axis, of 1000, where trials without a result end below
constexpr double kLogFrom = 20;      // numbers that span more than this factor stand on a logarithmic axis
constexpr double kClosestTicks = 55; // of 1000
constexpr double kFarOff = 8;        // results further from the best than this many times the median are cut off

struct Tick {
  double y;
  std::string text;
};

struct Axis {
  bool list = false, log = false, whole = false;
  double low = 0, high = 1;          // of numbers
  std::vector<std::string> names;    // of a list, from the bottom
  std::vector<Tick> ticks;
  double y(double v) const {
    if (!(high > low)) return 500;
    return 1000 * (1 - (log ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low)));
  }
};

bool is_number(const ConfigValue& v) { return std::holds_alternative<int64_t>(v) || std::holds_alternative<double>(v); }
double number_of(const ConfigValue& v) {
  const auto* whole = std::get_if<int64_t>(&v);
  return whole ? double(*whole) : std::get<double>(v);
}

void add_tick(Axis& axis, double y, std::string text) {
  for (const Tick& t : axis.ticks)
    if (std::fabs(t.y - y) < kClosestTicks) return;
  axis.ticks.push_back({y, std::move(text)});
}

Axis parameter_axis(const Sweep& sweep, size_t k) {
  const SweepParameter& p = sweep.plan.parameters[k];
  Axis axis;
  const ConfigValue& first = sweep.trials[0].point[k];
  if (!is_number(first)) {
    axis.list = true;
    for (const ConfigValue& v : p.values) axis.names.push_back(argument_text(v));
    for (size_t i = 0; i < axis.names.size(); ++i)
      add_tick(axis, axis.names.size() < 2 ? 500 : 1000 - 1000 * double(i) / double(axis.names.size() - 1), axis.names[i]);
    return axis;
  }
  axis.whole = std::holds_alternative<int64_t>(first);
  if (p.values.empty()) {
    axis.low = p.low, axis.high = p.high, axis.log = p.log;
  } else {
    axis.low = INFINITY, axis.high = -INFINITY;
    for (const ConfigValue& v : p.values) axis.low = std::min(axis.low, number_of(v)), axis.high = std::max(axis.high, number_of(v));
    axis.log = axis.low > 0 && axis.high / axis.low >= kLogFrom;
  }
  add_tick(axis, axis.y(axis.low), plain(axis.low));
  add_tick(axis, axis.y(axis.high), plain(axis.high));
  if (p.values.size() > 0 && p.values.size() <= 10)
    for (const ConfigValue& v : p.values) add_tick(axis, axis.y(number_of(v)), plain(number_of(v)));
  else if (axis.log)
    for (double v = std::pow(10, std::ceil(std::log10(axis.low))); v < axis.high; v *= 10) add_tick(axis, axis.y(v), plain(v));
  else
    for (const double v : ticks(axis.low, axis.high, 5))
      if (!axis.whole || v == std::round(v)) add_tick(axis, axis.y(v), plain(v));
  return axis;
}

// The best on top.
struct MetricAxis {
  double best = 0, end = 1, bottom = 1000;
  bool cut = false;
  double y(double v) const { return end == best ? bottom / 2 : std::clamp((v - best) / (end - best), 0.0, 1.0) * bottom; }
};

MetricAxis metric_axis(const Sweep& sweep, const std::vector<int>& ranking) {
  MetricAxis axis;
  const bool some_without = std::any_of(sweep.trials.begin(), sweep.trials.end(), [](const Trial& t) {
    return t.state != TrialState::done && t.state != TrialState::waiting;
  });
  if (some_without) axis.bottom = kBottom;
  if (ranking.empty()) return axis;
  const auto at = [&](size_t rank) { return sweep.trials[size_t(ranking[rank])].metric; };
  axis.best = at(0), axis.end = at(ranking.size() - 1);
  const double far = axis.best + kFarOff * (at(ranking.size() / 2) - axis.best);
  if (far != axis.best && std::fabs(axis.end - axis.best) > std::fabs(far - axis.best)) axis.end = far, axis.cut = true;
  return axis;
}

std::string axis_html(size_t at, size_t axes, std::string_view name, const std::vector<Tick>& ticks, const std::string& data) {
  const size_t dot = name.find('.');
  std::string head = dot == name.npos ? "" : fmt::format("<small>{}</small> ", escaped(name.substr(0, dot)));
  for (const char c : escaped(dot == name.npos ? name : name.substr(dot + 1))) {
    head += c;
    if (c == '_') head += "<wbr>";
  }
  std::string marks;
  for (const Tick& t : ticks) marks += fmt::format("<span class=\"tick\" style=\"top:{:.1f}%\">{}</span>", t.y / 10, escaped(t.text, 24));
  return fmt::format("<div class=\"axis{}\" style=\"left:{:.2f}%\" data-name=\"{}\" {}><span class=\"name\">{}</span>{}</div>\n",
                     at + 1 == axes ? " last" : "", axes > 1 ? 100.0 * double(at) / double(axes - 1) : 0.0, escaped(name), data, head, marks);
}

}  // namespace

std::string parallel_coordinates(const Sweep& sweep) {
  const std::vector<int> ranking = sweep.ranking();
  const size_t parameters = sweep.plan.parameters.size(), axes = parameters + 1;
  std::vector<Axis> scales;
  for (size_t k = 0; k < parameters; ++k) scales.push_back(parameter_axis(sweep, k));
  const MetricAxis metric = metric_axis(sweep, ranking);

  std::string html;
  for (size_t k = 0; k < parameters; ++k) {
    const Axis& a = scales[k];
    std::string names;
    for (const std::string& n : a.names) names += (names.empty() ? "" : "\n") + escaped(n, 60);
    html += axis_html(k, axes, sweep.plan.parameters[k].key, a.ticks,
                      a.list ? fmt::format("data-names=\"{}\"", names)
                             : fmt::format("data-low=\"{:.10g}\" data-high=\"{:.10g}\"{}{}", a.low, a.high, a.log ? " data-log" : "", a.whole ? " data-whole" : ""));
  }
  std::vector<Tick> marks;
  if (!ranking.empty()) {
    marks.push_back({metric.y(metric.best), digits(metric.best, 4)});
    for (const double v : ticks(std::min(metric.best, metric.end), std::max(metric.best, metric.end), 4))
      if (metric.y(v) > kClosestTicks && metric.y(v) < metric.bottom - kClosestTicks) marks.push_back({metric.y(v), plain(v)});
    if (metric.end != metric.best) marks.push_back({metric.bottom, digits(metric.end, 4) + (metric.cut ? (sweep.plan.least ? " or more" : " or less") : "")});
  }
  if (metric.bottom < 1000) marks.push_back({1000, "no result"});
  html += axis_html(parameters, axes, sweep.plan.metric, marks,
                    fmt::format("data-low=\"{:.10g}\" data-high=\"{:.10g}\" data-bottom=\"{:.0f}\"", metric.end, metric.best, metric.bottom));

  // The best is drawn last, above the others.
  std::vector<int> order;
  for (const Trial& t : sweep.trials)
    if (std::find(ranking.begin(), ranking.end(), t.number) == ranking.end() && t.state != TrialState::waiting) order.push_back(t.number);
  const size_t without = order.size();
  order.insert(order.end(), ranking.rbegin(), ranking.rend());
  if (order.empty()) return "";
  size_t longest = 3;
  for (const Tick& t : scales[0].ticks) longest = std::max(longest, std::min<size_t>(t.text.size(), 24));
  const size_t left = std::max<size_t>(50, 20 + 7 * longest);  // pixels for the labels of the first axis
  std::string lines;
  for (size_t i = 0; i < order.size(); ++i) {
    const Trial& t = sweep.trials[size_t(order[i])];
    std::string path;
    for (size_t k = 0; k < parameters; ++k) {
      const Axis& a = scales[k];
      double y = 500;
      if (a.list) {
        const auto found = std::find(a.names.begin(), a.names.end(), argument_text(t.point[k]));
        if (a.names.size() > 1) y = 1000 - 1000 * double(found - a.names.begin()) / double(a.names.size() - 1);
      } else {
        y = a.y(number_of(t.point[k]));
      }
      path += fmt::format("{}{:.1f} {:.1f}", k ? "L" : "M", 1000 * double(k) / double(axes - 1), y);
    }
    const bool has = i >= without;
    path += fmt::format("L1000 {:.1f}", has ? metric.y(t.metric) : 1000.0);
    const size_t rank = order.size() - 1 - i;  // from 0, of those with a result
    const std::string css = !has ? fmt::format("none {}", name_of(t.state)) : fmt::format("q{}{}", rank * 5 / ranking.size(), rank == 0 ? " best" : "");
    const std::string text = fmt::format("trial {}: {}; {}", t.name(), point_text(sweep.plan, t.point),
                                         has ? fmt::format("{} {}, rank {} of {}", sweep.plan.metric, digits(t.metric, 5), rank + 1, ranking.size())
                                             : std::string(name_of(t.state)));
    lines += fmt::format("<path class=\"{}\" data-trial=\"{}\" data-text=\"{}\" d=\"{}\"/>\n", css, t.number, escaped(text, 400), path);
  }
  return fmt::format(
      "<figure class=\"para\" aria-labelledby=\"para-title\"><figcaption><h3 id=\"para-title\">Every trial as a line</h3>"
      "<span class=\"legend\"><span class=\"key\"><i class=\"shade\"></i>best to worst</span>{}</span></figcaption>\n"
      "<div class=\"hold\"><div class=\"field\" style=\"--axes:{};--left:{}px\"><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"Parallel coordinates of {} trials; the table of trials below has the same values\">{}</svg>\n{}</div></div>\n"
      "<div class=\"picker\" hidden><label>Trial, best first <input type=\"range\" min=\"0\" max=\"{}\" value=\"0\" step=\"1\"></label>"
      "<button type=\"button\">Show all</button><span class=\"range shown\"></span></div>\n"
      "<p class=\"said\" role=\"status\"></p>\n"
      "<p class=\"hint\" hidden>Drag along an axis, or move its ends with the arrow keys, to keep the trials within.</p></figure>\n",
      without ? "<span class=\"key\"><i class=\"dash\"></i>no result</span>" : "", axes, left, order.size(), lines, html, order.size() - 1);
}

}  // namespace tw
