#include "src/codec/video/frames.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "src/core/child.h"
#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr size_t kLongestHead = 32;                   // "P6\n1024 1024\n255\n"
constexpr int64_t kMostBytes = int64_t(4) << 30;      // of a video that is made
constexpr const char* kFormats = "mov,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf,h264";

// Hours of film are read in one go.
ChildLimits limits() {
  return {.memory = int64_t(4) << 30, .cpu_seconds = 24 * 3600, .wall = std::chrono::hours(48), .output = int64_t(1) << 50};
}

FileDescriptor unnamed_file() {
  FileDescriptor file(::memfd_create("frames", MFD_CLOEXEC));
  TW_CHECK(file, io, "memory for frames cannot be had: {}", std::strerror(errno));
  return file;
}

FileDescriptor to_read(const CodecInput& file) {
  if (!file.path.empty()) return open_to_read(file.path);
  FileDescriptor copy = unnamed_file();
  write_exactly(copy.get(), file.bytes.data(), file.bytes.size(), 0, "a copy in memory");
  return copy;
}

// What ffmpeg says of a file, "[h264 @ 0x55d0c8] error while decoding": without the address, and without what the libraries beneath it say.
std::string complaint_of(const ChildEnd& end) {
  for (size_t at = 0; at < end.complaint.size();) {
    const size_t stop = std::min(end.complaint.find('\n', at), end.complaint.size());
    std::string line = end.complaint.substr(at, std::min<size_t>(stop - at, 200));
    at = stop + 1;
    if (!line.starts_with('[') && line.find("/dev/stdin") == line.npos) continue;
    if (const size_t address = line.find(" @ 0x"); address != line.npos) line.erase(address, std::min(line.find(']', address), line.size()) - address);
    return repaired_utf8(line);
  }
  return "";
}

}  // namespace

std::string read_frames(const CodecInput& file, int longest, int rate, const std::function<void(const Picture&)>& take) {
  TW_CHECK(!file.bytes.empty(), data, "empty");
  int64_t frames = 0;
  PixmapFrames pixmaps(longest, [&](const Picture& frame) { ++frames, take(frame); });
  const std::string scale = fmt::format("fps={0},scale=w='max(1,trunc(iw*sar))':h=ih,scale=w='min({1},iw)':h='min({1},ih)':force_original_aspect_ratio=decrease:flags=area,setsar=1", rate, longest);
  const ChildEnd end = run_child({"ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-filter_threads", "1", "-protocol_whitelist", "file", "-format_whitelist", kFormats, "-i", "file:/dev/stdin",
                                  "-map", "0:v:0", "-an", "-sn", "-dn", "-vf", scale, "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-threads", "1", "pipe:1"},
                                 to_read(file), limits(), [&](std::string_view piece) { pixmaps.feed(piece); });
  TW_CHECK(end.started, data, "videos are read by ffmpeg, which is not installed: apt-get install ffmpeg");
  const std::string why = complaint_of(end);
  TW_CHECK(frames > 0, data, "no video that can be read{}", why.empty() ? "" : ": " + why);
  return end.code == 0 && why.empty() ? "" : fmt::format("damaged: {} of its frames, {} a second, could be read{}", frames, rate, why.empty() ? "" : ": " + why);
}

void PixmapFrames::feed(std::string_view piece) {
  while (!piece.empty()) {
    if (!within_) {
      head_ += piece.front();
      piece.remove_prefix(1);
      within_ = head();
      continue;
    }
    const size_t n = std::min(piece.size(), picture_.pixels.size() - filled_);
    std::memcpy(picture_.pixels.data() + filled_, piece.data(), n);
    filled_ += n;
    piece.remove_prefix(n);
    if (filled_ < picture_.pixels.size()) continue;
    take_(picture_);
    filled_ = 0, within_ = false;
  }
}

// Whether head_ is whole: "P6", width and height, 255, a line each.
bool PixmapFrames::head() {
  TW_CHECK(head_.size() <= kLongestHead && std::string_view("P6\n").starts_with(std::string_view(head_).substr(0, 3)), data, "no pixmap: {}", repaired_utf8(head_));
  if (head_.size() < 4 || std::count(head_.begin(), head_.end(), '\n') < 3) return false;
  size_t at = 3;
  const auto number = [&](char end) {
    int value = 0;
    for (const size_t begin = at; at - begin < 6 && at < head_.size() && head_[at] >= '0' && head_[at] <= '9'; ++at) value = value * 10 + (head_[at] - '0');
    TW_CHECK(at < head_.size() && head_[at++] == end, data, "no pixmap: {}", repaired_utf8(head_));
    return value;
  };
  const int width = number(' '), height = number('\n'), highest = number('\n');
  TW_CHECK(width >= 1 && width <= longest_ && height >= 1 && height <= longest_ && highest == 255, data, "a frame of {} x {} pixels up to {}, {} are wanted", width, height, highest, longest_);
  picture_.width = width, picture_.height = height, picture_.channels = 3;
  picture_.pixels.resize(size_t(width) * size_t(height) * 3);
  head_.clear();
  return true;
}

FrameFile::FrameFile() : file_(unnamed_file()) {}

void FrameFile::add(const Picture& frame) {
  const Sides even{frame.width + frame.width % 2, frame.height + frame.height % 2};
  TW_CHECK(bytes_ == 0 || (even.width == sides_.width && even.height == sides_.height), bug, "a frame of {} x {} among those of {} x {}", frame.width, frame.height, sides_.width, sides_.height);
  sides_ = even;
  std::string out = fmt::format("P6\n{} {}\n255\n", even.width, even.height);
  for (int y = 0; y < even.height; ++y)
    for (int x = 0; x < even.width; ++x)
      for (int c = 0; c < 3; ++c) out += char(frame.at(std::min(x, frame.width - 1), std::min(y, frame.height - 1), c));
  TW_CHECK(bytes_ + int64_t(out.size()) <= kMostBytes, data, "a video of more than 4 GiB of frames");
  write_exactly(file_.get(), out.data(), out.size(), bytes_, "frames in memory");
  bytes_ += int64_t(out.size());
}

std::string FrameFile::mp4(int rate, int quality) const {
  TW_CHECK(bytes_ > 0, data, "a video without a frame");
  TW_CHECK(::lseek(file_.get(), 0, SEEK_SET) == 0, io, "frames in memory: {}", std::strerror(errno));
  std::string video;
  const ChildEnd end = run_child({"ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-filter_threads", "1", "-protocol_whitelist", "pipe", "-f", "image2pipe", "-c:v", "ppm", "-framerate",
                                  fmt::format("{}", rate), "-i", "pipe:0", "-c:v", "libx264", "-crf", fmt::format("{}", quality), "-pix_fmt", "yuv420p", "-threads", "1", "-bsf:v", "filter_units=remove_types=6",
                                  "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1"},
                                 file_, limits(), [&](std::string_view piece) { video += piece; });
  TW_CHECK(end.started && end.code == 0, no_input, "videos are written by ffmpeg with libx264: {}",
           end.started ? complaint_of(end) : std::string("it is not installed (apt-get install ffmpeg)"));
  return video;
}

size_t mp4_frame_bytes(std::string_view mp4) {
  size_t sum = 0;
  for (size_t at = 0; at + 8 <= mp4.size();) {
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(mp4[at + i]);
    if (size < 8 || size > mp4.size() - at) break;
    if (mp4.substr(at + 4, 4) == "mdat") sum += size - 8;
    at += size;
  }
  return sum;
}

}  // namespace tw
