#include "src/codec/series/channel.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "src/codec/series/csv_rows.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr size_t kLongestWord = 200;
constexpr int kMostDecimals = 9, kLloydRounds = 30;
constexpr double kYear1 = -62135596800, kYear10000 = 253402300800;  // seconds since 1970

// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant 2013, chrono-compatible date algorithms).
int64_t days_of(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t yoe = year - era * 400, doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

std::string time_text(double seconds) {
  const double whole = std::floor(seconds);
  int64_t days = int64_t(std::floor(whole / 86400));
  const int64_t left = int64_t(whole) - days * 86400;
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097, doe = days - era * 146097;
  const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  const int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
  std::string out = fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", yoe + era * 400 + (month <= 2), month, day, left / 3600, left / 60 % 60, left % 60);
  if (const auto ms = std::lround((seconds - whole) * 1000); ms > 0 && ms < 1000) out += fmt::format(".{:03}", ms);
  return out;
}

int decimals_of(std::string_view field, bool decimal_comma) {
  const size_t point = field.find(decimal_comma ? ',' : '.');
  if (field.find_first_of("eE") != field.npos) return kMostDecimals;
  if (point == field.npos) return 0;
  size_t end = field.size();
  while (end > point + 1 && field[end - 1] == '0') --end;
  return int(std::min<size_t>(end - point - 1, kMostDecimals));
}

std::vector<double> distinct(std::vector<double> values) {  // rising
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// At most `most` of `sample`, rising, so that the mean square of what each is off is small.
std::vector<double> chosen(std::vector<double> sample, size_t most) {
  std::sort(sample.begin(), sample.end());
  const std::vector<double> values = distinct(sample);
  if (values.size() <= most) return values;
  // Half by quantiles, half by equal steps: what is frequent and what is far away. Then Lloyd's rounds.
  std::vector<double> book;
  for (size_t i = 0; i < most / 2; ++i) book.push_back(sample[(2 * i + 1) * sample.size() / (2 * (most / 2))]);
  for (size_t i = 0; i < most - most / 2; ++i)
    book.push_back(values.front() + (values.back() - values.front()) * double(i) / double(std::max<size_t>(1, most - most / 2 - 1)));
  std::vector<double> prefix(sample.size() + 1);
  for (size_t i = 0; i < sample.size(); ++i) prefix[i + 1] = prefix[i] + sample[i];
  for (int round = 0; round < kLloydRounds; ++round) {
    book = distinct(std::move(book));
    size_t begin = 0;
    for (size_t b = 0; b < book.size(); ++b) {
      const size_t end = b + 1 == book.size() ? sample.size()
                                              : size_t(std::upper_bound(sample.begin() + int64_t(begin), sample.end(), book[b] + (book[b + 1] - book[b]) / 2) - sample.begin());
      if (end > begin) book[b] = (prefix[end] - prefix[begin]) / double(end - begin);
      begin = end;
    }
  }
  return distinct(std::move(book));
}

}  // namespace

std::string channel_word(std::string_view field) { return repaired_utf8(utf8_or_windows_1252(field).substr(0, kLongestWord)); }

std::optional<double> clock_time(std::string_view s) {
  if (s.size() < 10 || s[4] != '-' || s[7] != '-') return std::nullopt;
  size_t at = 0;
  const auto part = [&](size_t digits, int64_t low, int64_t high, int64_t& value) {
    if (s.size() < at + digits) return false;
    const auto [end, error] = std::from_chars(s.data() + at, s.data() + at + digits, value);
    if (error != std::errc() || end != s.data() + at + digits || value < low || value > high) return false;
    at += digits;
    return true;
  };
  const auto sign = [&](std::string_view any) { return at < s.size() && any.find(s[at]) != any.npos ? ++at, true : false; };
  int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!part(4, 1, 9999, year) || !sign("-") || !part(2, 1, 12, month) || !sign("-") || !part(2, 1, 31, day)) return std::nullopt;
  double fraction = 0, zone = 0;
  if (at < s.size()) {
    if (!sign("T ") || !part(2, 0, 24, hour) || !sign(":") || !part(2, 0, 59, minute)) return std::nullopt;
    if (sign(":") && !part(2, 0, 60, second)) return std::nullopt;
    if (at < s.size() && s[at] == '.') {
      const size_t begin = at;
      for (++at; at < s.size() && s[at] >= '0' && s[at] <= '9'; ++at) {
      }
      std::from_chars(s.data() + begin, s.data() + at, fraction);
    }
    if (at < s.size() && (s[at] == '+' || s[at] == '-')) {
      const double direction = s[at] == '+' ? 1 : -1;
      ++at;
      int64_t zh = 0, zm = 0;
      if (!part(2, 0, 14, zh)) return std::nullopt;
      sign(":");
      if (at < s.size() && !part(2, 0, 59, zm)) return std::nullopt;
      zone = direction * double(zh * 3600 + zm * 60);
    } else {
      sign("Z");
    }
    if (at != s.size()) return std::nullopt;
  }
  return double(days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) + fraction - zone;
}

