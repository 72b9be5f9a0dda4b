#include "src/codec/video/video_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "src/codec/codebook.h"
#include "src/codec/image/colour.h"
#include "src/codec/image/image_quality.h"
#include "src/codec/vector_book.h"
#include "src/codec/video/frames.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"

namespace tw {
namespace {

constexpr const char* kFormatName = "tokenwerk video codec 1";
constexpr int kBlock = 8, kHalf = kBlock / 2;       // pixels of a block's side; of its colours
constexpr int kDimension = kBlock * kBlock + 2 * kHalf * kHalf;
constexpr int kReach = 7, kPaths = (2 * kReach + 1) * (2 * kReach + 1);  // pixels a block comes from the frame before at most; ways to come
constexpr int kLongestRun = 64;                     // blocks that stand still, told in one token
constexpr int kBook = 512, kStages = 2;             // vectors of a book; books of what is left
constexpr float kColour = 1.5f;                     // weight of a colour's error
constexpr float kPrice = 0.03f;                     // square error that a token must save, brightness being in [0, 1]
constexpr size_t kMostPoints = 60000;               // of training, of each kind
constexpr int kSmallest = 8, kLargest = 1024, kFastest = 60;
constexpr int64_t kMostValues = int64_t(1) << 32;   // of a decoded video
constexpr int kSheet = 4, kGap = 2;                 // frames along each side of a contact sheet; pixels between them
constexpr int64_t kMeasured = 200;                  // frames of a file that quality is measured on
constexpr size_t kIds = size_t(1) << 14;            // of a piece for the sink

using Vector = std::array<float, kDimension>;

float square(std::span<const float> x) {
  float sum = 0;
  for (const float v : x) sum += v * v;
  return sum;
}

// A frame as planes of brightness and, at half the resolution, weighted colours; its sides are whole blocks.
class Frame {
 public:
  Frame(int width, int height) : across_((width + kBlock - 1) / kBlock), down_((height + kBlock - 1) / kBlock), y_(size_t(across_ * down_ * kBlock * kBlock), 0.5f) {
    for (auto& c : colour_) c.assign(size_t(across_ * down_ * kHalf * kHalf), 0.0f);
  }
  explicit Frame(const Picture& p) : Frame(p.width, p.height) {
    for (int y = 0; y < down_ * kBlock; ++y)
      for (int x = 0; x < across_ * kBlock; ++x) {
        const int px = std::min(x, p.width - 1), py = std::min(y, p.height - 1);
        const Ycc c = ycc_of(p.at(px, py, 0), p.at(px, py, 1), p.at(px, py, 2));
        y_[at(x, y, across_ * kBlock)] = c.y;
        const size_t half = at(x / 2, y / 2, across_ * kHalf);
        colour_[0][half] += kColour * c.cb / 4, colour_[1][half] += kColour * c.cr / 4;
      }
  }
  int blocks() const noexcept { return across_ * down_; }

  Vector block(int place) const { return from(place, 0, 0); }
  // What lies dx, dy beside the block; the border repeats itself.
  Vector from(int place, int dx, int dy) const {
    Vector v;
    float* out = v.data();
    const int x0 = place % across_ * kBlock + dx, y0 = place / across_ * kBlock + dy, width = across_ * kBlock, height = down_ * kBlock;
    for (int j = 0; j < kBlock; ++j)
      for (int i = 0; i < kBlock; ++i) *out++ = y_[at(std::clamp(x0 + i, 0, width - 1), std::clamp(y0 + j, 0, height - 1), width)];
    for (const auto& plane : colour_)
      for (int j = 0; j < kHalf; ++j)
        for (int i = 0; i < kHalf; ++i) {
          // Half a pixel is the mean of two.
          const auto c = [&](int x, int y) { return plane[at(std::clamp(x >> 1, 0, width / 2 - 1), std::clamp(y >> 1, 0, height / 2 - 1), width / 2)]; };
          const int x = x0 + 2 * i, y = y0 + 2 * j;
          *out++ = (c(x, y) + c(x + 1, y) + c(x, y + 1) + c(x + 1, y + 1)) / 4;
        }
    return v;
  }
  void put(int place, const Vector& v) {
    const float* in = v.data();
    const int x0 = place % across_ * kBlock, y0 = place / across_ * kBlock, width = across_ * kBlock;
    for (int j = 0; j < kBlock; ++j)
      for (int i = 0; i < kBlock; ++i) y_[at(x0 + i, y0 + j, width)] = std::clamp(*in++, 0.0f, 1.0f);
    for (auto& plane : colour_)
      for (int j = 0; j < kHalf; ++j)
        for (int i = 0; i < kHalf; ++i) plane[at(x0 / 2 + i, y0 / 2 + j, width / 2)] = std::clamp(*in++, -0.5f * kColour, 0.5f * kColour);
  }
  Picture picture(int width, int height) const {
    Picture p{.width = width, .height = height, .channels = 3, .pixels = std::vector<uint8_t>(size_t(width) * size_t(height) * 3)};
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const size_t half = at(x / 2, y / 2, across_ * kHalf);
        put_rgb({y_[at(x, y, across_ * kBlock)], colour_[0][half] / kColour, colour_[1][half] / kColour}, p.pixels.data() + 3 * (size_t(y) * size_t(width) + size_t(x)));
      }
    return p;
  }

