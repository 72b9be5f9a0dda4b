#include <algorithm>
#include <cmath>
#include <limits>

#include "src/core/error.h"
#include "src/meter/baselines.h"

namespace tw {
namespace {

// Counts by key: open addressing with linear steps. A slot whose count is 0 is free. Grows to `limit` entries.
template <class Value>
class CountTable {
 public:
  explicit CountTable(size_t limit) : limit_(limit), slots_(1024) {}

  const Value* find(uint64_t key) const {
    const Slot& slot = slots_[place(key)];
    return slot.value.count ? &slot.value : nullptr;
  }
  // The entry of `key`; a new one has count 0, to be raised before the next call. Null where the table is full.
  Value* insert(uint64_t key) {
    size_t at = place(key);
    if (slots_[at].value.count) return &slots_[at].value;
    if (used_ >= limit_) return nullptr;
    if (used_ * 4 >= slots_.size() * 3) {
      grow();
      at = place(key);
    }
    ++used_;
    slots_[at].key = key;
    return &slots_[at].value;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Value value{};
  };
  size_t place(uint64_t key) const {
    size_t at = size_t((key * 0x9e3779b97f4a7c15u) >> 32) & (slots_.size() - 1);
    while (slots_[at].value.count && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.value.count) slots_[place(slot.key)] = slot;
  }
  size_t limit_, used_ = 0;
  std::vector<Slot> slots_;
};

struct PairCount {
  uint32_t count = 0;
};
struct ContextCount {
  uint32_t count = 0;
  uint32_t kinds[3] = {};  // different bytes seen after it once, twice, more often
};
constexpr uint32_t kFull = std::numeric_limits<uint32_t>::max();

uint64_t last_bytes(uint64_t history, int n) { return n == 0 ? 0 : history & (~uint64_t(0) >> (64 - 8 * n)); }

}  // namespace

// Contexts of one length.
struct NgramBaseline::Level {
  explicit Level(size_t limit) : pairs(limit), contexts(limit) {}
  CountTable<PairCount> pairs;  // context << 8 | byte
  CountTable<ContextCount> contexts;
  int64_t seen[5] = {};                 // pairs by count, 1 to 4
  double discounts[3] = {0.5, 1, 1.5};  // of counts 1, 2, 3 and more

  // Chen and Goodman's equation 17; kept between 0, so that unseen bytes have a share, and the count itself.
  void set_discounts() {
    for (int k = 1; k <= 3; ++k) discounts[k - 1] = 0.5 * k;
    if (seen[1] + 2 * seen[2] == 0) return;
    const double y = double(seen[1]) / double(seen[1] + 2 * seen[2]);
    for (int k = 1; k <= 3; ++k)
      if (seen[k] > 0)
        discounts[k - 1] = std::clamp(k - (k + 1) * y * double(seen[k + 1]) / double(seen[k]), 0.05, k - 0.05);
  }
};

NgramBaseline::NgramBaseline(int order, size_t max_pairs) : order_(order) {
  TW_CHECK(order >= 0 && order <= kMaxOrder && max_pairs > 0, bug, "n-gram baseline of order {} with {} pairs", order,
           max_pairs);
  levels_.reserve(size_t(order) + 1);
  for (int k = 0; k <= order; ++k) levels_.emplace_back(max_pairs);
}
NgramBaseline::~NgramBaseline() = default;
NgramBaseline::NgramBaseline(NgramBaseline&&) noexcept = default;

void NgramBaseline::train(std::string_view bytes) {
  trained_ += int64_t(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    // The longest context counts each occurrence; a shorter one counts a byte once for each longer context it is new in
    // (Kneser and Ney's continuation counts).
    for (int k = train_length_; k >= 0; --k) {
      Level& level = levels_[size_t(k)];
      const uint64_t context = last_bytes(train_history_, k);
      PairCount* pair = level.pairs.insert(context << 8 | byte);
      if (!pair) continue;
      // Contexts are no more than pairs, so there is room where a pair had some.
      ContextCount* in_context = level.contexts.insert(context);
      if (!in_context || in_context->count == kFull) continue;
      ++in_context->count;
      const uint32_t count = ++pair->count;
      if (count <= 3) {
        ++in_context->kinds[count - 1];
        if (count > 1) --in_context->kinds[count - 2];
      }
      if (count <= 4) ++level.seen[count];
      if (count > 1 && count <= 5) --level.seen[count - 1];
      if (count > 1) break;
    }
    train_history_ = train_history_ << 8 | byte;
    train_length_ = std::min(train_length_ + 1, order_);
  }
  for (Level& level : levels_) level.set_discounts();
}

void NgramBaseline::end_document() { train_length_ = 0; }

double NgramBaseline::probability(uint64_t history, int length, unsigned char byte) const {
  double p = 1.0 / 256;
  for (int k = 0; k <= length; ++k) {
    const Level& level = levels_[size_t(k)];
    const uint64_t context = last_bytes(history, k);
    const ContextCount* in_context = level.contexts.find(context);
    if (!in_context) continue;
    const PairCount* pair = level.pairs.find(context << 8 | byte);
    const double own = pair ? pair->count - level.discounts[std::min(pair->count, 3u) - 1] : 0;
    double freed = 0;
    for (int i = 0; i < 3; ++i) freed += level.discounts[i] * in_context->kinds[i];
    p = (own + freed * p) / in_context->count;
  }
  return p;
}

double NgramBaseline::probability(std::string_view context, unsigned char byte) const {
  uint64_t history = 0;
  for (const char c : context) history = history << 8 | static_cast<unsigned char>(c);
  return probability(history, int(std::min(context.size(), size_t(order_))), byte);
}

NgramBaseline::Score::Score(const NgramBaseline& model) : model_(model) {}

void NgramBaseline::Score::feed(std::string_view bytes) {
  bytes_ += int64_t(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    bits_ -= std::log2(model_.probability(history_, length_, byte));
    history_ = history_ << 8 | byte;
    length_ = std::min(length_ + 1, model_.order_);
  }
}

void NgramBaseline::Score::end_document() { length_ = 0; }

}  // namespace tw
