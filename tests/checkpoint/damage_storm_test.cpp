// Random damage to a committed checkpoint: each is found, named with file, block and tensor, and the checkpoint before is taken.
// TW_LONG=1: 100,000 of them; else some hundred.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "src/checkpoint/manifest.h"
#include "src/checkpoint/names.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "tests/checkpoint/fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

constexpr int64_t kLarge = 150007, kSmall = 501;  // elements of the largest tensor: more than one block a shard; a quick fallback

// What the loader says goes to memory, not to the terminal.
class Ears {
 public:
  Ears() : memory_(::memfd_create("said", 0)), kept_(::dup(2)) { ::dup2(memory_, 2); }
  ~Ears() { ::dup2(kept_, 2), ::close(kept_), ::close(memory_); }
  std::string take() {
    const off_t size = ::lseek(memory_, 0, SEEK_END);
    std::string text(size_t(std::max<off_t>(0, size)), '\0');
    if (!text.empty() && ::pread(memory_, text.data(), text.size(), 0) != ssize_t(text.size())) text.clear();
    if (::ftruncate(memory_, 0) != 0 || ::lseek(memory_, 0, SEEK_SET) != 0) text.clear();
    return text;
  }

 private:
  int memory_, kept_;
};

// What a file holds after the damage, and how it is called.
struct Damaged {
  std::string kind, file;
  bool gone = false;
  std::string content;
};

class Storm : public testing::Test {
 protected:
  Storm() {
    save_toy(folder_.path(), 1, 2, Layout::even, 3, 0, kSmall);
    newest_ = save_toy(folder_.path(), 2, 2, Layout::even, 3, 0, kLarge);
    other_ = save_toy(elsewhere_.path(), 9, 2, Layout::even, 3, 0, kLarge);
    manifest_ = read_manifest(newest_);
    for (const std::string& name : names_in(newest_))
      if (name != kModelViewName) original_[name] = read_file(newest_ / name);
  }

  Damaged damage(std::mt19937_64& random) const {
    const auto below = [&](size_t n) { return size_t(random() % n); };
    auto it = original_.begin();
    // MANIFEST in one of ten.
    std::advance(it, below(10) == 0 ? 0 : 1 + below(original_.size() - 1));
    Damaged d{"", it->first, false, it->second};
    std::string& c = d.content;
    const auto flip = [&] { c[below(c.size())] ^= char(1 << below(8)); };
    const size_t page = 4096, pages = (c.size() + page - 1) / page;
    switch (below(10)) {
      case 0: case 1: case 2:
        d.kind = "a flipped bit", flip();
        break;
      case 3:
        d.kind = "several flipped bits";
        for (size_t n = 2 + below(5); n > 0; --n) flip();
        break;
      case 4:
        d.kind = "a cut", c.resize(below(c.size()));
        break;
      case 5: {
        d.kind = "a page of zeros";
        const size_t at = below(pages) * page;
        std::fill(c.begin() + ptrdiff_t(at), c.begin() + ptrdiff_t(std::min(at + page, c.size())), '\0');
        break;
      }
      case 6: {
        d.kind = "two pages that changed places";
        if (pages < 3) break;
        const size_t a = below(pages - 1) * page, b = below(pages - 1) * page;
        std::swap_ranges(c.begin() + ptrdiff_t(a), c.begin() + ptrdiff_t(a + page), c.begin() + ptrdiff_t(b));
        break;
      }
      case 7: {
        d.kind = "a stretch of garbage";
        const size_t at = below(c.size()), n = std::min(c.size() - at, 1 + below(65536));
        for (size_t i = 0; i < n; ++i) c[at + i] = char(random());
        break;
      }
      case 8:
        d.kind = "the file of another checkpoint", c = read_file(other_ / d.file);
        break;
      default:
        if (below(2)) d.kind = "a lost file", d.gone = true;
        else d.kind = "a longer file", c.append(1 + below(10000), char(random()));
    }
    return d;
  }

