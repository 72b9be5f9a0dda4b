#include <gmock/gmock.h>

#include <numeric>

#include "src/codec/molecule/molecule_codec.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/codec/codec_fixture.h"
#include "tests/support/process.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

class Molecules : public CodecFiles {
 protected:
  std::unique_ptr<Codec> trained(const std::string& content) const {
    const fs::path path = file("train.smi", content);
    return kMoleculeCodec.train({&path, 1}, {});
  }
};

constexpr const char* kSome = "SMILES\nCC(=O)Oc1ccccc1C(=O)O aspirin\nCn1cnc2c1c(=O)n(C)c(=O)n2C\tcaffeine\r\n\nC[C@@H](N)C(=O)O\nClCCBr\n";

TEST_F(Molecules, EachComesBackAsItWas) {
  const auto codec = trained(kSome);
  const Encoded e(*codec, kSome);
  ASSERT_EQ(e.documents.size(), 4u);
  EXPECT_EQ(codec->decode(e.documents[0]), "CC(=O)Oc1ccccc1C(=O)O\n");
  EXPECT_EQ(codec->decode(e.documents[2]), "C[C@@H](N)C(=O)O\n");
  EXPECT_EQ(e.documents[3].size(), 4u);  // Cl C C Br
  EXPECT_TRUE(e.notes.empty());
}

TEST_F(Molecules, ACodebookIsKeptAndDecidesTheHash) {
  const auto codec = trained(kSome);
  codec->save(folder_.path() / "book.json");
  const auto loaded = kMoleculeCodec.load(folder_.path() / "book.json");
  EXPECT_EQ(loaded->hash(), codec->hash());
  EXPECT_EQ(Encoded(*loaded, kSome).documents, Encoded(*codec, kSome).documents);
  EXPECT_NE(trained("CCN\n")->hash(), codec->hash());
}

TEST_F(Molecules, WrongOnesAreNamedCountedAndLeftOut) {
  const auto codec = trained(kSome);
  const Encoded e(*codec, "CCO\nC1CC\nCCF\nc1cccc1\nnonsense\nCCC(\nCCCO\n");
  EXPECT_EQ(e.documents.size(), 2u);
  ASSERT_EQ(e.notes.size(), 1u);
  EXPECT_EQ(e.notes[0], "5 of 7 molecules are left out: line 2: a ring that is not closed; line 3: F is in no molecule of the codebook; line 4: an aromatic ring without "
                        "alternating bonds; …");
  EXPECT_THROW(Encoded(*codec, "C1CC\n"), Error);
  EXPECT_THROW(Encoded(*codec, ""), Error);
  EXPECT_THROW(Encoded(*codec, std::string("\0\xFF\n", 3)), Error);
  EXPECT_THROW(codec->decode(std::vector<int32_t>{codec->vocab_size()}), Error);
  EXPECT_THROW(codec->decode(std::vector<int32_t>{-1}), Error);
}

TEST_F(Molecules, OfAnSdfTheFieldWithSmilesIsRead) {
  const std::string sdf =
      "aspirin\n  program\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n> <PUBCHEM_COMPOUND_CID>\n2244\n\n> <PUBCHEM_SMILES>\nCC(=O)OC1=CC=CC=C1C(=O)O\n\n$$$$\n"
      "ethanol\n  program\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n> <SMILES>\nCCO\n\n$$$$\n";
  EXPECT_EQ(kMoleculeCodec.inspect(sdf).said, "2 molecules");
  const auto codec = trained(sdf);
  const Encoded e(*codec, sdf);
  ASSERT_EQ(e.documents.size(), 2u);
  EXPECT_EQ(codec->decode(e.documents[1]), "CCO\n");
}

TEST_F(Molecules, SamplesAreJudgedBesideTheTrainingFiles) {
  const CaptionedFile training{.path = file("train.smi", "CCO\nCCN\nc1ccccc1\n"), .caption = ""};
  const std::vector<CaptionedDocument> samples = {{"OCC\n", ""}, {"C1CC\n", ""}, {"CCC\n", ""}, {"CCC\n", ""}, {"C1=CC=CC=C1\n", ""}};
  const SampleJudgement j = kMoleculeCodec.judge(samples, {&training, 1});
  ASSERT_EQ(j.measures.size(), 5u);
  EXPECT_DOUBLE_EQ(j.measures[0].value, 4.0 / 5);  // valid
  EXPECT_DOUBLE_EQ(j.measures[1].value, 3.0 / 4);  // different
  EXPECT_DOUBLE_EQ(j.measures[2].value, 1.0 / 3);  // new: CCC
  EXPECT_DOUBLE_EQ(j.measures[4].value, 1.0 / 4);  // rings
  ASSERT_EQ(j.histograms.size(), 2u);
  for (const SampleHistogram& h : j.histograms) {
    EXPECT_EQ(h.edges.size(), h.samples.size() + 1);
    EXPECT_NEAR(std::accumulate(h.samples.begin(), h.samples.end(), 0.0), 1, 1e-12);
    EXPECT_NEAR(std::accumulate(h.training.begin(), h.training.end(), 0.0), 1, 1e-12);
  }
  EXPECT_EQ(kMoleculeCodec.judge({}, {}).measures[0].value, 0);
}

TEST_F(Molecules, DamagedCodebooksAreNamed) {
  for (const char* bad : {"", "{}", "[]", R"({"format": "tokenwerk molecule codec 1"})", R"({"format": "tokenwerk molecule codec 1", "tokens": []})",
                          R"({"format": "tokenwerk molecule codec 1", "tokens": ["C", "C"]})", R"({"format": "tokenwerk molecule codec 1", "tokens": ["CC"]})",
                          R"({"format": "tokenwerk molecule codec 1", "tokens": [1]})", R"({"format": "another", "tokens": ["C"]})"})
    EXPECT_THROW(kMoleculeCodec.load(file("bad.json", bad)), Error) << bad;
}

TEST_F(Molecules, QualityIsTokensAMoleculeBesideLetters) {
  const auto codec = trained(kSome);
  const fs::path path = file("held.smi", "ClCCBr\nCCO\n");
  const CodecQuality q = codec->quality({&path, 1}).at(0);
  EXPECT_DOUBLE_EQ(q.value, 3.5);
  EXPECT_DOUBLE_EQ(q.baseline, 4.5);
  EXPECT_TRUE(q.lossless);
}

}  // namespace
}  // namespace tw
