#include "src/codec/image/picture_judge.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "src/codec/image/picture.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/sandbox.h"

namespace tw {
namespace {

constexpr int kSide = 16, kReadSide = 64, kBins = 20;
constexpr size_t kMostTraining = 10000, kMostHeldOut = 500;
constexpr size_t kMostCaptions = 1000;

using Small = std::array<float, size_t(kSide* kSide * 3)>;

// The whole picture over kSide x kSide, whatever its shape.
Small small_of(const Picture& p) {
  Small s;
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const int x0 = x * p.width / kSide, y0 = y * p.height / kSide;
      const int x1 = std::max(x0 + 1, (x + 1) * p.width / kSide), y1 = std::max(y0 + 1, (y + 1) * p.height / kSide);
      for (int c = 0; c < 3; ++c) {
        float sum = 0;
        for (int j = y0; j < y1; ++j)
          for (int i = x0; i < x1; ++i) sum += float(p.at(i, j, c));
        s[size_t((y * kSide + x) * 3 + c)] = sum / float((x1 - x0) * (y1 - y0)) / 255;
      }
    }
  return s;
}

double distance(const Small& a, const Small& b) {
  float sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return double(sum);
}

struct Shown {
  Small pixels;
  std::string caption;
  double brightness() const { return double(std::accumulate(pixels.begin(), pixels.end(), 0.0f)) / double(pixels.size()); }
};

struct Near {
  size_t index = 0;
  double distance = INFINITY;  // root mean square
};

Near nearest(const Shown& to, const std::vector<Shown>& among, size_t without) {
  Near best;
  for (size_t i = 0; i < among.size(); ++i) {
    if (i == without) continue;
    if (const double d = distance(to.pixels, among[i].pixels); d < best.distance) best = {i, d};
  }
  best.distance = std::sqrt(best.distance / double(to.pixels.size()));
  return best;
}

// Shares of both that have the caption of the nearest, and mean distances to it.
struct Measures {
  double right = 0, away = 0;
  int64_t captioned = 0, all = 0;
  void add(const Shown& p, const std::vector<Shown>& among, size_t without) {
    const Near near = nearest(p, among, without);
    if (!std::isfinite(near.distance)) return;
    ++all, away += near.distance;
    if (!p.caption.empty()) ++captioned, right += among[near.index].caption == p.caption;
  }
  double share() const { return captioned ? right / double(captioned) : 0; }
  double mean() const { return all ? away / double(all) : 0; }
};

std::vector<double> shares(const std::vector<Shown>& pictures) {
  std::vector<double> bins(size_t(kBins), 0.0);
  for (const Shown& p : pictures) bins[size_t(std::clamp(int(p.brightness() * kBins), 0, kBins - 1))] += 1 / double(pictures.size());
  return bins;
}

}  // namespace

SampleJudgement judge_pictures(std::span<const CaptionedDocument> samples, std::span<const CaptionedFile> training) {
  const SandboxReuse reuse;
  std::vector<Shown> made, given;
  for (const CaptionedDocument& s : samples) made.push_back({small_of(decode_png(s.bytes, kLongestSide)), s.caption});
  for (const CaptionedFile& file : training) {
    if (given.size() >= kMostTraining) break;
    try {
      const MappedFile map(file.path);
      read_pictures({map.text(), file.path}, kReadSide, [&](FoundPicture p) {
        if (given.size() < kMostTraining) given.push_back({small_of(p), p.label >= 0 ? fmt::format("{}", p.label) : file.caption});
      });
    } catch (const Error&) {  // then without it
    }
  }
  SampleJudgement judgement;
  if (made.empty() || given.size() < 2) return judgement;
  Measures ours, theirs;
  for (const Shown& p : made) ours.add(p, given, given.size());
  const size_t stride = std::max<size_t>(1, given.size() / kMostHeldOut);
  for (size_t i = 0; i < given.size(); i += stride) theirs.add(given[i], given, i);
  std::map<std::string, size_t> captions;
  for (const Shown& p : given) ++captions[p.caption];
  constexpr const char* kBaseline = "training pictures, each among the others";
  if (captions.size() >= 2 && captions.size() <= kMostCaptions && captions.size() * 2 <= given.size() && ours.captioned > 0)
    judgement.measures.push_back({"pictures whose nearest training picture has their caption, share", ours.share(), kBaseline, theirs.share(), false});
  judgement.measures.push_back({"distance to the nearest training picture, root mean square of 0 to 1", ours.mean(), kBaseline, theirs.mean(), false});
  SampleHistogram h{.title = "Brightness", .unit = "share of white", .edges = {}, .samples = shares(made), .training = shares(given)};
  for (int i = 0; i <= kBins; ++i) h.edges.push_back(double(i) / kBins);
  judgement.histograms.push_back(std::move(h));
  return judgement;
}

}  // namespace tw
