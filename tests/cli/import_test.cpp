// Token ids of others: HDF5 of a kind that is not ours becomes a token file, or a sentence.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"
#include "tests/hdf5/foreign_files.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Import : public Cli {
 protected:
  std::string foreign(const h5::ForeignKind& kind, const std::vector<int64_t>& ids) const {
    h5::write_foreign(path("foreign.h5"), kind, ids);
    return path("foreign.h5");
  }
};

TEST_F(Import, IdsOfAnyHdf5BecomeATokenFile) {
  std::vector<int64_t> ids;
  for (int i = 0; i < 2000; ++i) ids.push_back(i % 50 == 49 ? 60 : i % 60);
  for (const h5::ForeignKind& kind : h5::foreign_kinds()) {
    const Ended e = tokenwerk({"import", foreign(kind, ids), "--vocab-size", "61", "--eod", "60", "--out", path("ours.h5"), "--json"});
    ASSERT_EQ(e.code, 0) << e.err;
    const auto said = nlohmann::json::parse(e.out);
    EXPECT_EQ(said["tokens"], 2000);
    EXPECT_EQ(said["documents"], 40);
    const Ended seen = tokenwerk({"verify", path("ours.h5"), "--json"});
    ASSERT_EQ(seen.code, 0) << seen.err;
    EXPECT_EQ(nlohmann::json::parse(seen.out)["vocab_size"], 61);
    EXPECT_EQ(nlohmann::json::parse(seen.out)["documents"], 40);
    fs::remove(path("ours.h5"));
  }
  ASSERT_EQ(tokenwerk({"import", foreign({}, ids), "--vocab-size", "61", "--out", path("ours.h5")}).code, 0);
  const Ended trained = tokenwerk(Words{"train", "--out", path("run"), "--data.train", path("ours.h5")} + tiny(2));
  EXPECT_EQ(trained.code, 0) << trained.err;
}

TEST_F(Import, NothingIsLeftOfWhatCannotBe) {
  const auto refused = [&](Words words, int code, const char* text) {
    const Ended e = tokenwerk(Words{"import", path("foreign.h5"), "--out", path("ours.h5")} + words);
    EXPECT_EQ(e.code, code) << e.err;
    EXPECT_THAT(e.err, HasSubstr(text));
    EXPECT_FALSE(fs::exists(path("ours.h5")));
  };
  refused({"--vocab-size", "10"}, 66, "foreign.h5");
  foreign({}, {1, 2, 3, 60});
  refused({}, 64, "--vocab-size");
  refused({"--vocab-size", "60"}, 65, "token 60 at position 3");
  refused({"--vocab-size", "61", "--dataset", "nothing"}, 65, "no dataset \"nothing\"");
  refused({"--vocab-size", "61", "--eod", "61"}, 64, "--eod 61");
  write("foreign.h5", "\x89HDF\r\n\x1a\n and then nothing of the kind");
  refused({"--vocab-size", "61"}, 65, "cannot be opened by the HDF5 library");
  for (const auto& entry : fs::directory_iterator(fs::path(path("ours.h5")).parent_path())) EXPECT_THAT(entry.path().string(), Not(HasSubstr("ours"))) << "left behind";
}

}  // namespace
}  // namespace tw
