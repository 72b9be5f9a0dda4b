#include "src/generate/forecast.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr int64_t kLeastHistory = 20;  // steps
constexpr int64_t kLongestSeason = 200;
constexpr double kSeasonal = 0.3;      // autocorrelation from which on there is a season
constexpr int64_t kSpare = 4;          // times the tokens its steps have on average a continuation may have

struct Series {
  std::vector<int32_t> ids;    // of the codec
  std::vector<size_t> steps;   // where each ends in ids
};

std::vector<Series> series_in(const TokenFile& file, const CodecRange& range, int32_t step) {
  std::vector<Series> all;
  for (const Document& d : file.documents()) {
    bool open = false;
    for (int64_t i = d.first_token; d.bytes == 0 && i < d.first_token + d.tokens; ++i) {
      const int32_t id = file[i];
      if (id == range.begin) all.emplace_back(), open = true;
      else if (id == range.end) open = false;
      else if (open && range.holds(id)) {
        all.back().ids.push_back(id - range.first);
        if (id - range.first == step) all.back().steps.push_back(all.back().ids.size());
      }
    }
  }
  return all;
}

int64_t season_of(std::span<const double> x) {
  const auto n = int64_t(x.size());
  double mean = 0, variance = 0;
  for (const double v : x) mean += v / double(n);
  for (const double v : x) variance += (v - mean) * (v - mean);
  int64_t best = 1;
  double most = kSeasonal;
  bool fell = false;  // what is near is like itself: a season shows behind the first dip
  for (int64_t lag = 2; lag <= std::min(kLongestSeason, n / 2) && variance > 0; ++lag) {
    double sum = 0;
    for (int64_t i = lag; i < n; ++i) sum += (x[size_t(i)] - mean) * (x[size_t(i - lag)] - mean);
    const double r = sum / variance;
    fell = fell || r < kSeasonal;
    if (fell && r > most) most = r, best = lag;
  }
  return best;
}

double quantile(std::vector<double>& sorted, double q) {
  const double at = q * double(sorted.size() - 1);
  const auto low = size_t(at);
  return sorted[low] + (at - double(low)) * (sorted[std::min(low + 1, sorted.size() - 1)] - sorted[low]);
}

struct Sums {
  double model = 0, last = 0, seasonal = 0, scale = 0;
  int64_t inside = 0, values = 0;
};

void score(const Track& real, int64_t cut, int64_t horizon, const std::vector<std::vector<double>>& made, Sums& sums) {
  std::vector<double> history;
  for (int64_t i = 0; i < cut; ++i)
    if (std::isfinite(real.values[size_t(i)])) history.push_back(real.values[size_t(i)]);
  if (int64_t(history.size()) < kLeastHistory) return;
  double scale = 0;
  for (size_t i = 1; i < history.size(); ++i) scale += std::abs(history[i] - history[i - 1]) / double(history.size() - 1);
  if (!(scale > 0)) return;
  const int64_t season = season_of(history);
  for (int64_t h = 0; h < horizon; ++h) {
    const double actual = real.values[size_t(cut + h)];
    std::vector<double> values = made[size_t(h)];
    if (!std::isfinite(actual) || values.empty()) continue;
    std::sort(values.begin(), values.end());
    sums.model += std::abs(quantile(values, 0.5) - actual);
    sums.last += std::abs(history.back() - actual);
    sums.seasonal += std::abs(history[history.size() - size_t(season) + size_t(h % season)] - actual);
    sums.scale += scale;
    sums.inside += actual >= quantile(values, 0.1) && actual <= quantile(values, 0.9);
    ++sums.values;
  }
}

}  // namespace

ForecastScore ForecastResult::mean() const {
  ForecastScore all{.track = "all"};
  for (const ForecastScore& t : tracks) {
    const double share = 1 / double(tracks.size());
    all.mase += share * t.mase, all.last_value += share * t.last_value, all.seasonal += share * t.seasonal, all.coverage += share * t.coverage;
    all.values += t.values;
  }
  return all;
}

ForecastResult test_forecasts(Generator& generator, const Codec& codec, const CodecRange& range, const TokenFile& file, const ForecastOptions& o) {
  TW_CHECK(codec.step_id() >= 0 && o.horizon >= 1 && o.samples >= 1, bug, "forecasts of {} over {} steps by {} samples", codec.name(), o.horizon, o.samples);
  const std::vector<Series> all = series_in(file, range, codec.step_id());
  // Where forecasts may begin: step number, counted through all documents.
  int64_t places = 0;
  for (const Series& s : all) places += std::max<int64_t>(0, int64_t(s.steps.size()) - kLeastHistory - o.horizon + 1);
  ForecastResult result;
  std::map<std::string, Sums> sums;
  int64_t sample = 0;
  for (int64_t w = 0; w < std::min(o.windows, places); ++w) {
    int64_t place = places * w / std::min(o.windows, places);
    const Series* series = all.data();
    for (;; ++series) {
      const int64_t here = std::max<int64_t>(0, int64_t(series->steps.size()) - kLeastHistory - o.horizon + 1);
      if (place < here) break;
      place -= here;
    }
    const int64_t cut = place + kLeastHistory;  // steps before the forecast
    const std::span history = std::span(series->ids).first(series->steps[size_t(cut - 1)]);
    const int64_t a_step = std::max<int64_t>(1, int64_t(series->ids.size() / series->steps.size()));
    GenerateOptions options{.sampling = o.sampling, .max_new_tokens = kSpare * o.horizon * a_step + 16, .stop_id = range.first + codec.step_id(), .stops = o.horizon,
                            .first_id = range.first, .end_id = range.last() + 1};
    // As much of what came before as leaves room for what comes.
    const int64_t room = std::max(o.context / 2, o.context - 2 * o.horizon * a_step);
    std::vector<int32_t> prompt;
    if (int64_t(history.size()) < room) prompt.push_back(range.begin);
    for (const int32_t id : history.subspan(history.size() - std::min(history.size(), size_t(std::max<int64_t>(1, room))))) prompt.push_back(range.first + id);
    const std::vector<Track> real = codec.tracks(series->ids);
    std::vector<std::vector<std::vector<double>>> made(real.size(), std::vector<std::vector<double>>(size_t(o.horizon)));  // (track, step): values
    for (int64_t s = 0; s < o.samples; ++s) {
      const Generation g = generator.run(prompt, options, sample++, {});
      result.tokens += int64_t(g.ids.size());
      std::vector<int32_t> ids(history.begin(), history.end());
      for (const int32_t id : g.ids) ids.push_back(id - range.first);
      if (g.stopped) ids.push_back(codec.step_id());
      const std::vector<Track> tracks = codec.tracks(ids);
      for (size_t t = 0; t < std::min(tracks.size(), real.size()); ++t)
        for (int64_t h = 0; h < o.horizon; ++h) {  // what is said no more stays as it was
          const auto& values = tracks[t].values;
          if (const double v = values[std::min(size_t(cut + h), values.size() - 1)]; std::isfinite(v)) made[t][size_t(h)].push_back(v);
        }
    }
    for (size_t t = 0; t < real.size(); ++t) score(real[t], cut, o.horizon, made[t], sums[real[t].name]);
    ++result.windows;
  }
  for (const auto& [name, s] : sums)
    if (s.scale > 0)
      result.tracks.push_back({name, s.model / s.scale, s.last / s.scale, s.seasonal / s.scale, double(s.inside) / double(s.values), s.values});
  return result;
}

}  // namespace tw
