#include "src/data/coded_file.h"

#include "src/core/error.h"
#include "src/core/hash.h"

namespace tw {
namespace {

constexpr size_t kBlock = size_t(1) << 16;

class Row final : public CodecSink {
 public:
  Row(const CodecRange& range, const CodedRow& options, const std::function<void(const std::vector<int32_t>&)>& take)
      : range_(range), options_(options), take_(take), caption_(options.caption) {}
  void caption(std::string text) override {
    TW_CHECK(!open_, bug, "a caption behind the first id of a document of {}", range_.name);
    caption_ = std::move(text);
  }
  void ids(std::span<const int32_t> some) override {
    open();
    for (const int32_t id : some) {
      TW_CHECK(id >= 0 && id < range_.size, bug, "codec {} made id {} of {}", range_.name, id, range_.size);
      block_.push_back(range_.first + id);
    }
    if (block_.size() >= kBlock && !options_.keep) give();
  }
  void end_document() override { open(), end(); }
  void variant() override { variant_ = true; }
  void note(std::string text) override { file.note += (file.note.empty() ? "" : "; ") + text; }
  void finish() { open(), end(), give(); }

  CodedFile file;

 private:
  void open() {
    if (open_) return;
    open_ = true;
    begun_ = block_.size();
    if (!caption_.empty() && options_.words) {
      const std::vector<int32_t> words = options_.words(caption_);
      block_.insert(block_.end(), words.begin(), words.end());
    }
    marker_ = block_.size();
    block_.push_back(range_.begin);
  }
  void end() {
    open_ = false;
    caption_ = options_.caption;
    if (options_.keep && !variant_) kept_ = options_.keep(xxh3(block_.data() + marker_, (block_.size() - marker_) * sizeof(int32_t)));
    variant_ = false;
    if (!kept_) return block_.resize(begun_);
    block_.push_back(range_.end);
    if (options_.eod >= 0) block_.push_back(options_.eod);
    ++file.documents;
    if (block_.size() >= kBlock) give();
  }
  void give() {
    file.tokens += int64_t(block_.size());
    if (!block_.empty()) take_(block_);
    block_.clear();
  }
  const CodecRange& range_;
  const CodedRow& options_;
  const std::function<void(const std::vector<int32_t>&)>& take_;
  std::string caption_;
  std::vector<int32_t> block_;
  size_t begun_ = 0, marker_ = 0;  // of the document in block_, where documents are chosen
  bool open_ = false, variant_ = false;
  bool kept_ = true;  // the document before
};

}  // namespace

CodedFile encode_file(const Codec& codec, const CodecRange& range, const CodecInput& file, const CodedRow& row,
                      const std::function<void(const std::vector<int32_t>&)>& take) {
  TW_CHECK(codec.vocab_size() == range.size, bug, "codec {} has {} ids, the model {}", range.name, codec.vocab_size(), range.size);
  Row out(range, row, take);
  codec.encode(file, out);
  out.finish();
  return out.file;
}

}  // namespace tw
