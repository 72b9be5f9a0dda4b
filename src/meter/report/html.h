// Pieces of HTML for the report. Text from files passes through escaped() and nothing else.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tw::report {

// For element content and quoted attributes. Control characters and those that turn the direction of the text around
// become U+FFFD; at most `limit` bytes of the text are taken, cut between characters, an ellipsis behind.
std::string escaped(std::string_view text, size_t limit = 160);
std::string code(std::string_view text, size_t limit = 160);  // escaped, in <code>

std::string base64(std::string_view bytes);  // RFC 4648

// Numbers for people; "unknown" where they are not finite.
std::string digits(double value, int significant);                           // 3.412
std::string plain(double value);                                             // 0.95, 1.3
std::string money(double eur);                                               // "1.20 EUR", "0.31 ct"
std::string percent(double share);                                           // "12.3 %"
std::string count(double value);                                             // "1.2M"
std::string whole(double value);                                             // "1 234 567", thin spaces
std::string many(double n, std::string_view one, std::string_view several);  // "1 file", "3 files"

// As cells of tables: "–" where the value is not finite.
struct Cells {
  static std::string joules(double value), seconds(double value), bytes(double value), number(double value),
      real(double value, int significant), eur(double value), share(double value), grams(double value);
};
// The value over a bar of that share of the cell, 0..1.
std::string bar_cell(const std::string& value, double share, std::string_view css_class = "");

// A table; cells are HTML already, the first of a row is its head. Columns whose header begins with '>' are numbers,
// set to the right.
class Table {
 public:
  // `caption`: what it is, for those who cannot see where it stands. Rows beyond `most_bytes` of HTML are left out, and
  // said to be.
  Table(std::string caption, std::vector<std::string> headers, size_t most_bytes = 40000,
        std::string_view css_class = "");
  // attributes: of the row's element, HTML already.
  void row(const std::vector<std::string>& cells, std::string_view css_class = "", std::string_view attributes = "");
  bool empty() const { return rows_.empty(); }
  // `rest`: where the rows left out are, "config.toml".
  std::string html(std::string_view rest = "the run folder") const;

 private:
  void add(std::string row);
  std::string caption_;
  std::vector<std::string> headers_;
  size_t most_bytes_, left_out_ = 0;
  std::string css_class_, rows_;
};

std::string missing(std::string_view sentence);  // a plain remark where a part is not there
std::string note(const std::string& html);       // a paragraph in small print
std::string folded(std::string_view summary, const std::string& html, bool printed = true);
std::string command(const std::string& line);  // of the shell, to be copied

struct Section {
  std::string id, title, body;  // none where the body is empty
};
// What a kind of page has beyond the style and script of all.
struct PageExtras {
  std::string_view style, script;
};
// The whole page: head with style, policy and script; header, contents, sections, footer.
std::string page(std::string_view title, const std::string& header, const std::vector<Section>& sections,
                 const std::string& footer, const PageExtras& extras = {});

}  // namespace tw::report
