#include "src/core/format.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace tw {

// Units change where the number as printed would reach the next one.
std::string human_bytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int u = 0;
  while (std::abs(bytes) >= (u == 0 ? 1023.5 : 1023.95) && u < 5) bytes /= 1024, ++u;
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[u]);
}

std::string human_count(double count) {
  const char* units[] = {"", "k", "M", "G", "T"};
  int u = 0;
  while (std::abs(count) >= 999.5 && u < 4) count /= 1000, ++u;
  return u == 0 ? fmt::format("{:.0f}", count) : fmt::format("{:.{}f}{}", count, std::abs(count) < 100 ? 1 : 0, units[u]);
}

std::string human_seconds(double s) {
  if (!std::isfinite(s)) return "?";
  if (s < 9.95e-6) return fmt::format("{:.1f} us", s * 1e6);
  if (s < 0.9995e-3) return fmt::format("{:.0f} us", s * 1e6);
  if (s < 0.99995) return fmt::format("{:.1f} ms", s * 1e3);
  if (s < 59.995) return fmt::format("{:.2f} s", s);
  const long total = std::lround(s);
  if (total < 3600) return fmt::format("{} min {:02} s", total / 60, total % 60);
  return fmt::format("{} h {:02} min", total / 3600, total % 3600 / 60);
}

std::string human_joules(double joules) {
  const char* units[] = {"nJ", "uJ", "mJ", "J", "kJ", "MJ", "GJ"};
  int u = 3;
  while (std::abs(joules) >= 999.5 && u < 6) joules /= 1000, ++u;
  while (joules != 0 && std::abs(joules) < 0.9995 && u > 0) joules *= 1000, --u;
  return fmt::format("{:.3g} {}", joules, units[u]);
}

std::string shortened(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  size_t head = most / 2, tail = text.size() - most / 2;
  while (head > 0 && (text[head] & 0xC0) == 0x80) --head;  // whole characters
  while (tail < text.size() && (text[tail] & 0xC0) == 0x80) ++tail;
  return std::string(text.substr(0, head)) + " […] " + std::string(text.substr(tail));
}

std::string blank_lines_folded(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t run = text.find("\n\n\n\n");
    out += text.substr(0, run);
    if (run == text.npos) break;
    text.remove_prefix(run);
    const size_t breaks = std::min(text.find_first_not_of('\n'), text.size());
    out += fmt::format("\n[{} blank lines]\n", breaks - 1);
    text.remove_prefix(breaks);
  }
  return out;
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
  if (!text.empty() && text.find_first_not_of(kPlain) == text.npos) return std::string(text);
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

}  // namespace tw
