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
  int64_t documents = 0, tokens = 0;  // markers and eod included
  std::string note;                   // what of it was left out
};

// Each document is its begin marker, its ids, its end marker and `eod` (-1 = none). Rows go to `take` in blocks of about 64 Ki ids,
// whatever the length of the file. What Codec::encode throws.
// keep: which documents are wanted, by the hash of their ids; {} = all.
CodedFile encode_file(const Codec& codec, const CodecRange& range, int32_t eod, std::string_view bytes,
                      const std::function<void(const std::vector<int32_t>&)>& take, const std::function<bool(uint64_t)>& keep = {});

}  // namespace tw