  // "" where the loader and verify do what they promise, else what is wrong.
  std::string judge(const Damaged& d, Ears& ears) const {
    const std::string& before = original_.at(d.file);
    int64_t step = 0;
    try {
      step = Checkpoint::open(folder_.path()).info().step;
    } catch (const Error& e) {
      return std::string("nothing was opened: ") + e.what();
    }
    const std::string said = ears.take();
    if (step != 1) return "it was opened as if it were whole";
    const auto names = [&](const std::string& text) { return said.find(text) != std::string::npos; };
    if (!names(newest_.filename().string())) return "the checkpoint is not named: " + said;
    if (d.file == kManifestName) {
      // That of another checkpoint is whole: it is the shards that do not fit it.
      const std::string wanted = d.kind == "the file of another checkpoint" ? manifest_.shards[0].file : std::string(kManifestName);
      return names(wanted) ? "" : "MANIFEST is not named: " + said;
    }
    if (!names(d.file)) return "the file is not named: " + said;
    if (d.gone) return names("cannot be read") ? "" : "it is not said to be lost: " + said;
    if (d.content.size() != before.size())
      return names(fmt::format("{} bytes instead of {}", d.content.size(), before.size())) ? "" : "the sizes are not told: " + said;
    // The first byte that differs: its block, and the tensor there.
    const size_t at = size_t(std::mismatch(before.begin(), before.end(), d.content.begin()).first - before.begin());
    const std::string block = fmt::format("{}: block {} (", d.file, int64_t(at) / kBlockBytes);
    const size_t begin = said.find(block);
    if (begin == std::string::npos) return fmt::format("block {} is not named: {}", int64_t(at) / kBlockBytes, said);
    const std::string sentence = said.substr(begin, said.find("; shard-", begin) - begin);
    for (const StoredFile& shard : manifest_.shards)
      for (const StoredPiece& p : shard.pieces)
        if (shard.file == d.file && p.offset <= int64_t(at) && int64_t(at) < p.offset + p.bytes() &&
            sentence.find(fmt::format("tensor {} ({})", p.name, p.slot)) == std::string::npos)
          return fmt::format("tensor {} ({}) is not named: {}", p.name, p.slot, sentence);
    return "";
  }

  void put(const std::string& file, const std::string& content) const {
    const FileDescriptor fd = open_to_write(newest_ / file);
    write_exactly(fd.get(), content.data(), content.size(), 0, newest_ / file);
  }
  std::string apply_and_judge(const Damaged& d, Ears& ears) const {
    if (d.gone) fs::remove(newest_ / d.file);
    else put(d.file, d.content);
    const std::string wrong = judge(d, ears);
    put(d.file, original_.at(d.file));
    return wrong;
  }

  TemporaryFolder folder_, elsewhere_;
  fs::path newest_, other_;
  Manifest manifest_;
  std::map<std::string, std::string> original_;
};

TEST_F(Storm, EveryDamageIsFoundAndNamed) {
  const char* text = std::getenv("TW_LONG");
  const int wanted = text && *text && std::string(text) != "0" ? 100000 : 600;
  std::mt19937_64 random(20261126);
  std::map<std::string, int> kinds;
  std::string wrong;
  int done = 0, failed = 0;
  {
    Ears ears;
    while (done < wanted && failed < 10) {
      const Damaged d = damage(random);
      if (d.kind.empty() || (!d.gone && d.content == original_.at(d.file))) continue;  // zeros on zeros are none
      ++kinds[d.kind], ++done;
      if (const std::string complaint = apply_and_judge(d, ears); !complaint.empty())
        wrong += fmt::format("damage {}, {} in {}: {}\n", done, d.kind, d.file, complaint), ++failed;
    }
    EXPECT_EQ(Checkpoint::open(folder_.path()).info().step, 2) << "all is put back";
    ears.take();
  }
  EXPECT_EQ(failed, 0) << wrong;
  EXPECT_EQ(kinds.size(), 9u);
  std::string table;
  for (const auto& [kind, n] : kinds) table += fmt::format("{} {}", table.empty() ? "" : ",", n) + " x " + kind;
  std::printf("%d damages, %d not found or not named:%s\n", done, failed, table.c_str());
}

// The judge has teeth: what is not found, or named wrongly, is told.
TEST_F(Storm, TheJudgeSeesWhatIsMissed) {
  Ears ears;
  Damaged d{"a flipped bit", manifest_.shards[0].file, false, original_.at(manifest_.shards[0].file)};
  const StoredPiece& first = manifest_.shards[0].pieces.front();
  const StoredPiece& last = manifest_.shards[0].pieces.back();
  ASSERT_NE(first.name + first.slot, last.name + last.slot);
  d.content[size_t(first.offset)] ^= 1;
  EXPECT_EQ(apply_and_judge(d, ears), "");
  // The damage lies elsewhere than the judge is told.
  put(d.file, d.content);
  Damaged elsewhere = d;
  elsewhere.content = original_.at(d.file);
  elsewhere.content[size_t(last.offset)] ^= 1;
  EXPECT_NE(judge(elsewhere, ears), "");
  put(d.file, original_.at(d.file));
  // Sums that were made to match.
  Manifest forged = manifest_;
  StoredFile& shard = forged.shards[0];
  for (size_t b = 0; b < shard.blocks.size(); ++b) {
    const size_t at = b * size_t(kBlockBytes);
    shard.blocks[b] = crc32c(d.content.data() + at, std::min(size_t(kBlockBytes), d.content.size() - at));
  }
  for (StoredPiece& p : shard.pieces) p.xxh3 = xxh3(d.content.data() + p.offset, size_t(p.bytes()));
  put(std::string(kManifestName), to_text(forged));
  EXPECT_EQ(apply_and_judge(d, ears), "it was opened as if it were whole");
  put(std::string(kManifestName), original_.at(std::string(kManifestName)));
}

}  // namespace
}  // namespace tw
