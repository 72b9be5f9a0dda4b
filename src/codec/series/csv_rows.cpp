#include "src/codec/series/csv_rows.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr size_t kSniffed = size_t(64) << 10, kSniffedRows = 200;
constexpr size_t kLongestRow = size_t(1) << 20;
constexpr char kDelimiters[] = {',', ';', '\t', '|'};

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::string_view without_mark(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  return bytes;
}

bool is_number(std::string_view field, bool decimal_comma) {
  double v;
  return csv_number(field, decimal_comma, v);
}

}  // namespace

bool csv_number(std::string_view field, bool decimal_comma, double& value) noexcept {
  if (field.empty()) return false;
  if (field[0] == '+') field.remove_prefix(1);
  std::array<char, 64> copy;
  if (decimal_comma) {
    if (field.size() > copy.size()) return false;
    std::replace_copy(field.begin(), field.end(), copy.begin(), ',', '.');
    field = {copy.data(), field.size()};
  }
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  return error == std::errc() && end == field.data() + field.size() && std::isfinite(value);
}

bool csv_missing(std::string_view field) noexcept {
  if (field.empty()) return true;
  if (field.size() > 4) return false;
  std::array<char, 4> lower{};
  std::transform(field.begin(), field.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  const std::string_view s(lower.data(), field.size());
  for (const std::string_view word : {"na", "n/a", "nan", "null", "none", "-", "?"})
    if (s == word) return true;
  return false;
}

CsvRows::CsvRows(std::string_view bytes, const CsvDialect& dialect) : rest_(without_mark(bytes)), dialect_(dialect) {}

bool CsvRows::next(std::vector<std::string_view>& fields) {
  const char d = dialect_.delimiter;
  while (!rest_.empty()) {
    fields.clear();
    unquoted_.clear();
    line_ = after_;
    // Where no quote stands in the line, which is nearly always, fields are what lies between delimiters.
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    std::string_view row = rest_.substr(0, end);
    if (row.find('"') == row.npos) {
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++after_;
      if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
      if (trimmed(row).empty()) continue;
      for (size_t at = 0;;) {
        const size_t stop = std::min(row.find(d, at), row.size());
        fields.push_back(trimmed(row.substr(at, stop - at)));
        if (stop == row.size()) break;
        at = stop + 1;
      }
    } else {
      // A quoted field may hold delimiters and ends of lines. Its text is put together in unquoted_, which does not move.
      unquoted_.reserve(std::min(rest_.size(), kLongestRow));
      size_t i = 0;
      bool more = true;
      while (more) {
        while (i < rest_.size() && (rest_[i] == ' ' || (rest_[i] == '\t' && d != '\t'))) ++i;
        if (i < rest_.size() && rest_[i] == '"') {
          const size_t begin = unquoted_.size();
          for (++i; i < rest_.size() && i < kLongestRow; ++i) {
            if (rest_[i] == '\n') ++after_;
            if (rest_[i] == '"' && !(i + 1 < rest_.size() && rest_[i + 1] == '"')) break;
            if (rest_[i] == '"') ++i;
            unquoted_ += rest_[i];
          }
          fields.push_back(std::string_view(unquoted_).substr(begin));
          while (i < rest_.size() && rest_[i] != d && rest_[i] != '\n') ++i;
        } else {
          const size_t begin = i;
          while (i < rest_.size() && rest_[i] != d && rest_[i] != '\n') ++i;
          std::string_view field = rest_.substr(begin, i - begin);
          if (!field.empty() && field.back() == '\r') field.remove_suffix(1);
          fields.push_back(trimmed(field));
        }
        more = i < rest_.size() && rest_[i] == d && fields.size() <= kMostColumns;
        if (more) ++i;
      }
      const size_t stop = std::min(rest_.find('\n', i), rest_.size());
      rest_.remove_prefix(std::min(stop + 1, rest_.size()));
      ++after_;
    }
    if (dialect_.trailing && fields.size() == dialect_.columns + 1 && fields.back().empty()) fields.pop_back();
    return true;
  }
  return false;
}

CsvDialect sniff_csv(std::string_view bytes) {
  std::string_view head = bytes.substr(0, kSniffed);
  if (head.size() < bytes.size()) {  // whole lines
    const size_t end = head.rfind('\n');
    TW_CHECK(end != head.npos, data, "its first row is longer than {} bytes", kSniffed);
    head = head.substr(0, end);
  }
  TW_CHECK(head.find('\0') == head.npos, data, "it holds NUL bytes: no table");
  using Row = std::vector<std::string>;
  CsvDialect best;
  std::vector<Row> rows;
  double best_score = 0;
  for (const char delimiter : kDelimiters) {
    CsvDialect d{.delimiter = delimiter};
    CsvRows reader(head, d);
    std::vector<Row> some;
    std::vector<std::string_view> fields;
    std::map<size_t, size_t> lengths;
    while (some.size() < kSniffedRows && reader.next(fields)) {
      some.emplace_back(fields.begin(), fields.end());
      ++lengths[fields.size()];
    }
    if (some.empty()) continue;
    const auto usual = std::max_element(lengths.begin(), lengths.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    const double score = double(usual->second) / double(some.size()) * (usual->first > 1 ? 1 + std::min(double(usual->first), 1000.0) / 1e6 : 0.5);
    if (score <= best_score) continue;
    best_score = score;
    d.columns = usual->first;
    best = d;
    rows = std::move(some);
  }
  TW_CHECK(!rows.empty(), data, "no row inside");
  TW_CHECK(best.columns <= kMostColumns, data, "{} columns: at most {} are read", best.columns, kMostColumns);
  TW_CHECK(best_score >= 0.4, data, "its rows have different numbers of fields: no table");

  size_t commas = 0, points = 0;
  for (const Row& row : rows)
    for (const std::string& f : row) {
      const bool comma = f.find(',') != f.npos && is_number(f, true), plain = is_number(f, false);
      commas += comma && !plain, points += plain && f.find('.') != f.npos;
    }
  best.decimal_comma = best.delimiter != ',' && commas > points;
  // Names are no numbers, and what stands below them is.
  const auto numbers = [&](const Row& row) { return std::count_if(row.begin(), row.end(), [&](const std::string& f) { return is_number(f, best.decimal_comma); }); };
  if (rows.size() > 1) {
    const auto named = std::count_if(rows[0].begin(), rows[0].end(), [](const std::string& f) { return !f.empty(); });
    int64_t below = 0;
    for (size_t r = 1; r < rows.size(); ++r) below += numbers(rows[r]) > 0;
    best.header = numbers(rows[0]) == 0 && named > 0 && below > 0;
  }
  // "a,b" above "1,2,": the last field of every row is nothing.
  size_t data = 0, empty = 0;
  for (size_t r = best.header ? 1 : 0; r < rows.size(); ++r) ++data, empty += rows[r].size() == best.columns && rows[r].back().empty();
  const bool header_says = !best.header || rows[0].size() + 1 == best.columns || rows[0].back().empty();
  if (best.columns > 1 && data > 0 && empty == data && header_says) best.trailing = true, --best.columns;
  return best;
}

}  // namespace tw
