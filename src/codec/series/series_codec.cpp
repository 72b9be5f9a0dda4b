#include "src/codec/series/series_codec.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "src/codec/codebook.h"
#include "src/codec/series/channel.h"
#include "src/codec/series/csv_rows.h"
#include "src/codec/series/tables.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr const char* kFormatName = "tokenwerk series codec 2";
constexpr size_t kMostValues = 256;
constexpr size_t kMostChannels = 16384;
constexpr int64_t kNamed = 3;             // columns left out that are named
constexpr size_t kBlock = size_t(1) << 14;
constexpr size_t kLongestNumber = 320;    // letters of a number that is spelled out
constexpr int32_t kRowEnd = 0, kSigns = 1, kChannels = 13;  // kSigns + i: letter i of kSpelling
constexpr std::string_view kSpelling = "0123456789-.";
// A channel's ids, from its first one on: these, its values, then its steps down and up.
constexpr int32_t kDeclares = 0, kMissing = 1, kSpelled = 2, kValues = 3;

class SeriesCodec final : public Codec {
 public:
  // opening: the channels a table usually has, in order.
  SeriesCodec(std::vector<Channel> channels, std::vector<int64_t> opening) : channels_(std::move(channels)), opening_(std::move(opening)) {
    Sha256 sum;
    sum.update(to_json().dump());
    hash_ = sum.hex();
    int32_t next = kChannels;
    for (size_t c = 0; c < channels_.size(); ++c) {
      const bool fresh = by_name_.emplace(channels_[c].name, c).second;
      TW_CHECK(fresh, data, "the channel \"{}\" is there twice", channels_[c].name);
      first_.push_back(next);
      next += kValues + channels_[c].size() + 2 * channels_[c].steps();
    }
    first_.push_back(next);
  }
  std::string_view name() const override { return kSeriesCodec.name; }
  int32_t vocab_size() const override { return first_.back(); }
  std::string hash() const override { return hash_; }
  void encode(const CodecInput& file, CodecSink& sink) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  std::vector<int32_t> opening() const override {
    std::vector<int32_t> ids;
    for (const int64_t c : opening_) ids.push_back(first_[size_t(c)] + kDeclares);
    return ids;
  }
  int32_t step_id() const override { return kRowEnd; }
  std::vector<Track> tracks(std::span<const int32_t> ids) const override;
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const override;
  void save(const std::filesystem::path& path) const override { write_file_atomically(path, to_json().dump(1) + "\n"); }

  // Value of a channel in a row: its place among the channel's values, or one of these.
  static constexpr int32_t kNothing = -1, kBeyond = -2;
  struct Cell {
    int32_t value = kNothing;
    double time = 0;    // of clocks: what it stands for
    double number = 0;  // of kBeyond
    bool operator==(const Cell& o) const { return value == o.value && (value != kBeyond || number == o.number); }
  };
  Cell cell_of(const Channel& channel, std::string_view field, bool decimal_comma, const Cell& before, bool begun, int64_t& unknown) const;

