// A file of a codec's kind as a row of ids of the model.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "src/codec/id_space.h"

namespace tw {

struct CodedFile {
  int64_t documents = 0, tokens = 0;  // captions, markers and eod included
  std::string note;                   // what of it was left out
};

struct CodedRow {
  int32_t eod = -1;                                                // behind each document; -1 = none
  std::string caption;                                             // of documents that bring none themselves
  std::function<std::vector<int32_t>(std::string_view)> words;     // a caption as ids of text
  std::function<bool(uint64_t)> keep;                              // which documents are wanted, by the hash of their ids without caption; {} = all
};

// Each document is the ids of its caption, its begin marker, its ids, its end marker and `eod`. Rows go to `take` in blocks of about 64 Ki ids,
// whatever the length of the file. What Codec::encode throws.
CodedFile encode_file(const Codec& codec, const CodecRange& range, const CodecInput& file, const CodedRow& row,
                      const std::function<void(const std::vector<int32_t>&)>& take);

}  // namespace tw
