// Pieces of HTML for the report. Text from files passes through escaped() and nothing else.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tw::report {

// For element content and quoted attributes. Control characters become U+FFFD; at most `limit` bytes of the text are
// taken, cut between characters, an ellipsis behind.
std::string escaped(std::string_view text, size_t limit = 160);

// Numbers for people; "unknown" where they are not finite.
std::string digits(double value, int significant);  // 3.412
std::string plain(double value);                    // 0.95, 1.3
std::string money(double eur);                      // "1.20 EUR", "0.31 ct"
std::string percent(double share);                  // "12.3 %"
std::string count(double value);                    // "1.2M"
std::string whole(double value);                    // "1 234 567", thin spaces

// A table; cells are HTML already. Columns whose header begins with '>' are numbers, set to the right.
class Table {
 public:
  explicit Table(std::vector<std::string> headers);
  void row(const std::vector<std::string>& cells, std::string_view css_class = "");
  bool empty() const { return rows_.empty(); }
  std::string html() const;

 private:
  std::vector<std::string> headers_;
  std::string rows_;
};

std::string section(std::string_view id, std::string_view title, const std::string& body);
std::string missing(std::string_view sentence);  // a plain remark where a part is not there

// The style and the script of the page.
std::string_view style_sheet();
std::string_view script();

}  // namespace tw::report
