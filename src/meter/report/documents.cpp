#include "src/meter/report/documents.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/error.h"
#include "src/core/format.h"
#include "src/core/json_guard.h"
#include "src/meter/report/record.h"

namespace tw::report {
namespace {

constexpr size_t kMaxInventory = size_t(2) << 30;  // as the scan's own reader
constexpr size_t kKeys = 2000, kKey = 200;         // different values kept of each property, and their bytes
constexpr size_t kNamed = 30;                      // files shown by name

FileSum& sum_of(Documents::Sums& sums, const std::string& key) {
  const std::string whole = shortened(key, kKey);
  return sums.size() < kKeys || sums.contains(whole) ? sums[whole] : sums["others"];
}

// "https://www.debian.org/doc/x.html" as "www.debian.org".
std::string place_of(const std::string& source) {
  const size_t scheme = source.find("://");
  if (scheme == source.npos || scheme > 8) return source;
  const size_t begin = scheme + 3, end = source.find_first_of("/?#", begin);
  return source.substr(begin, end == source.npos ? end : end - begin);
}

void add_file(FileSum& sum, bool used, double bytes, double text) {
  ++sum.files;
  sum.bytes += bytes;
  if (used) ++sum.used, sum.text += text;
}

double not_negative(double value) { return value > 0 && value < 0x1p62 ? value : 0; }

}  // namespace

void Documents::add(const Json& file) {
  const double bytes = not_negative(real_of(file, "bytes")), text = not_negative(real_of(file, "text_bytes"));
  const std::string state = text_of(file, "state"), path = text_of(file, "path");
  const bool used = state == "used";
  has_languages |= file.contains("language");
  has_findings |= file.contains("findings");
  has_sources |= file.contains("source");
  add_file(all, used, bytes, text);
  add_file(sum_of(kinds, text_of(file, "kind")), used, bytes, text);
  add_file(sum_of(states, state), used, bytes, text);
  if (!used && state != "skipped") {
    ++problem_files;
    std::string reason = text_of(file, "reason");
    if (const std::string other = text_of(file, "duplicate_of"); !other.empty() && reason.find(other) == reason.npos)
      reason += (reason.empty() ? "like " : "; like ") + other;
    if (problems.size() < kNamed) problems.push_back({shortened(path, 400), state, shortened(reason, 400)});
  }
  if (!used) return;
  add_file(sum_of(languages, text_of(file, "language")), used, bytes, text);
  add_file(sum_of(encodings, text_of(file, "encoding")), used, bytes, text);
  add_file(sum_of(splits, text_of(file, "split")), used, bytes, text);
  add_file(sum_of(licences, text_of(file, "licence")), used, bytes, text);
  add_file(sum_of(sources, place_of(text_of(file, "source"))), used, bytes, text);

  const Json& found = part_of(file, "findings");
  if (!found.is_object()) return;
  double count = 0;
  std::string what;
  for (const auto& [kind, value] : found.items()) {
    const double n = value.is_number() ? not_negative(value.get<double>()) : 0;
    if (n == 0 || (findings.size() >= kNamed && !findings.contains(kind))) continue;
    Finding& sum = findings[shortened(kind, 40)];
    ++sum.files, sum.count += n, count += n;
    what += fmt::format("{}{:.0f} {}", what.empty() ? "" : ", ", n, shortened(kind, 40));
  }
  if (count == 0) return;
  const auto place = std::upper_bound(findings_count_.begin(), findings_count_.end(), count, std::greater<>());
  const auto at = place - findings_count_.begin();
  if (size_t(at) >= kNamed) return;
  findings_count_.insert(place, count);
  findings_in.insert(findings_in.begin() + at, {shortened(path, 400), state, shortened(what, 400)});
  if (findings_in.size() > kNamed) findings_in.pop_back(), findings_count_.pop_back();
}

void read_documents(RunRecord& run) {
  constexpr const char *kName = "inventory.json", *kWithout = "no list of the documents";
  std::string text;
  if (!read_text(run, kName, kWithout, kMaxInventory, text)) return;
  Documents sums;
  std::string key;  // of the outermost object
  // An entry becomes sums as soon as it is read: the parsed JSON never holds more than one of them.
  const auto take = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1) key = value.get<std::string>();
    if (event != Json::parse_event_t::object_end || depth != 2 || key != "files") return true;
    sums.add(value);
    return false;
  };
  try {
    check_json_structure(text, {.depth = 64, .values = text.size() / 8 + 4096}, kName);
    const Json json = Json::parse(text, take);
    TW_CHECK(json.is_object(), data, "it is no object");
    sums.folder = text_of(json, "folder");
    const Json& notes = part_of(json, "notes");
    for (size_t i = 0; notes.is_array() && i < notes.size() && i < 5; ++i)
      if (notes[i].is_string()) sums.notes.push_back(notes[i].get<std::string>());
    run.documents = std::move(sums);
  } catch (const std::exception& e) {
    run.notes.push_back(fmt::format("{} is damaged ({}); {}.", kName, shortened(e.what(), 500), kWithout));
  }
}

}  // namespace tw::report
