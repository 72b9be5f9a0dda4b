// The codecs beside a tokenizer: what turns a row of ids of a model into texts, pictures, molecules.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "src/codec/codec.h"
#include "src/codec/id_space.h"

namespace tw {

class CodecSet {
 public:
  // Reads the codebooks in `folder` that `tokenizer` has ids of. Error(data) for one with another hash, Error(no_input) for one that is
  // not there.
  CodecSet(const TextTokenizer& tokenizer, const std::filesystem::path& folder);
  const IdSpace& ids() const noexcept { return ids_; }
  const Codec& of(const CodecRange& range) const;  // Error(bug) for a range of another tokenizer
  // By the kind's name or the extension of its artefacts: "molecule", "smi"; nullptr = the model knows none.
  const CodecRange* range_named(std::string_view name) const;

 private:
  IdSpace ids_;
  std::vector<std::unique_ptr<Codec>> codecs_;  // by range
};

}  // namespace tw
