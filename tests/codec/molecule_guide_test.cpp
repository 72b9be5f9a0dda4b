// What may follow what in a molecule that is being made.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "src/codec/molecule/molecule_codec.h"
#include "src/codec/molecule/smiles.h"
#include "src/core/rng.h"
#include "tests/codec/codec_fixture.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

class Guides : public CodecFiles {
 protected:
  std::unique_ptr<Codec> trained(const std::string& content) const {
    const fs::path path = file("train.smi", content);
    return kMoleculeCodec.train({&path, 1}, {});
  }
  // The first token that may not stand where it does, "" = all may; "end" where it may not end.
  static std::string refused(const Codec& codec, const std::string& smiles) {
    const auto guide = codec.guide();
    std::vector<uint8_t> allowed(size_t(codec.vocab_size()));
    std::map<std::string, int32_t> ids;
    for (int32_t id = 0; id < codec.vocab_size(); ++id) {
      const std::string token = codec.decode(std::vector<int32_t>{id});
      ids[token.substr(0, token.size() - 1)] = id;
    }
    for (size_t at = 0; at < smiles.size();) {
      const std::string token = smiles.substr(at, smiles_token(std::string_view(smiles).substr(at)));
      guide->allowed(allowed);
      if (!allowed[size_t(ids.at(token))]) return token + fmt::format(" at {}", at);
      guide->add(ids.at(token));
      at += token.size();
    }
    return guide->allowed(allowed) ? "" : "end";
  }
};

constexpr const char* kTokens = "C1CC1(=O)\nC#N.Cl\nc1cc[nH]c1-c2ccncc2\nC/C=C\\F\nC[N+](C)(C)[O-]\nCS(=O)(=O)C\n[C@@H](O)(N)CBr\ns1cccc1P\nC%12CC%12\no1cccc1\nC[as]1cccc1\n";

TEST_F(Guides, AllowWhatIsRightAndNothingElse) {
  const auto codec = trained(kTokens);
  for (const char* good : {"C", "CC(C)(C)C", "C#N", "N#CC", "C[N+](C)(C)C", "CS(=O)(=O)C", "c1ccccc1", "O=c1cc[nH]c1", "C1CC1C1CC1", "C12CC1C2", "C=1CCC=1", "C=1CCC1", "C1CCC=1", "CC.Cl", "C/C=C\\C", "c1ccc2ccccc2c1", "n1(C)cccc1", "C[as]1cccc1"})
    EXPECT_EQ(refused(*codec, good), "") << good;
  const std::map<std::string, std::string> bad = {{"C(C)(C)(C)(C)C", "C at 13"}, {"FC=F", "F at 3"}, {"F=C", "= at 1"}, {"C#C#C", "# at 3"}, {"CC)", ") at 2"}, {"C()", ") at 2"}, {"C((", "( at 2"}, {"C=.", ". at 2"},
                                                {"=C", "= at 0"}, {"1", "1 at 0"}, {"C11", "1 at 2"}, {"C1C1", "1 at 3"}, {"C1CC=F", "F at 5"}, {"C1CF", "F at 3"}, {"C=1CCC#1", "1 at 7"}, {"C(C", "end"}, {"C1CC", "end"},
                                                {"C=", "end"}, {"C.", "end"}, {"", "end"}, {"c1(C)(C)cccc1", ") at 7"}, {"O1(C)CC1", ") at 4"}, {"o1(C)cccc1", ") at 4"}, {"O1(CC1)", ""}, {"ClC", ""}, {"C1CC1C12CC1C2", ""}};
  for (const auto& [smiles, where] : bad) EXPECT_EQ(refused(*codec, smiles), where) << smiles;
  EXPECT_EQ(trained("N\nO\n")->guide(), nullptr) << "without carbon nothing is promised";
}

TEST_F(Guides, ChanceWithinThemMakesMolecules) {
  const auto codec = trained(kTokens);
  const Rng rng{7, RngStream::test, 0x5311};
  std::vector<uint8_t> allowed(size_t(codec->vocab_size()));
  SmilesReader reader;
  std::map<std::string, int> faults;
  uint64_t drawn = 0;
  for (int molecule = 0; molecule < 3000; ++molecule) {
    const auto guide = codec->guide();
    std::string smiles;
    std::set<std::string> open;  // rings
    for (int length = 0;; ++length) {
      ASSERT_LT(length, 500) << smiles;
      const bool ends = guide->allowed(allowed);
      // After a while what was begun is brought to its end.
      std::vector<int32_t> choice, towards;
      for (int32_t id = 0; id < codec->vocab_size(); ++id) {
        if (!allowed[size_t(id)]) continue;
        const std::string line = codec->decode(std::vector<int32_t>{id}), token = line.substr(0, line.size() - 1);
        choice.push_back(id);
        if (token == "C" || token == ")" || open.contains(token)) towards.push_back(id);
      }
      if (length > 30 && !towards.empty()) choice = towards;
      if (ends && (length > 30 || choice.empty())) break;
      ASSERT_FALSE(choice.empty()) << smiles << ": a dead end";
      const int32_t id = choice[rng.bits64(drawn++) % choice.size()];
      guide->add(id);
      const std::string line = codec->decode(std::vector<int32_t>{id}), token = line.substr(0, line.size() - 1);
      if ((token[0] >= '0' && token[0] <= '9') || token[0] == '%')
        if (!open.erase(token)) open.insert(token);
      smiles += token;
    }
    ++faults[std::string(reader.read(smiles))];
  }
  // Chance makes no sense of aromatic atoms; all else is right.
  int others = 0;
  for (const auto& [fault, count] : faults)
    if (!fault.empty() && fault.find("aromatic") == fault.npos) others += count, std::printf("%d x %s\n", count, fault.c_str());
  EXPECT_EQ(others, 0);
  EXPECT_GT(faults[""], 30);
}

TEST_F(Guides, RealMoleculesAreWithinThem) {
  const auto data = test_data("smiles/moses-train-20k.smi");
  if (!data) GTEST_SKIP() << "the shared test data is not there";
  const std::string all = read_file(*data, 8 << 20);
  const auto codec = trained(all);
  std::istringstream lines(all);
  std::string smiles, why;
  int64_t known = 0, outside = 0;
  SmilesReader reader;
  while (std::getline(lines, smiles) && known < 5000) {
    if (smiles == "SMILES" || !reader.read(smiles).empty()) continue;
    ++known;
    if (const std::string where = refused(*codec, smiles); !where.empty()) ++outside, why = smiles + ": " + where;
  }
  EXPECT_GT(known, 4000);
  EXPECT_EQ(outside, 0) << why;
}

}  // namespace
}  // namespace tw