 private:
  // A channel's id for a cell behind another one.
  static int32_t id_of(const Channel& c, const Cell& before, const Cell& cell) {
    if (cell.value == kNothing) return kMissing;
    const int32_t most = c.steps();
    const double step = cell.value >= 0 && before.value >= 0                        ? cell.value - before.value
                        : cell.value == kBeyond && before.value == kBeyond && most > 0 ? std::round((cell.number - before.number) / c.spacing())
                                                                                       : 0;
    const bool exact = cell.value >= 0 || cell.number == before.number + step * c.spacing();
    if (step != 0 && std::abs(step) <= most && exact) return kValues + c.size() + int32_t(step < 0 ? most + step : most + step - 1);
    return cell.value == kBeyond ? kSpelled : kValues + cell.value;
  }
  // The other way, of what stands behind kValues: a value, or a step from what there was.
  static void move(const Channel& c, int32_t id, Cell& cell) {
    if (id < c.size()) {
      cell.value = id;
      return;
    }
    const int32_t place = id - c.size() - c.steps(), step = place < 0 ? place : place + 1;
    if (cell.value == kBeyond) cell.number += step * c.spacing();
    else cell.value = std::clamp((cell.value < 0 ? c.size() / 2 : cell.value) + step, 0, c.size() - 1);
  }
  void for_rows(std::span<const int32_t> ids, const std::function<void(const std::vector<size_t>& columns, std::vector<Cell>& cells)>& row) const;
  nlohmann::json to_json() const {
    nlohmann::json list = nlohmann::json::array();
    for (const Channel& c : channels_) {
      nlohmann::json one = {{"name", c.name}, {"kind", c.kind == Channel::Kind::word ? "word" : c.kind == Channel::Kind::clock ? "clock" : "number"}};
      if (c.kind == Channel::Kind::word) one["words"] = c.words;
      else one["values"] = c.values, one["decimals"] = c.decimals;
      if (c.kind == Channel::Kind::clock) one["begin"] = c.begin;
      list.push_back(std::move(one));
    }
    return {{"format", kFormatName}, {"channels", list}, {"opening", opening_}};
  }
  std::vector<Channel> channels_;
  std::vector<int64_t> opening_;
  std::vector<int32_t> first_;  // ids, and the end
  std::map<std::string, size_t, std::less<>> by_name_;
  std::string hash_;
};

SeriesCodec::Cell SeriesCodec::cell_of(const Channel& channel, std::string_view field, bool decimal_comma, const Cell& before, bool begun, int64_t& unknown) const {
  Cell cell{.value = kNothing, .time = before.time};
  if (csv_missing(field)) return cell;
  if (channel.kind == Channel::Kind::word) {
    cell.value = channel.find(channel_word(field));
    unknown += cell.value < 0;
    return cell;
  }
  double value = 0;
  const bool number = csv_number(field, decimal_comma, value) && std::abs(value) <= 1e300;
  if (!number) {
    const auto time = channel.kind == Channel::Kind::clock ? clock_time(field) : std::nullopt;
    if (!time) return ++unknown, cell;
    value = *time;
  }
  if (channel.kind == Channel::Kind::number) {
    cell.value = channel.beyond(value) ? kBeyond : channel.nearest(value);
    cell.number = value;
    // Out there it goes on in steps as well, from the number the decoder has.
    if (cell.value == kBeyond && before.value == kBeyond && channel.steps() > 0) {
      const double steps = std::round((value - before.number) / channel.spacing());
      if (std::abs(steps) <= channel.steps()) cell.number = before.number + steps * channel.spacing();
    }
  } else {
    // From the time the decoder has, so that errors do not add up. The first row has no row before it.
    cell.value = begun ? channel.nearest(value - before.time) : channel.nearest(0);
    cell.time = begun ? before.time + channel.values[size_t(cell.value)] : value;
  }
  return cell;
}

