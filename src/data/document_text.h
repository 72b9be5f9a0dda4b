// The text of one scanned file, and where a long text may be cut so that its parts can be tokenised one by one.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "src/data/scan.h"

namespace tw {

class TextTokenizer;

// Gives the text of `file` (of the inventory's folder) piece by piece, whole characters each, and says where one of
// its documents ends and another follows. What is of a kind of `mask` is replaced (personal_data.h). False if its bytes
// are not those that were scanned. Error(no_input) where it cannot be read, Error(data) where it has no text any more.
// `embed` is asked (here = false) whether it takes the file that a link leads to (a path within the folder); then what the link says is given as text, and
// it is told that the file stands here. Else the link is text as it is written.
// `turn` is told whose turn of a conversation begins; without it turns are divided by an empty line.
bool read_document(const std::filesystem::path& folder, const ScannedFile& file, const PersonalMask& mask,
                   const std::function<void(std::string_view)>& take, const std::function<void()>& document_end = [] {},
                   const std::function<void(std::string_view role)>& turn = {},
                   const std::function<bool(const std::string& path, bool here)>& embed = {});

// Where the ids of two parts are those of the whole. A letter or digit ends its piece under every rule but `none` and
// `each_space` if something else follows, and no rule looks back. (Behind white space it would not do: how much of it
// is one piece depends on what follows.)
enum class Cuts {
  none,          // nowhere for certain
  before_space,  // between a letter or digit and white space
  words          // between a letter or digit and what is none of its kind
};
Cuts cuts_of(const TextTokenizer& tokenizer);

// Cuts a text that comes in pieces. Where the parts end depends on the text alone, not on its pieces.
class TextParts {
 public:
  static constexpr size_t kPart = size_t(1) << 20, kLongest = size_t(64) << 20;
  // Parts end at the first cut at or after `part` bytes, or at `longest` where there is none: Cuts::none goes there at
  // once.
  explicit TextParts(Cuts cuts, size_t part = kPart, size_t longest = kLongest);
  void add(std::string_view piece);  // ends the views that next() gave
  // The next part; false where more text is needed, or with `last` at the end.
  bool next(std::string_view& part, bool last);
  size_t waiting() const noexcept { return text_.size() - begin_; }  // bytes not given yet

 private:
  size_t find_cut(std::string_view text, size_t limit);
  Cuts cuts_;
  size_t part_, longest_;
  std::string text_;
  size_t begin_ = 0;   // of the next part
  size_t looked_ = 0;  // behind begin_: no cut lies at or before this character
};

}  // namespace tw
