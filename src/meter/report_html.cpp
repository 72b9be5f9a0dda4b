#include "src/meter/report_html.h"

#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"

namespace tw::report {

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
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
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
          out += "\xef\xbf\xbd";
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

Table::Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}

void Table::row(const std::vector<std::string>& cells, std::string_view css_class) {
  rows_ += css_class.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", css_class);
  for (size_t i = 0; i < cells.size(); ++i) {
    const bool number = i < headers_.size() && headers_[i].starts_with('>');
    rows_ += fmt::format("<td{}>{}</td>", number ? " class=\"n\"" : "", cells[i]);
  }
  rows_ += "</tr>\n";
}

std::string Table::html() const {
  std::string head;
  for (const std::string& header : headers_)
    head +=
        header.starts_with('>') ? fmt::format("<th class=\"n\">{}</th>", header.substr(1)) : "<th>" + header + "</th>";
  return "<div class=\"scroll\"><table><thead><tr>" + head + "</tr></thead><tbody>\n" + rows_ +
         "</tbody></table></div>\n";
}

std::string section(std::string_view id, std::string_view title, const std::string& body) {
  return fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", id, title, body);
}

std::string missing(std::string_view sentence) { return fmt::format("<p class=\"missing\">{}</p>\n", sentence); }

}  // namespace tw::report
