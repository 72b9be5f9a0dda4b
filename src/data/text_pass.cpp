#include "src/data/text_pass.h"

#include <algorithm>

#include "src/core/error.h"
#include "src/data/formats/encoding.h"

namespace tw {
namespace {

constexpr int64_t kGroupBytes = int64_t(16) << 20;  // files that are encoded side by side, in all
constexpr size_t kRound = 16 * TextParts::kPart;    // text of a long file that is encoded at a time

// Text of one slot and the places where documents end and turns begin in it.
struct Passage {
  struct Mark {
    size_t at;
    std::string role;                    // whose turn begins; "" = a document ends
    const ScannedFile* file = nullptr;   // or one stands here
  };
  std::string text;
  std::vector<Mark> marks;
  std::string within;  // whose turn the passage begins in
  void end_document() { marks.push_back({text.size(), ""}); }
  void turn(std::string_view role) { marks.push_back({text.size(), std::string(role)}); }
  void embed(const ScannedFile* file) { marks.push_back({text.size(), "", file}); }
  // Whose turn it ends in.
  std::string open() const {
    const auto last = std::find_if(marks.rbegin(), marks.rend(), [](const Mark& mark) { return !mark.file; });
    return last == marks.rend() ? within : last->role;
  }
  void give(size_t slot, const TextWork& work) const {
    size_t begin = 0;
    if (!within.empty() && work.turn) work.turn(slot, within, true);
    for (const Mark& mark : marks) {
      if (mark.at > begin) work.part(slot, std::string_view(text).substr(begin, mark.at - begin));
      if (mark.file && work.embed) work.embed(slot, *mark.file);
      else if (mark.file) {
      } else if (mark.role.empty()) work.document_end(slot);
      else if (work.turn) work.turn(slot, mark.role, false);
      begin = mark.at;
    }
    if (begin < text.size()) work.part(slot, std::string_view(text).substr(begin));
  }
};

}  // namespace

void TextPass::read(std::span<const ScannedFile* const> files, Cuts cuts, const TextWork& work) {
  files_ = bytes_ = 0;
  for (size_t i = 0; i < files.size();) {
    const auto begin = bytes_;
    size_t end = i;
    if (files[i]->bytes > kLong) {
      read_long(*files[end++], cuts, work);
      bytes_ = begin + files[i]->bytes;
    } else {
      while (end < files.size() && end - i < kSlots && files[end]->bytes <= kLong && bytes_ < begin + kGroupBytes)
        bytes_ += files[end++]->bytes;
      read_group(files.subspan(i, end - i), work);
    }
    files_ += int64_t(end - i);
    i = end;
    options_.progress(files_, bytes_);
  }
}

void TextPass::read_group(std::span<const ScannedFile* const> group, const TextWork& work) {
  std::vector<std::string> reasons(group.size());  // to leave a file out
  std::vector<int64_t> bytes(group.size());
  team_.run(int64_t(group.size()), [&](int64_t item, int) {
    const auto i = size_t(item);
    if (left_out_.contains(group[i])) return;
    Passage passage;
    try {
      const bool same = read_document(
          inventory_.folder, *group[i], mask_, [&](std::string_view piece) { passage.text += piece; }, [&] { passage.end_document(); },
          [&](std::string_view role) { passage.turn(role); },
          [&](const std::string& path, bool here) {
            const ScannedFile* file = options_.part_of(*group[i], path);
            if (file && here) passage.embed(file);
            return file != nullptr;
          });
      if (!same) reasons[i] = kChangedSinceScan;
    } catch (const Error& e) {
      if (e.code() != ExitCode::no_input && e.code() != ExitCode::data) throw;
      reasons[i] = e.what();
    }
    bytes[i] = int64_t(passage.text.size());
    if (reasons[i].empty()) passage.give(i, work);
  });
  for (size_t i = 0; i < group.size(); ++i) {
    if (!reasons[i].empty()) left_out_.add(*group[i], reasons[i]);
    if (left_out_.contains(group[i])) continue;
    work.collect(i);
    work.end(*group[i], bytes[i]);
  }
}

void TextPass::read_long(const ScannedFile& file, Cuts cuts, const TextWork& work) {
  if (left_out_.contains(&file)) return;
  try {  // tokens that are written stay written: so the content is checked first
    if (inspect_bytes(inventory_.folder / file.path).sha256 != file.sha256) return left_out_.add(file, kChangedSinceScan);
  } catch (const Error& e) {
    return left_out_.add(file, e.what());
  }
  TextParts parts(cuts);
  std::vector<Passage> round(1);  // the last one is open: short documents share it, a part of a long one closes it
  size_t wanted = 2 * TextParts::kPart, taken = 0;
  int64_t bytes = 0;
  const int64_t begin = bytes_;
  const auto encode_round = [&] {
    team_.run(int64_t(round.size()), [&](int64_t i, int) { round[size_t(i)].give(size_t(i), work); });
    for (size_t i = 0; i < round.size(); ++i) work.collect(i);
    const std::string within = round.back().open();
    round.assign(1, {});
    round.back().within = within;
    taken = 0;
    bytes_ = begin + std::min(bytes, file.bytes);
    options_.progress(files_, bytes_);
  };
  const auto take = [&](bool last) {
    for (std::string_view part; parts.next(part, last);) {
      round.back().text += part;
      bytes += int64_t(part.size()), taken += part.size();
      if (round.back().text.size() >= TextParts::kPart) {
        const std::string within = round.back().open();
        round.emplace_back().within = within;
      }
    }
    wanted = parts.waiting() + 2 * TextParts::kPart;
  };
  const bool same = read_document(
      inventory_.folder, file, mask_,
      [&](std::string_view piece) {
        parts.add(piece);
        if (parts.waiting() < wanted) return;
        take(false);
        if (taken >= kRound) encode_round();
      },
      [&] {
        take(true);
        round.back().end_document();
        if (taken >= kRound) encode_round();
      },
      [&](std::string_view role) {
        take(true);
        round.back().turn(role);
        if (taken >= kRound) encode_round();
      },
      [&](const std::string& path, bool here) {
        const ScannedFile* part = options_.part_of(file, path);
        if (part && here) take(true), round.back().embed(part);
        return part != nullptr;
      });
  TW_CHECK(same, data, "{} changed while it was read: scan the folder again", (inventory_.folder / file.path).string());
  take(true);
  encode_round();
  work.end(file, bytes);
}

}  // namespace tw