int32_t Channel::nearest(double value) const noexcept {
  const auto above = std::lower_bound(values.begin(), values.end(), value);
  if (above == values.end()) return int32_t(values.size()) - 1;
  if (above == values.begin()) return 0;
  const auto below = above - 1;
  return int32_t((value - *below <= *above - value ? below : above) - values.begin());
}

bool Channel::beyond(double value) const noexcept {
  const double step = values.size() > 1 ? (values.back() - values.front()) / double(values.size() - 1) : 0;
  return value < values.front() - step || value > values.back() + step;
}

int32_t Channel::find(std::string_view word) const noexcept {
  const auto found = std::lower_bound(words.begin(), words.end(), word);
  return found != words.end() && *found == word ? int32_t(found - words.begin()) : -1;
}

std::string Channel::written(double value) const {
  if (kind == Kind::clock && decimals < 0 && value > kYear1 && value < kYear10000) return time_text(value);
  std::string text = fmt::format("{:.{}f}", value, std::max(decimals, 0));
  if (text.find('.') != text.npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

void ChannelCount::add(std::string_view field, bool decimal_comma) {
  if (csv_missing(field)) return;
  double value = 0;
  if (!csv_number(field, decimal_comma, value)) {
    const auto time = clock_time(field);
    if (!time) {
      ++words_seen_;
      const std::string word = channel_word(field);
      const auto at = std::lower_bound(words_.begin(), words_.end(), word, [](const auto& a, const std::string& b) { return a.first < b; });
      if (at != words_.end() && at->first == word) ++at->second;
      else if (words_.size() <= kWords) words_.insert(at, {word, 1});
      return;
    }
    value = *time;
    ++times_;
  } else {
    if (std::abs(value) > 1e300) return;
    decimals_ = std::max(decimals_, decimals_of(field, decimal_comma));
  }
  if (before_) rises_ = rises_ && value >= *before_, moves_ = moves_ || value != *before_;
  const auto keep = [&](std::vector<double>& all, double v) {
    if (numbers_ % stride_ == 0) all.push_back(v);
  };
  keep(sample_, value);
  if (before_) keep(steps_, value - *before_);
  if (!first_) first_ = value;
  before_ = value;
  ++numbers_;
  if (sample_.size() < kSample) return;
  for (auto* all : {&sample_, &steps_}) {
    size_t kept = 0;
    for (size_t i = 0; i < all->size(); i += 2) (*all)[kept++] = (*all)[i];
    all->resize(kept);
  }
  stride_ *= 2;
}

std::optional<Channel> ChannelCount::finish(size_t most) {
  Channel c{.name = name_, .kind = Channel::Kind::number, .values = {}, .words = {}, .decimals = decimals_, .begin = 0};
  if (words_seen_ > numbers_) {
    if (words_.size() > std::min(kWords, most)) return std::nullopt;
    c.kind = Channel::Kind::word;
    for (auto& [word, n] : words_) c.words.push_back(std::move(word));
    return c;
  }
  if (numbers_ == 0) return std::nullopt;
  // What only rises and has more values than it has steps is a clock or a counter.
  const auto counts_on = [&] {
    const size_t values = distinct(sample_).size();
    return values > most && distinct(steps_).size() < values / 2;
  };
  if (times_ > 0 || (rises_ && moves_ && !steps_.empty() && counts_on())) {
    c.kind = Channel::Kind::clock;
    c.begin = first_.value_or(0);
    if (times_ > 0) c.decimals = -1;
  }
  c.values = chosen(std::move(c.kind == Channel::Kind::clock ? steps_ : sample_), most);
  if (c.values.empty()) c.values.push_back(0);
  return c;
}

}  // namespace tw
