#include "src/machine/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr int kIndent = 2, kNameWidth = 15;
constexpr int kTextColumn = kIndent + 2 + kNameWidth;

// Characters, each taken as one column wide.
int columns(std::string_view text) {
  return int(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(std::string text, int width) {
  const int missing = width - columns(text);
  return missing > 0 ? text + std::string(size_t(missing), ' ') : text;
}

// Of files and other programs: they may hold anything. A terminal must get no codes of theirs.
std::string printable(const std::string& text) {
  std::string clean = repaired_utf8(text);
  std::replace_if(clean.begin(), clean.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  return clean;
}

// Lines of at most `width` columns, broken at blanks; a word that is longer stays whole, and so does what stands in
// single quotes of a command. `end` closes all but the last.
std::vector<std::string> wrapped(const std::string& text, int width, const std::string& end = "") {
  const bool command = !end.empty();
  std::vector<std::string> lines(1);
  for (size_t at = 0; at < text.size();) {
    size_t next = at;
    for (bool quoted = false; next < text.size() && (quoted || text[next] != ' '); ++next)
      if (command && text[next] == '\'') quoted = !quoted;
    const std::string word = text.substr(at, next - at);
    at = next + 1;
    if (!lines.back().empty() && columns(lines.back()) + 1 + columns(word) > width - columns(end)) {
      lines.back() += end;
      lines.emplace_back();
    }
    lines.back() += (lines.back().empty() ? "" : " ") + word;
  }
  return lines;
}

std::string mark_of(Verdict verdict, const FindingStyle& style) {
  const char* mark = verdict == Verdict::ok ? (style.utf8 ? "✓" : "+") : verdict == Verdict::note ? "!" : (style.utf8 ? "✗" : "X");
  if (!style.colour) return mark;
  const char* code = verdict == Verdict::ok ? "32" : verdict == Verdict::note ? "33" : "31";
  return fmt::format("\033[1;{}m{}\033[0m", code, mark);
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  return verdict == Verdict::ok ? "ok" : verdict == Verdict::note ? "note" : "problem";
}

Finding& Findings::ok(std::string name, std::string text) {
  all_.push_back({.section = section_, .name = std::move(name), .text = std::move(text)});
  return all_.back();
}
Finding& Findings::note(std::string name, std::string text, std::string remedy) {
  Finding& f = ok(std::move(name), std::move(text));
  f.verdict = Verdict::note, f.remedy = std::move(remedy);
  return f;
}
Finding& Findings::problem(ExitCode code, std::string name, std::string text, std::string remedy) {
  Finding& f = note(std::move(name), std::move(text), std::move(remedy));
  f.verdict = Verdict::problem, f.code = code;
  return f;
}

void Findings::without_sudo() {
  constexpr std::string_view kSudo = "sudo ";
  for (Finding& f : all_)
    for (size_t at = 0; (at = f.remedy.find(kSudo, at)) != f.remedy.npos;) f.remedy.erase(at, kSudo.size());
}

int Findings::count(Verdict verdict) const noexcept {
  return int(std::count_if(all_.begin(), all_.end(), [&](const Finding& f) { return f.verdict == verdict; }));
}

ExitCode Findings::code() const noexcept {
  for (const Finding& f : all_)
    if (f.verdict == Verdict::problem) return f.code;
  return ExitCode::ok;
}

std::string format_findings(const Findings& findings, const FindingStyle& style) {
  std::string out, section;
  for (const Finding& f : findings.all()) {
    if (f.section != section) out += (out.empty() ? "" : "\n") + f.section + "\n";
    section = f.section;
    const std::string indent(size_t(kTextColumn), ' ');
    bool first = true;
    for (const std::string& line : wrapped(printable(f.text), style.width - kTextColumn)) {
      out += first ? std::string(kIndent, ' ') + mark_of(f.verdict, style) + " " + padded(printable(f.name), kNameWidth) : indent;
      out += line + "\n";
      first = false;
    }
    for (const std::string& line : f.table) out += std::string(kIndent + 2, ' ') + printable(line) + "\n";
    if (f.remedy.empty()) continue;
    first = true;
    for (const std::string& line : wrapped(printable(f.remedy), style.width - kTextColumn - 2, " \\")) {
      out += indent + (first ? "$ " : "  ") + line + "\n";
      first = false;
    }
  }
  return out;
}

std::string to_json(const Findings& findings) {
  nlohmann::json all = nlohmann::json::array();
  for (const Finding& f : findings.all()) {
    nlohmann::json values = nlohmann::json::object();
    for (const auto& [key, value] : f.values) std::visit([&, &k = key](const auto& v) { values[k] = v; }, value);
    all.push_back({{"section", f.section}, {"name", f.name}, {"verdict", name_of(f.verdict)}, {"text", repaired_utf8(f.text)},
                   {"remedy", f.remedy}, {"code", int(f.code)}, {"table", f.table}, {"values", values}});
  }
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Findings findings_from_json(const std::string& text) {
  Findings findings;
  try {
    for (const auto& j : nlohmann::json::parse(text)) {
      Finding f{.section = j.at("section"), .name = j.at("name"), .text = j.at("text"), .remedy = j.at("remedy"), .table = j.at("table")};
      const std::string verdict = j.at("verdict");
      f.verdict = verdict == "ok" ? Verdict::ok : verdict == "note" ? Verdict::note : Verdict::problem;
      f.code = ExitCode(j.at("code").get<int>());
      for (const auto& [key, value] : j.at("values").items()) {
        if (value.is_string()) f.values.emplace_back(key, value.get<std::string>());
        else if (value.is_number()) f.values.emplace_back(key, value.get<double>());
      }
      findings.add(std::move(f));
    }
  } catch (const nlohmann::json::exception& e) {
    TW_FAIL(bug, "findings of another rank: {}", e.what());
  }
  return findings;
}

}  // namespace tw
