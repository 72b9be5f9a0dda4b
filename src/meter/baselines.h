// What a model has to beat: bits per byte of held-out text under compressors and under byte n-gram models.
#pragma once
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

namespace tw {

// Held-out text, fed document by document.
class HeldOutText {
 public:
  virtual ~HeldOutText() = default;
  virtual void feed(std::string_view bytes) = 0;  // the next piece of a document
  virtual void end_document() {}
  virtual double bits() = 0;  // of all that was fed; ends it
  // NaN where nothing was fed.
  double bits_per_byte() { return bytes_ > 0 ? bits() / double(bytes_) : std::numeric_limits<double>::quiet_NaN(); }
  int64_t bytes() const noexcept { return bytes_; }

 protected:
  int64_t bytes_ = 0;
};

class Baseline {
 public:
  virtual ~Baseline() = default;
  virtual std::string_view name() const noexcept = 0;
  virtual bool learns() const noexcept { return false; }  // from training text; else it sees none
  virtual void train(std::string_view) {}                 // the next piece of a document
  virtual void end_document() {}                          // of training text
  // The baseline must outlive it, and learns nothing of it.
  virtual std::unique_ptr<HeldOutText> held_out() const = 0;
};

// gzip -9, xz -9, order-3 and order-5 n-gram. largest: no held-out text will have more bytes (xz asks for memory of ten
// times that, up to 674 MiB).
std::vector<std::unique_ptr<Baseline>> all_baselines(int64_t largest);

// gzip -9 of the held-out documents as one stream, in the order fed (so later documents profit from earlier ones,
// within deflate's window of 32 KiB): size of the .gz file, header of 10 bytes and trailer of 8 included.
class GzipText final : public HeldOutText {
 public:
  GzipText();  // Error(bug) where zlib cannot start
  ~GzipText() override;
  GzipText(const GzipText&) = delete;
  GzipText& operator=(const GzipText&) = delete;
  void feed(std::string_view bytes) override;
  double bits() override;

 private:
  void deflate_input(int flush);
  struct Stream;
  std::unique_ptr<Stream> stream_;
  int64_t out_ = 0;
  bool ended_ = false;
};

// xz -9 likewise (LZMA2, dictionary of 64 MiB, or of `largest` where that is less): size of the .xz file.
class XzText final : public HeldOutText {
 public:
  explicit XzText(int64_t largest);  // Error(bug) where liblzma cannot start
  ~XzText() override;
  XzText(const XzText&) = delete;
  XzText& operator=(const XzText&) = delete;
  void feed(std::string_view bytes) override;
  double bits() override;

 private:
  void encode_input(bool end);
  struct Stream;
  std::unique_ptr<Stream> stream_;
  int64_t out_ = 0;
  bool ended_ = false;
};

// Interpolated modified Kneser-Ney over bytes with `order` bytes of context, trained on the training text alone (Chen
// and Goodman 1999, sections 4.1.6 and 4.1.7: each order discounts counts of 1, 2 and more by its own counts of counts;
// uniform below). The probabilities of the 256 bytes after any context sum to 1. Memory is bounded by `max_pairs`
// different pairs of context and byte an order (by default 320 MiB each where it is reached; 100 MB of text fill two):
// those that come later are counted in shorter contexts only.
class NgramBaseline {
 public:
  static constexpr int kMaxOrder = 5;
  explicit NgramBaseline(int order = 3, size_t max_pairs = size_t(6) << 20);  // Error(bug): order 0..kMaxOrder
  ~NgramBaseline();
  NgramBaseline(NgramBaseline&&) noexcept;

  void train(std::string_view bytes);  // the next piece of the document
  void end_document();                 // the next piece begins without context

  // Cost of held-out documents under the trained model; no byte of them is learnt.
  class Score final : public HeldOutText {
   public:
    explicit Score(const NgramBaseline& model);
    void feed(std::string_view bytes) override;
    void end_document() override;
    double bits() override { return bits_; }

   private:
    const NgramBaseline& model_;
    uint64_t history_ = 0;  // last bytes, newest lowest
    int length_ = 0;        // how many of them count
    double bits_ = 0;
  };

  int64_t trained_bytes() const noexcept { return trained_; }
  int order() const noexcept { return order_; }
  // p(byte | the last bytes of context, at most `order`), for tests.
  double probability(std::string_view context, unsigned char byte) const;

 private:
  struct Level;
  double probability(uint64_t history, int length, unsigned char byte) const;
  int order_;
  std::vector<Level> levels_;
  uint64_t train_history_ = 0;
  int train_length_ = 0;
  int64_t trained_ = 0;
};

}  // namespace tw
