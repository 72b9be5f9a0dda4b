#include "src/codec/text/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>

#include "src/codec/text/byte_alphabet.h"
#include "src/codec/text/piece_counts.h"
#include "src/codec/text/piece_encoder.h"
#include "src/core/error.h"
#include "src/core/thread_team.h"

namespace tw {
namespace {

constexpr size_t kBlock = size_t(1) << 20;  // bytes of text a thread takes at once

// Merges pairs until the vocabulary is full. Each pair knows its count and the words it may occur in; a merge visits
// these words only and adjusts the counts of the neighbours. The heap holds counts that were true once: an entry whose
// count is no longer true goes back with the true one when it comes up.
class Merger {
 public:
  Merger(const BpeTraining& options, TokenizerSpec& spec) : options_(options), spec_(spec) {
    for (size_t id = 0; id < spec.tokens.size(); ++id) id_of_.emplace(spec.tokens[id], int32_t(id));
    for (int32_t id = 0; id < spec.size(); ++id)
      if (spec.kinds[size_t(id)] == TokenizerSpec::Kind::normal) byte_id_[uint8_t(spec.tokens[size_t(id)][0])] = id;
  }

  void reserve(size_t words, size_t bytes) {
    words_.reserve(words);
    symbols_.reserve(bytes);
  }
  void add_word(std::string_view bytes, int64_t count) {
    const auto word = uint32_t(words_.size());
    words_.push_back({symbols_.size(), uint32_t(bytes.size()), count});
    for (const unsigned char b : bytes) symbols_.push_back(byte_id_[b]);
    const int32_t* s = symbols_.data() + words_.back().begin;
    for (size_t i = 0; i + 1 < bytes.size(); ++i) change(s[i], s[i + 1], count, word);
  }

  void run() {
    push_touched();
    while (spec_.size() < options_.vocab_size && !heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      Pair& pair = pairs_[top.pair];
      if (pair.count != top.count) {
        push(top.pair);
        continue;
      }
      if (!name_result(pair)) continue;
      merge(top.pair);
      push_touched();
    }
  }

 private:
  struct Word {
    size_t begin;
    uint32_t length;
    int64_t count;
  };
  struct Pair {
    uint64_t key;              // left id, right id
    int64_t count = 0;
    int32_t result = -1;       // once merged
    bool touched = false;      // is in touched_
    std::vector<uint32_t> words;
  };
  struct Candidate {
    int64_t count;
    uint64_t key;
    uint32_t pair;
    bool operator<(const Candidate& other) const noexcept {
      return count != other.count ? count < other.count : key > other.key;
    }
  };

  void change(int32_t left, int32_t right, int64_t count, uint32_t word) {
    const uint64_t key = uint64_t(uint32_t(left)) << 32 | uint32_t(right);
    const auto [found, fresh] = index_.try_emplace(key, uint32_t(pairs_.size()));
    if (fresh) pairs_.push_back({key});
    Pair& pair = pairs_[found->second];
    pair.count += count;
    if (count < 0) return;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    if (!pair.touched) touched_.push_back(found->second);
    pair.touched = true;
  }

  void push(uint32_t index) {
    const Pair& pair = pairs_[index];
    if (pair.count >= options_.min_frequency) heap_.push({pair.count, pair.key, index});
  }
  void push_touched() {
    for (const uint32_t index : touched_) {
      pairs_[index].touched = false;
      push(index);
    }
    touched_.clear();
  }

  // Gives the pair its token. The same text may come of several pairs: then they share it, and only the merge is new.
  // False where it must not be merged: its text is a special token's, or too long.
  bool name_result(Pair& pair) {
    if (pair.result >= 0) return true;  // was merged, and came up again since the token of one side has two pairs
    const auto left = int32_t(pair.key >> 32), right = int32_t(uint32_t(pair.key));
    std::string text = spec_.tokens[size_t(left)] + spec_.tokens[size_t(right)];
    if (text.size() > kMaxTokenBytes) return false;
    const auto [found, fresh] = id_of_.emplace(std::move(text), spec_.size());
    if (fresh) {
      spec_.tokens.push_back(found->first);
      spec_.kinds.push_back(TokenizerSpec::Kind::normal);
    } else if (spec_.kinds[size_t(found->second)] == TokenizerSpec::Kind::special) {
      return false;
    }
    pair.result = found->second;
    spec_.merges.push_back({left, right, pair.result, uint32_t(spec_.merges.size())});
    return true;
  }