// A document for each table of the file.
void SeriesCodec::encode(const CodecInput& file, CodecSink& sink) const {
  std::vector<int64_t> channel_of;  // by column, -1 = not known
  std::vector<int32_t> ids;
  std::vector<Cell> now;
  std::vector<bool> begun;
  std::string unknown_columns;
  int64_t unknown_count = 0, unknown = 0, documents = 0;
  bool decimal_comma = false, known = false;
  const auto begin = [&](const TableHead& head) {
    decimal_comma = head.decimal_comma;
    channel_of.clear();
    for (const std::string& name : head.names) {
      const auto found = by_name_.find(name);
      channel_of.push_back(found == by_name_.end() ? -1 : int64_t(found->second));
      if (found == by_name_.end() && ++unknown_count <= kNamed) unknown_columns += (unknown_columns.empty() ? "" : ", ") + name;
    }
    known = std::any_of(channel_of.begin(), channel_of.end(), [](int64_t c) { return c >= 0; });
    if (!known) return;
    if (documents++ > 0) {
      sink.ids(ids), ids.clear();
      sink.end_document();
    }
    for (const int64_t c : channel_of)
      if (c >= 0) ids.push_back(first_[size_t(c)] + kDeclares);
    now.assign(head.names.size(), {}), begun.assign(head.names.size(), false);
  };
  const auto row = [&](const std::vector<std::string_view>& fields) {
    if (!known) return;
    for (size_t c = 0; c < fields.size(); ++c) {
      if (channel_of[c] < 0) continue;
      const auto channel = size_t(channel_of[c]);
      const Cell cell = cell_of(channels_[channel], fields[c], decimal_comma, now[c], begun[c], unknown);
      const bool said = cell == now[c] && (begun[c] || cell.value == kNothing);
      if (cell.value != kNothing) begun[c] = true;
      if (!said) {
        const int32_t id = id_of(channels_[channel], now[c], cell);
        ids.push_back(first_[channel] + id);
        if (id == kSpelled)
          for (const char letter : channels_[channel].written(cell.number)) ids.push_back(kSigns + int32_t(kSpelling.find(letter)));
      }
      now[c] = cell;
    }
    ids.push_back(kRowEnd);
    if (ids.size() >= kBlock) sink.ids(ids), ids.clear();
  };
  const TablesRead read = read_tables(file, begin, row);
  TW_CHECK(read.no_data.empty(), data, "{}, and no measurements", read.no_data);
  const std::string more = unknown_count > kNamed ? ", …" : "";
  TW_CHECK(documents > 0, data, "none of its columns is known to the codebook: {}{}", unknown_columns, more);
  if (!ids.empty()) sink.ids(ids);
  if (!read.note.empty()) sink.note(read.note);
  if (unknown_count) sink.note(fmt::format("{} columns are not in the codebook: {}{}", unknown_count, unknown_columns, more));
  if (unknown) sink.note(fmt::format("{} fields are taken as missing: no numbers, beyond 1e300, or words that are not in the codebook", unknown));
}

// Calls row(columns, cells) at the end of each row; columns are channels, in the order of the table.
void SeriesCodec::for_rows(std::span<const int32_t> ids, const std::function<void(const std::vector<size_t>&, std::vector<Cell>&)>& row) const {
  std::vector<size_t> columns;
  std::vector<int64_t> column_of(channels_.size(), -1);
  std::vector<Cell> now;
  bool rows = false;
  Cell* open = nullptr;  // whose number is being spelled
  std::string spelled;
  const auto close = [&] {
    if (open && !csv_number(spelled, false, open->number)) open->value = kNothing;
    open = nullptr, spelled.clear();
  };
  for (const int32_t id : ids) {
    TW_CHECK(id >= 0 && id < vocab_size(), data, "id {} is not in [0, {}), those of the series codec", id, vocab_size());
    if (id >= kSigns && id < kChannels) {
      if (open && spelled.size() < kLongestNumber) spelled += kSpelling[size_t(id - kSigns)];
      continue;
    }
    close();
    if (id == kRowEnd) {
      if (columns.empty()) continue;
      rows = true;
      row(columns, now);
      continue;
    }
    const auto channel = size_t(std::upper_bound(first_.begin(), first_.end(), id) - first_.begin()) - 1;
    const int32_t what = id - first_[channel];
    if (what == kDeclares) {
      // Behind the first row a table gets no more columns.
      if (rows || column_of[channel] >= 0) continue;
      column_of[channel] = int64_t(columns.size());
      columns.push_back(channel), now.emplace_back();
    } else if (column_of[channel] >= 0) {
      Cell& cell = now[size_t(column_of[channel])];
      if (what < kValues) cell.value = what == kMissing ? kNothing : kBeyond;
      else move(channels_[channel], what - kValues, cell);
      if (what == kSpelled && channels_[channel].kind == Channel::Kind::number) open = &cell;
      else if (what == kSpelled) cell.value = kNothing;
    }
  }
}

