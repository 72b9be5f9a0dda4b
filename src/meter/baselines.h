// What a model has to beat: bits per byte of held-out text under gzip and under a byte n-gram model.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace tw {

// gzip -9 of the held-out documents as one stream, in the order fed (so later documents profit from earlier ones,
// within deflate's window of 32 KiB). It sees no training text.
class GzipBaseline {
 public:
  GzipBaseline();  // Error(bug) where zlib cannot start
  ~GzipBaseline();
  GzipBaseline(const GzipBaseline&) = delete;
  GzipBaseline& operator=(const GzipBaseline&) = delete;
  void feed(std::string_view bytes);
  // Size of the .gz file (header of 10 bytes and trailer of 8 included), ends the stream.
  int64_t compressed_bytes();
  double bits_per_byte();  // NaN where nothing was fed

 private:
  void deflate_input(int flush);
  struct Stream;
  std::unique_ptr<Stream> stream_;
  int64_t in_ = 0, out_ = 0;
  bool ended_ = false;
};

// Interpolated modified Kneser-Ney over bytes with `order` bytes of context, trained on the training text alone (Chen
// and Goodman 1999, sections 4.1.6 and 4.1.7: each order discounts counts of 1, 2 and more by its own counts of counts;
// uniform below). The probabilities of the 256 bytes after any context sum to 1. Memory is bounded by `max_pairs`
// different pairs of context and byte an order (by default 400 MiB in all, for noise; text needs a few): those that
// come later are counted in shorter contexts only.
class NgramBaseline {
 public:
  static constexpr int kMaxOrder = 3;
  explicit NgramBaseline(int order = 3, size_t max_pairs = size_t(6) << 20);  // Error(bug): order 0..kMaxOrder
  ~NgramBaseline();
  NgramBaseline(NgramBaseline&&) noexcept;

  void train(std::string_view bytes);  // the next piece of the document
  void end_document();                 // the next piece begins without context
  // Adds the document's cost in bits under the trained model; no byte of it is learnt.
  void score(std::string_view bytes);  // the next piece of a held-out document
  void end_scored_document();

  double bits_per_byte() const;  // of all scored so far; NaN where nothing was
  int64_t trained_bytes() const noexcept { return trained_; }
  int64_t scored_bytes() const noexcept { return scored_; }
  int order() const noexcept { return order_; }
  // p(byte | the last bytes of context, at most `order`), for tests.
  double probability(std::string_view context, unsigned char byte) const;

 private:
  struct Level;
  double probability(uint32_t history, int length, unsigned char byte) const;
  int order_;
  std::vector<Level> levels_;
  uint32_t train_history_ = 0, score_history_ = 0;  // last bytes, newest lowest
  int train_length_ = 0, score_length_ = 0;         // how many of them count
  int64_t trained_ = 0, scored_ = 0;
  double bits_ = 0;
};

}  // namespace tw
