#include "src/data/blend.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr int64_t kLongest = int64_t(1) << 20;  // period
constexpr int64_t kBlock = 256;
constexpr size_t kMostFiles = 1000;
constexpr double kExact = 1e-9;  // of a sample in a period: decimal fractions are that near

// Weights as whole parts of the period.
void divide(const std::vector<double>& weights, Blend::Stage& stage) {
  double sum = 0;
  for (const double w : weights) {
    TW_CHECK(std::isfinite(w) && w >= 0, config, "data.blend: the weight {} is not a number from 0 on", w);
    sum += w;
  }
  TW_CHECK(sum > 0 && std::isfinite(sum), config, "data.blend: the weights of a stage add up to {}", sum);
  const auto exact = [&](int64_t period) {
    for (const double w : weights) {
      const double part = w / sum * double(period), whole = std::round(part);
      if (std::fabs(part - whole) > kExact || (w > 0 && whole == 0)) return false;
    }
    return true;
  };
  stage.period = 1;
  while (stage.period < kLongest && !exact(stage.period)) ++stage.period;
  int64_t given = 0;
  for (const double w : weights) {
    stage.parts.push_back(w > 0 ? std::max<int64_t>(1, std::llround(w / sum * double(stage.period))) : 0);
    given += stage.parts.back();
  }
  *std::max_element(stage.parts.begin(), stage.parts.end()) += stage.period - given;
}

// Tijdeman, section 2, for the n files that have a weight; owed and period times 2n - 2, so that all is whole.
void deal(Blend::Stage& stage) {
  const size_t files = stage.parts.size();
  const int64_t n = std::count_if(stage.parts.begin(), stage.parts.end(), [](int64_t part) { return part > 0; });
  const int64_t unit = std::max<int64_t>(1, 2 * n - 2);
  const int64_t period = stage.period;
  std::vector<int64_t> owed(files);  // to each file, in parts of a sample
  std::vector<int32_t> count(files);
  stage.file_of.resize(size_t(period));
  for (int64_t i = 0; i < period; ++i) {
    if (i % kBlock == 0) stage.counted.insert(stage.counted.end(), count.begin(), count.end());
    size_t best = files;
    int64_t least = 0;
    for (size_t f = 0; f < files; ++f) {
      owed[f] += stage.parts[f];
      if (unit * owed[f] < period) continue;  // may not have one yet
      // It must have its next sample `left` / (unit parts) positions from here: the most urgent one gets it.
      const int64_t left = (unit - 1) * period - unit * owed[f];
      if (best == files || left * stage.parts[best] < least * stage.parts[f]) best = f, least = left;
    }
    owed[best] -= period;
    ++count[best];
    stage.file_of[size_t(i)] = uint16_t(best);
  }
}

}  // namespace

Blend::Blend(const std::vector<BlendStage>& stages, size_t files) : files_(files) {
  TW_CHECK(!stages.empty() && stages.front().first_sample == 0, config,
           "data.blend: the first stage must begin with the run");
  TW_CHECK(files <= kMostFiles, config, "data.blend: {} files are more than {}", files, kMostFiles);
  for (const BlendStage& s : stages) {
    TW_CHECK(s.weights.size() == files, config, "data.blend: a stage has {} weights for the {} files of data.train",
             s.weights.size(), files);
    TW_CHECK(stages_.empty() || s.first_sample > stages_.back().first, config,
             "data.blend: a stage begins with sample {}, not behind the one before it, which begins with {}",
             s.first_sample, stages_.empty() ? 0 : stages_.back().first);
    std::vector<int64_t> before = stages_.empty() ? std::vector<int64_t>(files) : drawn(s.first_sample);
    Stage stage;
    stage.first = s.first_sample;
    stage.before = std::move(before);
    divide(s.weights, stage);
    deal(stage);
    stages_.push_back(std::move(stage));
  }
}

const Blend::Stage& Blend::stage_of(int64_t sample) const {
  const auto next =
      std::upper_bound(stages_.begin(), stages_.end(), sample, [](int64_t s, const Stage& x) { return s < x.first; });
  return *(next - 1);
}

int64_t Blend::drawn(const Stage& s, int64_t sample, size_t file) const {
  const int64_t passed = sample - s.first, at = passed % s.period, block = at / kBlock;
  return s.before[file] + passed / s.period * s.parts[file] + s.counted[size_t(block) * files_ + file] +
         std::count(s.file_of.begin() + block * kBlock, s.file_of.begin() + at, uint16_t(file));
}

Blend::Draw Blend::at(int64_t sample) const {
  TW_CHECK(sample >= 0, bug, "sample {} asked for", sample);
  const Stage& s = stage_of(sample);
  const size_t file = s.file_of[size_t((sample - s.first) % s.period)];
  return {int(file), drawn(s, sample, file)};
}

std::vector<int64_t> Blend::drawn(int64_t samples) const {
  // Counted in the stage of the sample before: the next one may not be made yet.
  const Stage& s = stage_of(std::max<int64_t>(0, samples - 1));
  std::vector<int64_t> all;
  for (size_t f = 0; f < files_; ++f) all.push_back(drawn(s, samples, f));
  return all;
}

bool Blend::uses(size_t file) const {
  return std::any_of(stages_.begin(), stages_.end(), [&](const Stage& s) { return s.parts[file] > 0; });
}

BlendEntry parse_blend_entry(const std::string& text) {
  const auto refuse = [&] [[noreturn]] (const char* why) {
    TW_FAIL(
        config,
        "data.blend: \"{}\" {}: weights of the files, for example \"0.7 0.3\", or with the step or share of the run "
        "they begin at, \"1000: 0.2 0.8\" or \"75%: 0.2 0.8\"",
        text, why);
  };
  BlendEntry entry;
  std::string_view rest = text;
  const auto number = [&](double& value) {
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
    if (error != std::errc() || !std::isfinite(value) || value < 0) refuse("is no list of numbers from 0 on");
    rest.remove_prefix(size_t(end - rest.data()));
    if (!rest.empty() && std::string_view(" \t,:%").find(rest.front()) == rest.npos)
      refuse("is no list of numbers from 0 on");
  };
  const auto skip = [&] {
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == '\t' || rest.front() == ',')) rest.remove_prefix(1);
  };
  if (const size_t colon = rest.find(':'); colon != rest.npos) {
    skip();
    number(entry.start);
    skip();
    if (rest.starts_with('%')) {
      entry.share = true;
      entry.start /= 100;
      if (entry.start > 1) refuse("begins behind the end of the run");
      rest.remove_prefix(1);
    } else if (entry.start != std::floor(entry.start) || entry.start > 1e15) {
      refuse("begins at no whole step");
    }
    skip();
    if (!rest.starts_with(':')) refuse("has no step or share before the colon");
    rest.remove_prefix(1);
  }
  for (skip(); !rest.empty(); skip()) number(entry.weights.emplace_back());
  if (entry.weights.empty()) refuse("has no weights");
  return entry;
}

}  // namespace tw