std::string SeriesCodec::decode(std::span<const int32_t> ids) const {
  std::string out;
  std::vector<bool> begun;
  const auto quoted = [](const std::string& text) {
    if (text.find_first_of(",\"\n\r") == text.npos) return text;
    std::string q = "\"";
    for (const char c : text) q += c == '"' ? std::string("\"\"") : std::string(1, c);
    return q + "\"";
  };
  for_rows(ids, [&](const std::vector<size_t>& columns, std::vector<Cell>& now) {
    if (begun.empty())
      for (size_t c = 0; c < columns.size(); ++c) out += (c ? "," : "") + quoted(channels_[columns[c]].name) + (c + 1 == columns.size() ? "\n" : "");
    begun.resize(columns.size());
    for (size_t c = 0; c < columns.size(); ++c) {
      const Channel& channel = channels_[columns[c]];
      Cell& cell = now[c];
      if (c) out += ',';
      if (cell.value >= 0 && channel.kind == Channel::Kind::word) out += quoted(channel.words[size_t(cell.value)]);
      if (cell.value >= 0 && channel.kind == Channel::Kind::number) out += channel.written(channel.values[size_t(cell.value)]);
      if (cell.value == kBeyond) out += channel.written(cell.number);
      if (cell.value >= 0 && channel.kind == Channel::Kind::clock) {
        cell.time = begun[c] ? cell.time + channel.values[size_t(cell.value)] : channel.begin;
        begun[c] = true;
        out += channel.written(cell.time);
      }
    }
    out += '\n';
  });
  return out;
}

std::vector<Track> SeriesCodec::tracks(std::span<const int32_t> ids) const {
  std::vector<Track> tracks;
  std::vector<size_t> track_of;  // by column
  constexpr size_t kNone = size_t(-1);
  for_rows(ids, [&](const std::vector<size_t>& columns, std::vector<Cell>& now) {
    if (track_of.empty())
      for (const size_t channel : columns) {
        const bool number = channels_[channel].kind == Channel::Kind::number;
        track_of.push_back(number ? tracks.size() : kNone);
        if (number) tracks.push_back({channels_[channel].name, {}});
      }
    for (size_t c = 0; c < columns.size(); ++c)
      if (track_of[c] != kNone) {
        const Cell& cell = now[c];
        tracks[track_of[c]].values.push_back(cell.value == kBeyond ? cell.number : cell.value >= 0 ? channels_[columns[c]].values[size_t(cell.value)] : NAN);
      }
  });
  return tracks;
}

std::vector<CodecQuality> SeriesCodec::quality(std::span<const std::filesystem::path> files) const {
  // Mean over channels of the root of the mean square error over the standard deviation; beside as many equal steps from the least to
  // the largest value of the codebook.
  struct Sums {
    double n = 0, sum = 0, squares = 0, error = 0, baseline = 0;
  };
  std::vector<Sums> sums(channels_.size());
  bool lossless = true;
  for (const auto& path : files) {
    const MappedFile map(path);
    TableHead table;
    read_tables({map.text(), path}, [&](const TableHead& head) { table = head; }, [&](const std::vector<std::string_view>& fields) {
      for (size_t c = 0; c < fields.size(); ++c) {
        const auto known = by_name_.find(table.names[c]);
        double v = 0;
        if (known == by_name_.end() || channels_[known->second].kind != Channel::Kind::number || !csv_number(fields[c], table.decimal_comma, v) || std::abs(v) > 1e300) continue;
        const Channel& channel = channels_[known->second];
        Sums& s = sums[known->second];
        const double made = channel.beyond(v) ? v : channel.values[size_t(channel.nearest(v))], low = channel.values.front(), high = channel.values.back();
        const double step = channel.values.size() > 1 ? (high - low) / double(channel.values.size() - 1) : 0;
        const double uniform = step > 0 ? low + std::clamp(std::round((v - low) / step), 0.0, double(channel.values.size() - 1)) * step : low;
        ++s.n, s.sum += v, s.squares += v * v, s.error += (v - made) * (v - made), s.baseline += (v - uniform) * (v - uniform);
        lossless = lossless && v == made;
      }
    });
  }
  double error = 0, baseline = 0;
  int channels = 0;
  for (const Sums& s : sums) {
    const double variance = s.n > 0 ? s.squares / s.n - s.sum / s.n * (s.sum / s.n) : 0;
    if (!(variance > 1e-12 * std::max(1.0, s.squares / std::max(s.n, 1.0)))) continue;
    error += std::sqrt(s.error / s.n / variance), baseline += std::sqrt(s.baseline / s.n / variance);
    ++channels;
  }
  const double n = std::max(channels, 1);
  return {{"error of a value, root mean square over the channel's deviation, smaller is better", error / n, "as many equal steps", baseline / n, lossless}};
}

