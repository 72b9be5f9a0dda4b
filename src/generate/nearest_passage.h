// Where in the training text a generated text comes nearest to being copied.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

struct NearestPassage {
  int64_t document = -1;  // index of the training document; -1 = not even eight bytes are equal
  std::string text;       // the longest equal part with what stands around it; whole characters
  int64_t longest_match = 0;  // bytes
  double overlap = 0;         // share of the text's runs of eight bytes that stand anywhere in the training text
};

// Searches many texts in one pass over the training text. Time is linear in it, but for text that repeats a few bytes
// over and over; memory does not grow with it.
class PassageSearch {
 public:
  static constexpr size_t kRun = 8, kAround = 200, kLongest = size_t(1) << 14;
  // Of each text the first kLongest bytes count.
  explicit PassageSearch(std::vector<std::string> texts);

  // One training document, in pieces, with the state of one thread. Where equal parts are of one length, that of the
  // earliest place of the earliest document counts, whatever the threads.
  class Reader {
   public:
    explicit Reader(const PassageSearch& search);
    void begin_document(int64_t document);
    void feed(std::string_view piece);
    void end_document();

   private:
    friend class PassageSearch;
    struct Best {
      int64_t document = -1, at = 0, length = 0;
      std::string text;
    };
    void look(bool end);
    const PassageSearch& search_;
    std::string window_;        // bytes looked at or to be looked at
    int64_t window_at_ = 0;     // of window_[0] in the document
    size_t looked_ = 0;         // in window_: places before it are done
    int64_t document_ = -1;
    std::vector<Best> best_;                // by text
    std::vector<std::vector<bool>> found_;  // by text: runs that stand in what was read
  };
  // What all readers together found, by text.
  std::vector<NearestPassage> result(const std::vector<Reader>& readers) const;

 private:
  struct Place {
    uint32_t text, at;
  };
  static uint64_t run_at(const char* p) noexcept;
  static size_t hash(uint64_t run) noexcept { return size_t((run * 0x9E3779B97F4A7C15ull) >> 44); }  // 20 bits
  std::vector<std::string> texts_;
  std::vector<uint64_t> filter_;          // bit by hash
  std::vector<uint32_t> first_;           // by hash: places_[first_[h], first_[h + 1])
  std::vector<Place> places_;
};

}  // namespace tw
