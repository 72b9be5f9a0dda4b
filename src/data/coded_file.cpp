#include "src/data/coded_file.h"

#include "src/core/error.h"
#include "src/core/hash.h"

namespace tw {
namespace {

constexpr size_t kBlock = size_t(1) << 16;

class Row final : public CodecSink {
 public:
  Row(const CodecRange& range, int32_t eod, const std::function<void(const std::vector<int32_t>&)>& take, const std::function<bool(uint64_t)>& keep)
      : range_(range), eod_(eod), take_(take), keep_(keep), block_{range.begin} {}
  void ids(std::span<const int32_t> some) override {
    for (const int32_t id : some) {
      TW_CHECK(id >= 0 && id < range_.size, bug, "codec {} made id {} of {}", range_.name, id, range_.size);
      block_.push_back(range_.first + id);
    }
    if (block_.size() >= kBlock && !keep_) give();
  }
  void end_document() override {
    end();
    begun_ = block_.size();
    block_.push_back(range_.begin);
  }
  void note(std::string text) override { file.note += (file.note.empty() ? "" : "; ") + text; }
  void finish() { end(), give(); }

  CodedFile file;

 private:
  void end() {
    if (keep_ && !keep_(xxh3(block_.data() + begun_, (block_.size() - begun_) * sizeof(int32_t)))) return block_.resize(begun_);
    block_.push_back(range_.end);
    if (eod_ >= 0) block_.push_back(eod_);
    ++file.documents;
    if (block_.size() >= kBlock) give();
  }
  void give() {
    file.tokens += int64_t(block_.size());
    if (!block_.empty()) take_(block_);
    block_.clear();
  }
  const CodecRange& range_;
  int32_t eod_;
  const std::function<void(const std::vector<int32_t>&)>& take_;
  const std::function<bool(uint64_t)>& keep_;
  std::vector<int32_t> block_;
  size_t begun_ = 0;  // of the document in block_, where documents are chosen
};

}  // namespace

CodedFile encode_file(const Codec& codec, const CodecRange& range, int32_t eod, std::string_view bytes,
                      const std::function<void(const std::vector<int32_t>&)>& take, const std::function<bool(uint64_t)>& keep) {
  TW_CHECK(codec.vocab_size() == range.size, bug, "codec {} has {} ids, the model {}", range.name, codec.vocab_size(), range.size);
  Row row(range, eod, take, keep);
  codec.encode(bytes, row);
  row.finish();
  return row.file;
}

}  // namespace tw