CodecContent inspect_series(const CodecInput& file) {
  int64_t numbers = 0;
  bool decimal_comma = false;
  double v = 0;
  const TablesRead read = read_tables(file, [&](const TableHead& head) { decimal_comma = head.decimal_comma; },
                                      [&](const std::vector<std::string_view>& fields) {
                                        for (const std::string_view f : fields) numbers += csv_number(f, decimal_comma, v);
                                      });
  if (!read.no_data.empty()) return {.no_data = read.no_data};
  TW_CHECK(numbers > 0, data, "no number inside");
  return {.units = numbers,
          .said = read.tables == 1 ? fmt::format("{} rows of {} columns", read.rows, read.columns)
                                   : fmt::format("{} tables of {} rows in all, of {} columns at most", read.tables, read.rows, read.columns),
          .note = read.note};
}

// A table of which at least half of the fields are numbers, in three rows or more; of HDF5 what it holds is told by inspect_series.
bool recognises_series(std::string_view name, std::string_view head) {
  if (is_hdf5_name(name)) return true;
  try {
    int64_t numbers = 0, given = 0;
    bool decimal_comma = false;
    double v = 0;
    const TablesRead read = read_tables(head.substr(0, std::min(head.size(), head.rfind('\n') == head.npos ? head.size() : head.rfind('\n') + 1)),
                                        [&](const TableHead& table) { decimal_comma = table.decimal_comma; },
                                        [&](const std::vector<std::string_view>& fields) {
                                          for (const std::string_view f : fields)
                                            if (!csv_missing(f)) ++given, numbers += csv_number(f, decimal_comma, v) || clock_time(f);
                                        });
    return read.rows >= 3 && given > 0 && 2 * numbers >= given;
  } catch (const Error&) {
    return false;
  }
}

