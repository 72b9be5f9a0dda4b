// Rows of a CSV as it comes from instruments and spreadsheets.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

struct CsvDialect {
  char delimiter = ',';        // one of , ; tab |
  bool header = false;         // the first row names the columns
  bool decimal_comma = false;  // "1,5" is a number
  bool trailing = false;       // rows end with a delimiter that divides nothing
  size_t columns = 0;
};

// From the beginning of a file (64 KiB are enough). Error(data) where it has no rows of equal length, or more than kMostColumns.
inline constexpr size_t kMostColumns = 4096;
CsvDialect sniff_csv(std::string_view head);

// Fields are without the white space around them and without their quotes (RFC 4180). Memory does not grow with the file.
class CsvRows {
 public:
  CsvRows(std::string_view bytes, const CsvDialect& dialect);
  // The next row that is not empty, whatever its length; the views hold until the next call. False at the end.
  bool next(std::vector<std::string_view>& fields);
  int64_t line() const noexcept { return line_; }  // where that row begins, from 1

 private:
  std::string_view rest_;
  CsvDialect dialect_;
  int64_t line_ = 0, after_ = 1;
  std::string unquoted_;  // fields that hold quotes
};

// A number; false where it is none. "nan" and "inf" are none.
bool csv_number(std::string_view field, bool decimal_comma, double& value) noexcept;
// "", "NA", "N/A", "NaN", "null", "none", "-", "?" of any case.
bool csv_missing(std::string_view field) noexcept;

}  // namespace tw
