// Frames of videos, and videos out of frames, by ffmpeg, a program apart: a library of that size shall not read files of anyone in our process.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "src/codec/codec.h"
#include "src/codec/image/picture.h"
#include "src/core/file.h"

namespace tw {

// Frames of the first video track, `rate` a second, in colour, none with a side of more than `longest` pixels: larger ones are averaged over areas;
// pixels that are no squares become such, and what was filmed upright stands upright. Files are read as what they hold (MP4, QuickTime, Matroska, WebM, AVI, MPEG, Ogg,
// Flash), and may name no other file. Returns what a person should know of it though there were frames: "damaged: …". Error(data) where there is none, or no ffmpeg.
std::string read_frames(const CodecInput& file, int longest, int rate, const std::function<void(const Picture&)>& take);

// Frames as they come from that program, portable pixmaps (netpbm's "P6") one behind the other.
class PixmapFrames {
 public:
  PixmapFrames(int longest, std::function<void(const Picture&)> take) : longest_(longest), take_(std::move(take)) {}
  void feed(std::string_view piece);  // Error(data) for anything else, and for sides of more than `longest`

 private:
  bool head();
  int longest_;
  std::function<void(const Picture&)> take_;
  std::string head_;
  Picture picture_;
  size_t filled_ = 0;
  bool within_ = false;  // the pixels of a picture
};

// Frames on their way to a video: kept outside of memory that counts, in a file without a name.
class FrameFile {
 public:
  FrameFile();
  void add(const Picture& frame);  // all of the same sides. Error(io), Error(data) for more than 4 GiB
  // H.264 in MP4 of a quality from 0 (none is lost) to 51; sides are made even by repeating the border. Error(no_input) where there is no ffmpeg with x264.
  std::string mp4(int rate, int quality = 10) const;

 private:
  FileDescriptor file_;
  int64_t bytes_ = 0;
  Sides sides_;
};
size_t mp4_frame_bytes(std::string_view mp4);  // of the frames of such a video, without tables and heads

}  // namespace tw
