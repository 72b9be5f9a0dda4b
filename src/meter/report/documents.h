// inventory.json in sums: what the documents are, whatever their number.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace tw::report {

struct FileSum {
  int64_t files = 0, used = 0;
  double bytes = 0, text = 0;  // of all files; of the text inside used ones
};

struct Documents {
  // What files have in common, as the inventory spells it ("" = unknown). Of used files, but for kinds and states.
  using Sums = std::map<std::string, FileSum>;
  Sums kinds, states, languages, encodings, splits, licences, sources;
  struct Finding {
    int64_t files = 0;
    double count = 0;
  };
  std::map<std::string, Finding> findings;  // personal data by its kind: "email"
  struct Named {
    std::string path, state, reason;
  };
  std::vector<Named> problems;     // the first of those that are broken, duplicates or nearly
  std::vector<Named> findings_in;  // files with most personal data; reason = "3 email, 1 iban"
  std::string folder;
  std::vector<std::string> notes;
  FileSum all;
  int64_t problem_files = 0;
  bool has_languages = false, has_findings = false, has_sources = false;  // the scan looked for them

  // One entry of "files".
  void add(const nlohmann::json& file);

 private:
  std::vector<double> findings_count_;  // of findings_in
};

}  // namespace tw::report