  void merge(uint32_t index) {
    const std::vector<uint32_t> words = std::move(pairs_[index].words);
    pairs_[index].words.clear();
    const auto left = int32_t(pairs_[index].key >> 32), right = int32_t(uint32_t(pairs_[index].key));
    const int32_t result = pairs_[index].result;
    for (const uint32_t w : words) {
      Word& word = words_[w];
      int32_t* s = symbols_.data() + word.begin;
      uint32_t out = 0;
      for (uint32_t i = 0; i < word.length;) {
        if (s[i] != left || i + 1 == word.length || s[i + 1] != right) {
          s[out++] = s[i++];
          continue;
        }
        if (out > 0) change(s[out - 1], left, -word.count, w), change(s[out - 1], result, word.count, w);
        if (i + 2 < word.length) change(right, s[i + 2], -word.count, w), change(result, s[i + 2], word.count, w);
        s[out++] = result;
        i += 2;
      }
      word.length = out;
    }
  }

  const BpeTraining& options_;
  TokenizerSpec& spec_;
  std::array<int32_t, 256> byte_id_{};
  std::unordered_map<std::string, int32_t> id_of_;
  std::vector<Word> words_;
  std::vector<int32_t> symbols_;
  std::unordered_map<uint64_t, uint32_t> index_;
  std::vector<Pair> pairs_;
  std::vector<uint32_t> touched_;
  std::priority_queue<Candidate> heap_;
};

}  // namespace

struct BpeTrainer::Counts {
  explicit Counts(int threads) : team(threads), of_thread(size_t(threads)) {}
  ThreadTeam team;
  std::vector<PieceCounts> of_thread;
  int64_t bytes = 0;
};

BpeTrainer::BpeTrainer(BpeTraining options) : options_(std::move(options)) {
  const auto least = int64_t(options_.special_tokens.size()) + 256;
  TW_CHECK(options_.vocab_size >= least && options_.vocab_size <= kMaxTokens, config,
           "a vocabulary of {} tokens: wanted are {} (256 bytes and {} special tokens) to {}", options_.vocab_size, least,
           options_.special_tokens.size(), kMaxTokens);
  TW_CHECK(options_.rule != SplitRule::each_space, config, "the rule {} is for SentencePiece models, not for training",
           rule_name(options_.rule));
  TW_CHECK(options_.min_frequency >= 1, config, "min_frequency = {} is less than 1", options_.min_frequency);
  std::set<std::string_view> seen;
  for (const std::string& token : options_.special_tokens)
    TW_CHECK(token.size() > 1 && token.size() <= kMaxTokenBytes && is_utf8(token) && seen.insert(token).second, config,
             "special token \"{}\" is given twice, or is no text of 2 to {} bytes of UTF-8", token, kMaxTokenBytes);
  counts_ = std::make_unique<Counts>(options_.threads);
}

BpeTrainer::~BpeTrainer() = default;

int64_t BpeTrainer::bytes() const noexcept { return counts_->bytes; }

size_t BpeTrainer::pieces() const noexcept {
  size_t n = 0;
  for (const PieceCounts& counts : counts_->of_thread) n += counts.size();
  return n;
}

void BpeTrainer::add(std::string_view text) {
  counts_->bytes += int64_t(text.size());
  std::vector<size_t> starts = {0};
  if (options_.rule != SplitRule::none)
    while (starts.back() + kBlock < text.size()) starts.push_back(next_certain_start(text, starts.back() + kBlock));
  if (starts.back() != text.size()) starts.push_back(text.size());
  counts_->team.run(int64_t(starts.size()) - 1, [&](int64_t block, int thread) {
    PieceCounts& counts = counts_->of_thread[size_t(thread)];
    for_each_piece(options_.rule, text, starts[size_t(block)], starts[size_t(block) + 1], [&](size_t begin, size_t end) {
      // As the encoder does, which never sees a longer piece.
      for (; end - begin > PieceEncoder::kMaxPiece; begin += PieceEncoder::kMaxPiece)
        counts.add(text.substr(begin, PieceEncoder::kMaxPiece));
      counts.add(text.substr(begin, end - begin));
    });
  });
}

TokenizerSpec BpeTrainer::train() {
  PieceCounts& all = counts_->of_thread[0];
  for (size_t t = 1; t < counts_->of_thread.size(); ++t) {
    counts_->of_thread[t].for_each([&](std::string_view piece, int64_t count) { all.add(piece, count); });
    counts_->of_thread[t] = {};
  }
  TokenizerSpec spec;
  spec.rule = options_.rule;
  for (const std::string& token : options_.special_tokens) {
    spec.added.push_back({spec.size(), token});
    if (spec.eos < 0 || token == "<|endoftext|>") spec.bos = spec.eos = spec.size();
    spec.tokens.push_back(token);
    spec.kinds.push_back(TokenizerSpec::Kind::special);
  }
  for (const uint8_t b : alphabet_order()) {
    spec.tokens.emplace_back(1, char(b));
    spec.kinds.push_back(TokenizerSpec::Kind::normal);
  }
  Merger merger(options_, spec);
  merger.reserve(all.size(), all.bytes());
  all.for_each([&](std::string_view piece, int64_t count) { merger.add_word(piece, count); });
  all = {};
  counts_->bytes = 0;
  merger.run();
  return spec;
}

}  // namespace tw
