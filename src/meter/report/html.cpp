#include "src/meter/report/html.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"

namespace tw::report {

namespace {

constexpr const char* kNone = "–";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// U+202A to U+202E, U+2066 to U+2069: a file's name must not look like another one.
bool turns_direction(std::string_view text) {
  if (text.size() < 3) return false;
  const auto second = static_cast<unsigned char>(text[1]), third = static_cast<unsigned char>(text[2]);
  return (second == 0x80 && third >= 0xaa && third <= 0xae) || (second == 0x81 && third >= 0xa6 && third <= 0xa9);
}

// "6.5 uJ" as "6.5 µJ".
std::string with_micro(std::string text) {
  const size_t space = text.find(" u");
  return space == text.npos ? text : text.replace(space, 2, " µ");
}

}  // namespace

std::string escaped(std::string_view text, size_t limit) {
  const bool cut = text.size() > limit;
  if (cut) {
    text = text.substr(0, limit);
    size_t back = 0;  // not in the middle of a character
    while (back < 3 && text.size() > back && (static_cast<unsigned char>(text[text.size() - 1 - back]) & 0xc0) == 0x80)
      ++back;
    if (text.size() > back && static_cast<unsigned char>(text[text.size() - 1 - back]) >= 0xc0) ++back;
    text.remove_suffix(back);
  }
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0xe2 && turns_direction(text.substr(i, 3))) {
      out += kReplacement;
      i += 2;
      continue;
    }
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f)
          out += kReplacement;
        else
          out += c;
    }
  }
  return cut ? out + "…" : out;
}

std::string digits(double value, int significant) {
  if (!std::isfinite(value)) return "unknown";
  const double size = std::fabs(value);
  if (value != 0 && (size < 1e-4 || size >= 1e7)) return fmt::format("{:.{}e}", value, significant - 1);
  const int before = size >= 1    ? int(std::floor(std::log10(size))) + 1
                     : value == 0 ? 1
                                  : int(std::floor(std::log10(size))) + 1;
  return fmt::format("{:.{}f}", value, std::max(0, significant - before));
}

std::string plain(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : "unknown"; }

std::string money(double eur) {
  if (!std::isfinite(eur)) return "unknown";
  if (eur >= 0.01 || eur <= 0) return fmt::format("{:.2f} EUR", eur);
  return eur >= 0.0001 ? fmt::format("{:.2f} ct", eur * 100) : "< 0.01 ct";
}

std::string percent(double share) {
  if (!std::isfinite(share)) return "unknown";
  return fmt::format("{:.{}f} %", share * 100, std::fabs(share) < 0.0995 ? 1 : 0);
}

std::string count(double value) { return std::isfinite(value) ? human_count(value) : "unknown"; }

std::string whole(double value) {
  if (!std::isfinite(value)) return "unknown";
  std::string text = fmt::format("{:.0f}", value), out;
  const bool group = text.size() > 4;
  for (size_t i = 0; i < text.size(); ++i) {
    if (group && i > 0 && (text.size() - i) % 3 == 0 && text[i - 1] != '-') out += "\u202f";
    out += text[i];
  }
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view three = bytes.substr(at, 3);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < three.size() ? uint8_t(three[i]) : 0u);
    for (size_t digit = 0; digit < 4; ++digit) out += digit <= three.size() ? kDigits[bits >> (18 - 6 * digit) & 63] : '=';
  }
  return out;
}

std::string code(std::string_view text, size_t limit) {
  std::string out = "<code>";
  for (const char c : escaped(text, limit)) {  // may be broken behind these, which escapes do not hold
    out += c;
    if (c == '/' || c == '.' || c == '_') out += "<wbr>";
  }
  return out + "</code>";
}

std::string many(double n, std::string_view one, std::string_view several) {
  return fmt::format("{} {}", whole(n), n == 1 ? one : several);
}

std::string Cells::joules(double value) { return std::isfinite(value) ? with_micro(human_joules(value)) : kNone; }
std::string Cells::seconds(double value) { return std::isfinite(value) ? with_micro(human_seconds(value)) : kNone; }
std::string Cells::bytes(double value) { return std::isfinite(value) ? human_bytes(value) : kNone; }
std::string Cells::number(double value) { return std::isfinite(value) ? whole(value) : kNone; }
std::string Cells::real(double value, int significant) {
  return std::isfinite(value) ? digits(value, significant) : kNone;
}
std::string Cells::eur(double value) { return std::isfinite(value) ? escaped(money(value)) : kNone; }
std::string Cells::share(double value) { return std::isfinite(value) ? percent(value) : kNone; }

std::string Cells::grams(double value) {
  if (!std::isfinite(value)) return kNone;
  const char* units[] = {"µg", "mg", "g", "kg", "t"};
  size_t u = 2;
  while (u < 4 && std::fabs(value) >= 999.5) value /= 1000, ++u;
  while (u > 0 && value != 0 && std::fabs(value) < 0.9995) value *= 1000, --u;
  return fmt::format("{:.3g} {}", value, units[u]);
}

std::string bar_cell(const std::string& value, double share, std::string_view css_class) {
  if (!std::isfinite(share)) return value;
  return fmt::format("<span class=\"bar-cell {}\" style=\"--share:{:.1f}%\">{}</span>", css_class,
                     share < 0.01 ? 0.0 : std::min(share, 1.0) * 100, value);
}

Table::Table(std::string caption, std::vector<std::string> headers, size_t most_bytes, std::string_view css_class)
    : caption_(std::move(caption)), headers_(std::move(headers)), most_bytes_(most_bytes), css_class_(css_class) {}

void Table::add(std::string row) {
  if (left_out_ > 0 || rows_.size() + row.size() > most_bytes_)
    ++left_out_;
  else
    rows_ += row;
}

void Table::row(const std::vector<std::string>& cells, std::string_view css_class, std::string_view attributes) {
  std::string row = "<tr";
  if (!css_class.empty()) row += fmt::format(" class=\"{}\"", css_class);
  if (!attributes.empty()) row += fmt::format(" {}", attributes);
  row += ">";
  for (size_t i = 0; i < cells.size(); ++i) {
    const bool number = i < headers_.size() && headers_[i].starts_with('>');
    row += i == 0 ? fmt::format("<th scope=\"row\">{}</th>", cells[i])
                  : fmt::format("<td{}>{}</td>", number ? " class=\"n\"" : "", cells[i]);
  }
  add(row + "</tr>\n");
}

std::string Table::html(std::string_view rest) const {
  std::string head;
  for (const std::string& header : headers_)
    head += header.starts_with('>') ? fmt::format("<th scope=\"col\" class=\"n\">{}</th>", header.substr(1))
                                    : fmt::format("<th scope=\"col\">{}</th>", header);
  std::string out = fmt::format(
      "<div class=\"scroll "
      "{}\"><table><caption>{}</caption><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>\n",
      css_class_, caption_, head, rows_);
  if (left_out_)
    out += missing(fmt::format("{} more {} in {}.", left_out_, left_out_ == 1 ? "row is" : "rows are", rest));
  return out;
}

std::string missing(std::string_view sentence) { return fmt::format("<p class=\"missing\">{}</p>\n", sentence); }

std::string note(const std::string& html) { return "<p class=\"note\">" + html + "</p>\n"; }

std::string folded(std::string_view summary, const std::string& html, bool printed) {
  return fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", printed ? " class=\"printed\"" : "", summary,
                     html);
}

std::string command(const std::string& line) {
  return "<div class=\"command\"><pre><code>" + escaped(line, 2000) + "</code></pre></div>\n";
}

}  // namespace tw::report
