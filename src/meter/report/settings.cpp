// The configuration: what somebody set first, then what follows from it; defaults are folded.
#include <fmt/format.h>

#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

// "/somewhere/configs/first.toml:12:8" as "first.toml:12".
std::string origin_of(const Setting& s) {
  const size_t slash = s.origin.rfind('/');
  std::string origin = slash == s.origin.npos ? s.origin : s.origin.substr(slash + 1);
  const size_t line = origin.find(':'), column = origin.rfind(':');
  return line < column && column != origin.npos ? origin.substr(0, column) : origin;
}

std::string table_of(const RunRecord& run, const char* caption, auto&& wanted) {
  Table table(caption, {"Setting", "Value", "From"}, 40000, "dense");
  for (const Setting& s : run.config)
    if (wanted(s)) table.row({code(s.name(), 80), code(s.value, 300), escaped(origin_of(s), 120)});
  return table.empty() ? "" : table.html("config.toml");
}

}  // namespace

Section configuration(const RunRecord& run) {
  if (run.config.empty()) return {"settings", "Settings", missing("No config.toml, or no setting in it.")};
  size_t defaults = 0, derived = 0;
  for (const Setting& s : run.config) defaults += s.is_default(), derived += s.origin == "derived";
  const size_t own = run.config.size() - defaults - derived;
  std::string body;
  body += own ? table_of(run, "Settings that were made",
                         [](const Setting& s) { return !s.is_default() && s.origin != "derived"; })
              : missing("All settings are at their defaults.");
  if (derived)
    body += folded(
        many(double(derived), "setting that follows", "settings that follow") + " from others",
        table_of(run, "Settings that follow from others", [](const Setting& s) { return s.origin == "derived"; }));
  if (defaults)
    body += folded(many(double(defaults), "setting", "settings") + " at the default",
                   table_of(run, "Settings at their defaults", [](const Setting& s) { return s.is_default(); }));
  return {"settings", "Settings", body};
}

}  // namespace tw::report
