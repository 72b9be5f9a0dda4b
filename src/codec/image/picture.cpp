#include "src/codec/image/picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/codec/image/area_scaler.h"
#include "src/codec/image/idx.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/sandbox.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kMostBytes = int64_t(1) << 40;  // of pixels that a child may give
constexpr size_t kLongestNote = 200;

struct Head {
  int32_t width, height, channels, full_width, full_height, label, note_bytes;
};

// The labels that belong to the pictures of an idx file; none where there is no such file. Links are not followed.
fs::path labels_beside(const fs::path& pictures) {
  std::string name = pictures.filename().string();
  const size_t at = name.find("images-idx3");
  if (at == name.npos) return {};
  name.replace(at, 11, "labels-idx1");
  const std::string other = name.ends_with(".gz") ? name.substr(0, name.size() - 3) : name + ".gz";
  for (const std::string& n : {name, other}) {
    std::error_code error;
    const fs::path path = pictures.parent_path() / n;
    if (fs::is_regular_file(fs::symlink_status(path, error))) return path;
  }
  return {};
}

void give(const FoundPicture& p, const SandboxWrite& write) {
  const std::string note = p.note.substr(0, kLongestNote);
  const Head head{p.width, p.height, p.channels, p.full_width, p.full_height, p.label, int32_t(note.size())};
  std::string all(reinterpret_cast<const char*>(&head), sizeof head);
  all += note;
  all.append(reinterpret_cast<const char*>(p.pixels.data()), p.pixels.size());
  write(all);
}

// In the child.
void give_pictures(std::string_view bytes, std::string_view labels, int longest, const SandboxWrite& write) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return give(decode_png(bytes, longest), write);
  if (bytes.starts_with("\xFF\xD8\xFF")) return give(decode_jpeg(bytes, longest), write);
  TW_CHECK(is_idx(bytes), data, "no PNG, JPEG or idx file, whatever its name says");
  read_idx(bytes, labels, [&](const uint8_t* pixels, int width, int height, int label) {
    AreaScaler scaler(width, height, fitted(width, height, longest), 1);
    for (int y = 0; y < height; ++y) scaler.add_row(pixels + size_t(y) * size_t(width));
    FoundPicture p;
    static_cast<Picture&>(p) = scaler.finish();
    p.full_width = width, p.full_height = height, p.label = label;
    give(p, write);
  });
}

void give_pictures_alone(std::string_view bytes, int64_t longest, const SandboxWrite& write) { give_pictures(bytes, {}, int(longest), write); }

// Pictures out of what a child says.
class Pieces {
 public:
  Pieces(int longest, const std::function<void(FoundPicture)>& take) : longest_(longest), take_(take) {}
  void add(std::string_view piece) {
    waiting_ += piece;
    size_t at = 0;
    for (;;) {
      if (waiting_.size() - at < sizeof(Head)) break;
      Head h;
      std::memcpy(&h, waiting_.data() + at, sizeof h);
      TW_CHECK(h.width >= 1 && h.height >= 1 && h.width <= longest_ && h.height <= longest_ && (h.channels == 1 || h.channels == 3) && h.full_width >= h.width &&
                   h.full_height >= h.height && h.label >= -1 && h.label <= 255 && h.note_bytes >= 0 && size_t(h.note_bytes) <= kLongestNote,
               data, "no picture came of it");
      const size_t size = size_t(h.width) * size_t(h.height) * size_t(h.channels), all = sizeof h + size_t(h.note_bytes) + size;
      if (waiting_.size() - at < all) break;
      FoundPicture p;
      p.width = h.width, p.height = h.height, p.channels = h.channels, p.full_width = h.full_width, p.full_height = h.full_height, p.label = h.label;
      const char* from = waiting_.data() + at + sizeof h;
      p.note.assign(from, size_t(h.note_bytes));
      p.pixels.assign(from + h.note_bytes, from + h.note_bytes + size);
      at += all, ++count_;
      if (take_) take_(std::move(p));
    }
    waiting_.erase(0, at);
  }
  void finish() const { TW_CHECK(count_ > 0 && waiting_.empty(), data, "no picture inside"); }

 private:
  int longest_;
  const std::function<void(FoundPicture)>& take_;
  std::string waiting_;
  int64_t count_ = 0;
};

}  // namespace

void read_pictures(const CodecInput& file, int longest, const std::function<void(FoundPicture)>& take) {
  SandboxLimits limits;
  limits.cpu_seconds = 3600, limits.wall = std::chrono::hours(2), limits.result = kMostBytes;
  const fs::path beside = file.path.empty() ? fs::path() : labels_beside(file.path);
  const std::string name = file.path.empty() ? "the picture" : file.path.filename().string();
  Pieces pieces(longest, take);
  const auto add = [&](std::string_view piece) { pieces.add(piece); };
  if (beside.empty()) {
    run_sandboxed_small(name, limits, give_pictures_alone, file.bytes, longest, add);
  } else {
    const MappedFile labels(beside);
    run_sandboxed(name, limits, [&](const SandboxWrite& write) { give_pictures(file.bytes, labels.text(), longest, write); }, add);
  }
  pieces.finish();
}

Sides fitted(int width, int height, int longest) noexcept {
  const int side = std::max(width, height);
  if (side <= longest) return {width, height};
  const auto scaled = [&](int n) { return int(std::clamp<int64_t>((int64_t(n) * longest + side / 2) / side, 1, n)); };
  return {scaled(width), scaled(height)};
}

}  // namespace tw