 private:
  static size_t at(int x, int y, int width) { return size_t(y) * size_t(width) + size_t(x); }
  int across_, down_;
  std::vector<float> y_, colour_[2];
};

Vector less(Vector a, std::span<const float> b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}
Vector plus(Vector a, std::span<const float> b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// The way by which the frame before has a block nearest to this one; standing still among equals.
int best_path(const Frame& before, int place, const Vector& block, Vector& found) {
  int best = kPaths / 2;
  found = before.from(place, 0, 0);
  float least = square(less(found, block));
  for (int path = 0; path < kPaths && least > 0; ++path) {
    const Vector v = before.from(place, path % (2 * kReach + 1) - kReach, path / (2 * kReach + 1) - kReach);
    if (const float off = square(less(v, block)); off < least) least = off, best = path, found = v;
  }
  return best;
}

// Ids: the end of a frame, widths 1 … size, heights, runs of blocks that stand still, ways from the frame before, new blocks, and what is added to a block.
class VideoCodec final : public Codec {
 public:
  VideoCodec(int size, int rate, Sides common, VectorBook fresh, std::vector<VectorBook> left) : size_(size), rate_(rate), common_(common), new_(std::move(fresh)), left_(std::move(left)) {
    TW_CHECK(left_.size() == size_t(kStages) && new_.dimension() == kDimension, data, "books of {} stages and {} numbers", left_.size(), new_.dimension());
    run_ = 1 + 2 * size, path_ = run_ + kLongestRun, fresh_ = path_ + kPaths;
    first_.push_back(fresh_ + new_.size());
    for (const VectorBook& b : left_) {
      TW_CHECK(b.dimension() == kDimension, data, "a book of vectors of {} numbers", b.dimension());
      first_.push_back(first_.back() + b.size());
    }
    hash_ = Sha256().update(to_json().dump()).hex();
  }
  std::string_view name() const override { return kVideoCodec.name; }
  int32_t vocab_size() const override { return first_.back(); }
  std::string hash() const override { return hash_; }
  void encode(const CodecInput& file, CodecSink& sink) const override {
    std::vector<int32_t> ids;
    std::optional<Frame> before;
    Sides sides;
    const std::string note = read_frames(file, size_, rate_, [&](const Picture& p) {
      TW_CHECK(!before || (p.width == sides.width && p.height == sides.height), data, "its frames have different sides");
      if (!before) begin(p, ids, before), sides = {p.width, p.height};
      add_frame(Frame(p), *before, ids);
      if (ids.size() >= kIds) sink.ids(ids), ids.clear();
    });
    sink.ids(ids);
    if (!note.empty()) sink.note(note);
  }
  std::string decode(std::span<const int32_t> ids) const override {
    FrameFile frames;
    frames_of(ids, [&](const Frame& f, Sides s) { frames.add(f.picture(s.width, s.height)); });
    return frames.mp4(rate_);
  }
  std::string sheet(std::span<const int32_t> ids) const override;
  std::vector<int32_t> opening() const override {
    return common_.width > 0 ? std::vector<int32_t>{common_.width, size_ + common_.height} : std::vector<int32_t>();
  }
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const override;
  void save(const std::filesystem::path& path) const override { write_file_atomically(path, to_json().dump() + "\n"); }

 private:
  void begin(const Picture& p, std::vector<int32_t>& ids, std::optional<Frame>& before) const {
    ids.push_back(p.width), ids.push_back(size_ + p.height);
    before.emplace(p.width, p.height);
  }
  void add_frame(const Frame& frame, Frame& before, std::vector<int32_t>& ids) const;
  void frames_of(std::span<const int32_t> ids, const std::function<void(const Frame&, Sides)>& take) const;
  nlohmann::json to_json() const {
    nlohmann::json left = nlohmann::json::array();
    for (const VectorBook& b : left_) left.push_back(json_of(b));
    return {{"format", kFormatName}, {"size", size_}, {"rate", rate_}, {"common", {common_.width, common_.height}}, {"new", json_of(new_)}, {"left", left}};
  }
  int size_, rate_;
  Sides common_;  // of all training videos; 0 = they differ
  VectorBook new_;
  std::vector<VectorBook> left_;
  int32_t run_ = 0, path_ = 0, fresh_ = 0;
  std::vector<int32_t> first_;  // of what is added, by stage, and the end
  std::string hash_;
};

// Of standing still, coming from the frame before and being new, each with as much added as pays, a block takes what costs least: square error and kPrice a token.
// Predictions are made of what a reader will have, so that errors do not add up.
void VideoCodec::add_frame(const Frame& frame, Frame& before, std::vector<int32_t>& ids) const {
  struct Choice {
    std::vector<int32_t> ids;
    Vector made;
    float cost;
  };
  const auto choice = [&](int32_t id, const Vector& start, const Vector& wanted) {
    Choice c{{id}, start, 0};
    Vector off = less(wanted, start);
    float error = square(off);
    for (size_t s = 0; s < left_.size(); ++s) {
      const int best = left_[s].nearest(off);
      const Vector rest = less(off, left_[s].vector(best));
      const float smaller = square(rest);
      if (smaller + kPrice >= error) break;
      c.ids.push_back(first_[s] + best);
      c.made = plus(c.made, left_[s].vector(best));
      off = rest, error = smaller;
    }
    c.cost = error + kPrice * float(c.ids.size());
    return c;
  };
  Frame made = before;
  int still = 0;
  for (int place = 0; place < frame.blocks(); ++place) {
    const Vector wanted = frame.block(place);
    const float standing = square(less(before.block(place), wanted));
    if (standing <= kPrice) {
      ++still;
      continue;
    }
    Vector moved;
    const int path = best_path(before, place, wanted, moved);
    Choice best = choice(path_ + path, moved, wanted);
    const int fresh = new_.nearest(wanted);
    Vector start;
    std::copy_n(new_.vector(fresh).begin(), kDimension, start.begin());
    if (Choice c = choice(fresh_ + fresh, start, wanted); c.cost < best.cost) best = std::move(c);
    if (standing <= best.cost) {
      ++still;
      continue;
    }
    for (; still > 0; still -= std::min(still, kLongestRun)) ids.push_back(run_ + std::min(still, kLongestRun) - 1);
    ids.insert(ids.end(), best.ids.begin(), best.ids.end());
    made.put(place, best.made);
  }
  ids.push_back(0);
  before = std::move(made);
}

// Any row of ids is a video: blocks without a token stand still, what would be beyond the last block is left out, and so is what adds to no block. The first frame goes on
// from grey.
void VideoCodec::frames_of(std::span<const int32_t> ids, const std::function<void(const Frame&, Sides)>& take) const {
  for (const int32_t id : ids) TW_CHECK(id >= 0 && id < vocab_size(), data, "id {} is not in [0, {}), those of the video codec", id, vocab_size());
  Sides sides = common_.width > 0 ? common_ : Sides{size_, size_};
  size_t at = 0;
  if (at < ids.size() && ids[at] >= 1 && ids[at] <= size_) sides.width = ids[at++];
  if (at < ids.size() && ids[at] > size_ && ids[at] < run_) sides.height = ids[at++] - size_;
  Frame before(sides.width, sides.height), made = before;
  int place = 0;
  int64_t values = 0, frames = 0;
  bool open = false, within = false;
  Vector block{};
  const auto close = [&] {
    if (open && place < made.blocks()) made.put(place, block);
    place += open;
    open = false;
  };
  const auto end = [&] {
    close();
    values += int64_t(sides.width) * sides.height * 3;
    TW_CHECK(values <= kMostValues, data, "a video of more than {} pixels", kMostValues / 3);
    take(made, sides);
    before = made;
    place = 0, within = false, ++frames;
  };
  for (; at < ids.size(); ++at) {
    const int32_t id = ids[at];
    if (id == 0) {
      end();
    } else if (id >= first_[0]) {
      const size_t s = id < first_[1] ? 0 : 1;
      if (open) block = plus(block, left_[s].vector(id - first_[s]));
    } else if (id >= run_) {
      close();
      within = true;
      if (place >= made.blocks()) continue;
      if (id < path_) {
        place += id - run_ + 1;
      } else if (id < fresh_) {
        block = before.from(place, (id - path_) % (2 * kReach + 1) - kReach, (id - path_) / (2 * kReach + 1) - kReach), open = true;
      } else {
        std::copy_n(new_.vector(id - fresh_).begin(), kDimension, block.begin()), open = true;
      }
    }
  }
  if (within || frames == 0) end();
}

std::string VideoCodec::sheet(std::span<const int32_t> ids) const {
  int64_t frames = 0, number = 0;
  frames_of(ids, [&](const Frame&, Sides) { ++frames; });
  const int shown = int(std::min<int64_t>(frames, kSheet * kSheet)), across = std::min(shown, kSheet), down = (shown + kSheet - 1) / kSheet;
  Picture all;
  int put = 0;
  frames_of(ids, [&](const Frame& f, Sides s) {
    if (put < shown && number == put * frames / shown) {
      if (put == 0) {
        all = {.width = across * (s.width + kGap) - kGap, .height = down * (s.height + kGap) - kGap, .channels = 3, .pixels = {}};
        all.pixels.assign(size_t(all.width) * size_t(all.height) * 3, 255);
      }
      const Picture p = f.picture(s.width, s.height);
      for (int y = 0; y < s.height; ++y)
        std::copy_n(p.pixels.data() + size_t(y) * size_t(s.width) * 3, size_t(s.width) * 3,
                    all.pixels.data() + (size_t(put / kSheet * (s.height + kGap) + y) * size_t(all.width) + size_t(put % kSheet * (s.width + kGap))) * 3);
      ++put;
    }
    ++number;
  });
  return png_of(all);
}

// Beside H.264 of at most as many bytes.
std::vector<CodecQuality> VideoCodec::quality(std::span<const std::filesystem::path> files) const {
  SquaredError ours, theirs;
  double similar = 0, their_similar = 0;
  int64_t frames = 0, tokens = 0;
  bool compared = true;
  for (const auto& path : files) {
    const MappedFile map(path);
    std::vector<Picture> originals;
    read_frames({map.text(), path}, size_, rate_, [&](const Picture& p) {
      if (int64_t(originals.size()) < kMeasured) originals.push_back(p);
    });
    std::vector<int32_t> ids;
    std::optional<Frame> before;
    for (const Picture& p : originals) {
      if (!before) begin(p, ids, before);
      add_frame(Frame(p), *before, ids);
    }
    const auto measure = [&](const Picture& original, const Picture& made, SquaredError& error, double& sum) {
      const SquaredError e = squared_error(original, made);
      error.sum += e.sum, error.values += e.values, sum += ssim(original, made);
    };
    size_t at = 0;
    frames_of(ids, [&](const Frame& f, Sides s) { measure(originals[at], f.picture(s.width, s.height), ours, similar), ++at; });
    frames += int64_t(originals.size()), tokens += int64_t(ids.size());
    if (!compared) continue;
    FrameFile file;
    for (const Picture& p : originals) file.add(p);
    const double bytes = double(ids.size()) * std::log2(double(vocab_size())) / 8;
    try {
      std::string video;
      for (int low = 0, high = 51; low <= high;) {  // the best quality that fits
        const int quality = (low + high) / 2;
        std::string tried = file.mp4(rate_, quality);
        const bool fits = double(mp4_frame_bytes(tried)) <= bytes;
        if (fits || (video.empty() && quality == 51)) video = std::move(tried);
        (fits ? high : low) = fits ? quality - 1 : quality + 1;
      }
      std::vector<Picture> pictures;
      read_frames(video, size_ + 1, rate_, [&](const Picture& p) { pictures.push_back(p); });
      for (size_t i = 0; i < originals.size(); ++i) {
        Picture p = originals[i];  // without the border that made it even
        const Picture& q = pictures.at(std::min(i, pictures.size() - 1));
        for (int y = 0; y < p.height; ++y) std::copy_n(q.pixels.data() + size_t(y) * size_t(q.width) * 3, size_t(p.width) * 3, p.pixels.data() + size_t(y) * size_t(p.width) * 3);
        measure(originals[i], p, theirs, their_similar);
      }
    } catch (const Error& e) {
      if (e.code() != ExitCode::no_input) throw;
      compared = false;
    }
  }
  const double n = double(std::max<int64_t>(frames, 1)), none = std::numeric_limits<double>::quiet_NaN();
  const std::string rival = compared ? "H.264 (x264) of as many bytes" : "H.264, which this machine's ffmpeg does not write";
  return {{"signal to noise at its peak (PSNR), dB, larger is better", ours.psnr(), rival, compared ? theirs.psnr() : none, ours.sum == 0},
          {"structural similarity (SSIM), larger is better", similar / n, rival, compared ? their_similar / n : none, ours.sum == 0},
          {"tokens a frame, fewer are better", double(tokens) / n, "those of all its blocks as new ones with all that is added", double(kStages + 1) * double(common_.width > 0 ? Frame(common_.width, common_.height).blocks() : Frame(size_, size_).blocks()) + 1, false}};
}

constexpr int kInspected = 5;  // frames a second

CodecContent inspect_video(const CodecInput& file) {
  CodecContent content;
  content.note = read_frames(file, kSmallest, kInspected, [&](const Picture&) { ++content.units; });
  content.said = fmt::format("{:.1f} s", double(content.units) / kInspected);
  return content;
}

std::unique_ptr<Codec> train_video(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  const int size = std::clamp(options.video_size, kSmallest, kLargest), rate = std::clamp(options.video_rate, 1, kFastest);
  SampledPoints blocks(kDimension, kMostPoints), moved(kDimension, kMostPoints);
  std::set<std::pair<int, int>> sides;
  for (const auto& path : files) {
    const MappedFile map(path);
    std::optional<Frame> before;
    read_frames({map.text(), path}, size, rate, [&](const Picture& p) {
      Frame frame(p);
      if (!before && sides.size() < 2) sides.emplace(p.width, p.height);
      for (int place = 0; place < frame.blocks(); ++place) {
        const Vector block = frame.block(place);
        blocks.add(block);
        if (!before || before->blocks() != frame.blocks() || square(less(before->block(place), block)) <= kPrice) continue;
        Vector found;
        best_path(*before, place, block, found);
        if (const Vector off = less(block, found); square(off) > kPrice) moved.add(off);
      }
      before = std::move(frame);
    });
  }
  TW_CHECK(!blocks.points().empty(), data, "there is no video to make the video codec of");
  VectorBook fresh = VectorBook::trained(blocks.points(), kDimension, kBook, options.threads);
  // What is left of either is added by the same books.
  std::vector<float> left = std::move(moved.points());
  const auto subtract = [&](std::span<float> v, const VectorBook& book) {
    const auto nearest = book.vector(book.nearest(v));
    for (size_t k = 0; k < v.size(); ++k) v[k] -= nearest[k];
  };
  for (size_t at = 0; at < blocks.points().size(); at += kDimension) {
    const std::span v = std::span(blocks.points()).subspan(at, kDimension);
    subtract(v, fresh);
    left.insert(left.end(), v.begin(), v.end());
  }
  std::vector<VectorBook> books;
  for (int s = 0; s < kStages; ++s) {
    books.push_back(VectorBook::trained(left, kDimension, kBook, options.threads));
    for (size_t at = 0; at < left.size(); at += kDimension) subtract(std::span(left).subspan(at, kDimension), books.back());
  }
  const Sides common = sides.size() == 1 ? Sides{sides.begin()->first, sides.begin()->second} : Sides{};
  return std::make_unique<VideoCodec>(size, rate, common, std::move(fresh), std::move(books));
}

std::unique_ptr<Codec> load_video(const std::filesystem::path& path) {
  const auto json = read_codebook(path, {kFormatName}, "videos", size_t(64) << 20, size_t(1) << 20);
  const std::string file = path.string();
  const auto number = [&](const nlohmann::json& n, int64_t low, int64_t high, const char* what) {
    TW_CHECK(n.is_number_integer() && n.get<int64_t>() >= low && n.get<int64_t>() <= high, data, "{}: {} is {}", file, what, n.dump());
    return n.get<int>();
  };
  const int size = number(json.value("size", nlohmann::json()), kSmallest, kLargest, "size"), rate = number(json.value("rate", nlohmann::json()), 1, kFastest, "rate");
  const auto common = json.value("common", nlohmann::json()), left = json.value("left", nlohmann::json());
  TW_CHECK(common.is_array() && common.size() == 2, data, "{}: its common size is no width and height", file);
  const Sides sides{number(common[0], 0, size, "common width"), number(common[1], 0, size, "common height")};
  TW_CHECK((sides.width > 0) == (sides.height > 0), data, "{}: a common size of {} x {}", file, sides.width, sides.height);
  TW_CHECK(left.is_array() && left.size() == size_t(kStages), data, "{}: it has not {} books of what is added", file, kStages);
  std::vector<VectorBook> books;
  for (const auto& b : left) books.push_back(book_of(b, file, kBook));
  return std::make_unique<VideoCodec>(size, rate, sides, book_of(json.value("new", nlohmann::json()), file, kBook), std::move(books));
}

constexpr std::string_view kEndings[] = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".flv", ".wmv", ".3gp"};

}  // namespace

const CodecKind kVideoCodec = {.name = "video", .endings = kEndings, .artefact = "mp4", .codebook = "video.json", .folder_captions = true, .inspect = inspect_video, .train = train_video, .load = load_video};

}  // namespace tw
