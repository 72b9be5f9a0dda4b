#include <algorithm>
#include <cmath>

#include "src/meter/report/chart.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {

Section curves(const RunRecord& run) {
  // Joules of a token in the unit they are read in.
  Curve energy = run.joules_per_token;
  const double typical = energy.median();
  const double factor = typical < 1e-3 ? 1e6 : typical < 1 ? 1e3 : 1;
  if (!energy.empty()) energy.scale(factor);
  const std::string unit = factor == 1e6 ? "µJ a token" : factor == 1e3 ? "mJ a token" : "J a token";
  double first = INFINITY, last = -INFINITY;
  const Curve* all[] = {&run.loss, &run.eval_loss, &run.lr, &run.grad_norm, &run.tokens_per_second, &energy};
  for (const Curve* c : all) cover(*c, first, last);
  if (!(last >= first)) return {"curves", "Training", missing("No curves: metrics.jsonl is missing or holds no step.")};
  const auto options = [&](const char* id, const char* title, const std::string& y, bool from_zero = true) {
    return ChartOptions{.id = id, .title = title, .unit = y, .from_zero = from_zero, .first = first, .last = last};
  };
  ChartOptions loss = options("loss", "Loss", "nats a token", false);
  loss.wide = true;
  std::string body = chart_tools() + "<div class=\"charts\">";
  body += chart(loss, {{"training", &run.loss, 0}, {"held-out", &run.eval_loss, 1, true}});
  body += chart(options("rate", "Learning rate", ""), {{"learning rate", &run.lr}});
  body += chart(options("norm", "Gradient norm", "before clipping"), {{"gradient norm", &run.grad_norm}});
  body += chart(options("speed", "Speed", "tokens/s"), {{"tokens/s", &run.tokens_per_second}});
  if (!energy.empty())
    body += chart(options("joules", energy_of(run).kind == "assumed" ? "Energy (assumed)" : "Energy", unit),
                  {{unit, &energy}});
  return {"curves", "Training", body + "</div>\n"};
}

}  // namespace tw::report
