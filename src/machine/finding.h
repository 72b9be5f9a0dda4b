// What `doctor` found: one line each.
#pragma once
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "src/core/error.h"

namespace tw {

// note: works, but something is missing or slow. problem: a run would fail, with `code`.
enum class Verdict { ok, note, problem };
std::string_view name_of(Verdict verdict);

struct Finding {
  std::string section, name;  // "Memory", "huge pages"
  Verdict verdict = Verdict::ok;
  std::string text;
  std::string remedy = {};                // the command that mends it; empty = there is none
  ExitCode code = ExitCode::ok;           // of a problem
  std::vector<std::string> table = {};    // lines that stand under it as they are
  std::vector<std::pair<std::string, std::variant<double, std::string>>> values = {};  // the same for machines
};

class Findings {
 public:
  void begin(std::string section) { section_ = std::move(section); }
  // Each returns the line, for what is added to it: values, a table.
  Finding& ok(std::string name, std::string text);
  Finding& note(std::string name, std::string text, std::string remedy = "");
  Finding& problem(ExitCode code, std::string name, std::string text, std::string remedy = "");
  void add(Finding finding) { all_.push_back(std::move(finding)); }
  void without_sudo();  // in remedies: root needs none, and a bare Debian has none

  const std::vector<Finding>& all() const noexcept { return all_; }
  int count(Verdict verdict) const noexcept;
  ExitCode code() const noexcept;  // of the first problem; ok without one

 private:
  std::string section_;
  std::vector<Finding> all_;
};

struct FindingStyle {
  int width = 80;
  bool utf8 = true;    // else marks of ASCII alone
  bool colour = false;
};
// Sections with a line each, what is too long goes on below; remedies as commands that can be copied.
std::string format_findings(const Findings& findings, const FindingStyle& style);

// For other ranks. from_json throws Error(bug) where the text is not to_json's.
std::string to_json(const Findings& findings);
Findings findings_from_json(const std::string& text);

}  // namespace tw