std::unique_ptr<Codec> train_series(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  std::map<std::string, size_t, std::less<>> index;
  std::vector<ChannelCount> counts;
  std::map<std::vector<size_t>, int64_t> headers;  // columns of tables, and how many tables have them
  for (const auto& path : files) {
    const MappedFile map(path);
    std::vector<size_t> columns;
    bool decimal_comma = false;
    const auto end = [&] {
      for (ChannelCount& c : counts) c.end_file();
    };
    read_tables(
        {map.text(), path},
        [&](const TableHead& head) {
          end();
          decimal_comma = head.decimal_comma;
          columns.clear();
          for (const std::string& name : head.names) {
            const auto [known, fresh] = index.emplace(name, counts.size());
            if (fresh) counts.emplace_back(name);
            columns.push_back(known->second);
          }
          ++headers[columns];
          TW_CHECK(counts.size() <= kMostChannels, data, "{}: more than {} different columns in all files", path.string(), kMostChannels);
        },
        [&](const std::vector<std::string_view>& fields) {
          for (size_t c = 0; c < fields.size(); ++c) counts[columns[c]].add(fields[c], decimal_comma);
        });
    end();
  }
  const auto room = int64_t(options.vocab_size) - kChannels - int64_t(kValues) * int64_t(counts.size());
  const int64_t share = room / std::max<int64_t>(1, int64_t(counts.size()));
  const size_t most = size_t(std::clamp<int64_t>(share > kManyValues + 2 * kSteps ? share - 2 * kSteps : std::min<int64_t>(share, kManyValues), 2, kMostValues));
  std::vector<Channel> channels;
  std::vector<int64_t> channel_of(counts.size(), -1);
  for (size_t c = 0; c < counts.size(); ++c)
    if (auto channel = counts[c].finish(most)) channel_of[c] = int64_t(channels.size()), channels.push_back(std::move(*channel));
  TW_CHECK(!channels.empty(), data, "there is no column of numbers to make the series codec of");
  const auto usual = std::max_element(headers.begin(), headers.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::vector<int64_t> opening;
  for (const size_t column : usual->first)
    if (channel_of[column] >= 0) opening.push_back(channel_of[column]);
  return std::make_unique<SeriesCodec>(std::move(channels), std::move(opening));
}

std::unique_ptr<Codec> load_series(const std::filesystem::path& path) {
  const auto json = read_codebook(path, {kFormatName}, "series", size_t(64) << 20, 1 << 23);
  const std::string file = path.string();
  TW_CHECK(json.contains("channels") && json["channels"].is_array(), data, "{}: its channels are missing", file);
  const auto& list = json["channels"];
  TW_CHECK(!list.empty() && list.size() <= kMostChannels, data, "{}: {} channels", file, list.size());
  std::vector<Channel> channels;
  for (const auto& one : list) {
    const auto wrong = [&](const char* what) { TW_FAIL(data, "{}: channel {}: {}", file, channels.size(), what); };
    if (!one.is_object() || !one.value("name", nlohmann::json()).is_string() || !one.value("kind", nlohmann::json()).is_string()) wrong("no name or kind");
    Channel c;
    c.name = one["name"];
    const std::string kind = one["kind"];
    if (kind != "number" && kind != "clock" && kind != "word") wrong("its kind is not known");
    c.kind = kind == "word" ? Channel::Kind::word : kind == "clock" ? Channel::Kind::clock : Channel::Kind::number;
    const nlohmann::json values = one.value(c.kind == Channel::Kind::word ? "words" : "values", nlohmann::json());
    if (!values.is_array() || values.empty() || values.size() > kMostValues) wrong("no values, or more than 256");
    for (const auto& v : values) {
      if (c.kind == Channel::Kind::word) {
        if (!v.is_string() || (!c.words.empty() && !(c.words.back() < v.get_ref<const std::string&>()))) wrong("its words do not rise");
        c.words.push_back(v);
      } else {
        if (!v.is_number() || !(std::abs(v.get<double>()) <= 1e301) || (!c.values.empty() && !(c.values.back() < v.get<double>()))) wrong("its values do not rise");
        c.values.push_back(v);
      }
    }
    if (c.kind != Channel::Kind::word) {
      const auto decimals = one.value("decimals", nlohmann::json());
      if (!decimals.is_number_integer() || decimals.get<int64_t>() < -1 || decimals.get<int64_t>() > 9) wrong("its decimals");
      c.decimals = decimals.get<int>();
    }
    if (c.kind == Channel::Kind::clock) {
      const auto begin = one.value("begin", nlohmann::json());
      if (!begin.is_number() || !(std::abs(begin.get<double>()) <= 1e300)) wrong("its begin");
      c.begin = begin;
    }
    channels.push_back(std::move(c));
  }
  std::vector<int64_t> opening;
  const nlohmann::json columns = json.value("opening", nlohmann::json::array());
  TW_CHECK(columns.is_array() && columns.size() <= kMostColumns, data, "{}: its opening is no list of columns", file);
  for (const auto& c : columns) {
    TW_CHECK(c.is_number_integer() && c.get<int64_t>() >= 0 && c.get<int64_t>() < int64_t(channels.size()), data, "{}: its opening names channel {}", file, c.dump());
    opening.push_back(c);
  }
  return std::make_unique<SeriesCodec>(std::move(channels), std::move(opening));
}

constexpr std::string_view kEndings[] = {".csv", ".tsv", ".h5", ".hdf5"};

}  // namespace

const CodecKind kSeriesCodec = {.name = "series", .endings = kEndings, .artefact = "csv", .codebook = "series.json", .recognises = recognises_series,
                                .inspect = inspect_series, .train = train_series, .load = load_series};

}  // namespace tw
