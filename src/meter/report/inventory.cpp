// The data inventory: kinds, languages, encodings, splits, duplicates, personal data, licences, sources.
#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

constexpr size_t kShown = 15;  // values of a property

// Largest first; what lies behind the first kShown in one row.
std::string sums_table(const char* title, const char* what, const Documents::Sums& sums, const char* unknown,
                       bool all_files, size_t shown = kShown) {
  if (sums.empty()) return "";
  std::vector<std::pair<std::string, FileSum>> list(sums.begin(), sums.end());
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
    return a.second.text != b.second.text ? a.second.text > b.second.text : a.second.files > b.second.files;
  });
  double whole_text = 0;
  for (const auto& [name, sum] : list) whole_text += sum.text;
  const auto cells = [&](const std::string& name, const FileSum& s) {
    std::vector<std::string> row = {name, Cells::number(double(s.files))};
    if (all_files) row.push_back(Cells::number(double(s.used))), row.push_back(Cells::bytes(s.bytes));
    row.push_back(s.used ? bar_cell(Cells::bytes(s.text), whole_text > 0 ? s.text / whole_text : 0, "me") : "–");
    return row;
  };
  Table table(title, all_files ? std::vector<std::string>{what, ">Files", ">Used", ">Size", ">Text in use"}
                               : std::vector<std::string>{what, ">Files", ">Text"});
  FileSum rest;
  for (size_t i = 0; i < list.size(); ++i) {
    const auto& [name, sum] = list[i];
    if (i < shown || list.size() == shown + 1)
      table.row(cells(name.empty() ? unknown : escaped(name, 160), sum));
    else
      rest.files += sum.files, rest.used += sum.used, rest.bytes += sum.bytes, rest.text += sum.text;
  }
  if (rest.files) table.row(cells(fmt::format("{} others", list.size() - shown), rest), "part");
  return fmt::format("<div class=\"block\"><h3>{}</h3>\n{}</div>\n", title, table.html("inventory.json"));
}

std::string named_files(const char* caption, const std::vector<Documents::Named>& files, bool with_state) {
  Table table(caption, with_state ? std::vector<std::string>{"File", "State", "Reason"}
                                  : std::vector<std::string>{"File", "Found"});
  for (const auto& f : files) {
    std::string state = f.state;
    std::replace(state.begin(), state.end(), '_', ' ');
    table.row(with_state ? std::vector<std::string>{code(f.path, 200), escaped(state, 20), escaped(f.reason, 200)}
                         : std::vector<std::string>{code(f.path, 200), escaped(f.reason, 200)});
  }
  return table.html("inventory.json");
}

std::string states(const Documents& d) {
  std::string list;
  for (const char* state : {"used", "duplicate", "near_duplicate", "filtered", "broken", "skipped"}) {
    const auto found = d.states.find(state);
    if (found == d.states.end()) continue;
    std::string name = state;
    std::replace(name.begin(), name.end(), '_', ' ');
    list += fmt::format("<div><dt>{}</dt><dd>{} <small>{}</small></dd></div>", name, whole(double(found->second.files)),
                        human_bytes(found->second.bytes));
  }
  return "<dl class=\"facts\">" + list + "</dl>\n";
}

std::string findings(const Documents& d) {
  if (!d.has_findings) return missing("inventory.json does not say whether personal data was looked for.");
  std::string body = "<h3>Personal data and secrets</h3>\n";
  if (d.findings.empty()) return body + note("None was found in the documents in use.");
  Table table("Personal data found in documents in use", {"Kind", ">Files", ">Findings"}, 40000, "half");
  for (const auto& [kind, sum] : d.findings)
    table.row({escaped(kind, 40), Cells::number(double(sum.files)), Cells::number(sum.count)});
  return body + table.html() +
         folded("Files with most of it", named_files("Files with most findings", d.findings_in, false));
}

std::string tokens(const RunRecord& run) {
  const Json& splits = part_of(run.tokens, "splits");
  if (!splits.is_object()) return missing("No tokens/tokens.json, or no splits in it.");
  Table table("Tokens by split", {"Split", ">Documents", ">Text", ">Tokens", ">Bytes a token"});
  for (const char* name : {"train", "val", "test"}) {
    const Json& s = part_of(splits, name);
    const double text = real_of(s, "bytes"), tokens = real_of(s, "tokens");
    if (!std::isfinite(tokens)) continue;
    table.row({name, Cells::number(real_of(s, "documents")), Cells::bytes(text), Cells::number(tokens),
               Cells::real(text / tokens, 3)});
  }
  return "<div class=\"block\"><h3>Tokens</h3>\n" + table.html() + "</div>\n";
}

}  // namespace

Section documents(const RunRecord& run) {
  const Documents& d = run.documents;
  if (d.all.files == 0)
    return {"data", "Data",
            missing("No inventory.json, or no file in it.") + "<div class=\"blocks\">" + tokens(run) + "</div>"};
  std::string body = note("Folder " + code(d.folder, 300)) + states(d) + "<div class=\"blocks\">";
  body += sums_table("Kinds", "Kind", d.kinds, "unknown", true);
  body += d.has_languages ? sums_table("Languages", "Language", d.languages, "unknown", false) : "";
  body += sums_table("Encodings", "Encoding", d.encodings, "unknown", false);
  body += sums_table("Splits", "Split", d.splits, "unknown", false) + tokens(run);
  body += sums_table("Licences", "Licence", d.licences, "none found", false);
  body += d.has_sources ? sums_table("Sources", "Source", d.sources, "not named", false) : "";
  body += "</div>\n";
  if (!d.has_languages) body += missing("inventory.json names no languages: scan again with this version.");
  if (!d.has_sources) body += missing("inventory.json names no sources.");
  body += findings(d);
  if (d.problem_files) {
    const std::string more =
        d.problem_files > int64_t(d.problems.size())
            ? missing(fmt::format("{} more are in inventory.json.", d.problem_files - int64_t(d.problems.size())))
            : "";
    body += folded(
        fmt::format("{} duplicate or could not be read", many(double(d.problem_files), "file is a", "files are")),
        named_files("Duplicates and files that could not be read", d.problems, true) + more);
  }
  for (const std::string& text : d.notes) body += note(escaped(text, 300));
  return {"data", "Data", body};
}

}  // namespace tw::report
