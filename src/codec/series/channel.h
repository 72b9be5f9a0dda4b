// A column of a table as tokens: which values it knows, and how they are written.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

inline constexpr int32_t kManyValues = 32, kSteps = 24;

struct Channel {
  enum class Kind : uint8_t { number, clock, word };
  std::string name;
  Kind kind = Kind::number;
  std::vector<double> values;      // of numbers: rising; of clocks: differences between rows
  std::vector<std::string> words;  // of words: sorted
  int decimals = 0;                // behind the point, as they are written; of clocks that are times of day -1
  double begin = 0;                // of clocks: what the first row of a decoded table has

  // Of numbers with many values: how many values up or down a change is told as a step and not as the value, so that what holds for one height holds
  // for others.
  int32_t steps() const noexcept { return kind == Kind::number && values.size() > size_t(kManyValues) ? kSteps : 0; }
  double spacing() const noexcept { return (values.back() - values.front()) / double(values.size() - 1); }  // of numbers with steps, on average
  int32_t size() const noexcept { return int32_t(kind == Kind::word ? words.size() : values.size()); }
  // Of numbers: more than a step beyond the least and the largest value (any other than the only one): such are spelled out.
  bool beyond(double value) const noexcept;
  int32_t nearest(double value) const noexcept;
  // -1 where it is none of the words.
  int32_t find(std::string_view word) const noexcept;
  std::string written(double value) const;
};

// What one column of the training files holds, seen field by field. Memory stays bounded.
class ChannelCount {
 public:
  explicit ChannelCount(std::string name) : name_(std::move(name)) {}
  void add(std::string_view field, bool decimal_comma);
  void end_file() { before_.reset(); }
  // At most `most` values; none where there is nothing to tell apart, or words of more than 256 kinds.
  std::optional<Channel> finish(size_t most);

 private:
  static constexpr size_t kSample = 200000, kWords = 256;
  std::string name_;
  int64_t numbers_ = 0, words_seen_ = 0, times_ = 0;
  std::vector<double> sample_, steps_;  // every stride_-th number, difference
  int64_t stride_ = 1;
  std::optional<double> before_, first_;
  bool rises_ = true, moves_ = false;
  int decimals_ = 0;
  std::vector<std::pair<std::string, int64_t>> words_;  // up to kWords + 1 of them, sorted
};

// A field that is no number as a channel keeps it: UTF-8, at most 200 bytes of it.
std::string channel_word(std::string_view field);

// Seconds since 1970 of "2024-05-01 12:30:00", "2024-05-01T12:30:00.5Z" and the like; nothing where it is none.
std::optional<double> clock_time(std::string_view field);

}  // namespace tw
