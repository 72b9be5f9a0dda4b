// SMILES against what RDKit says of them.
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "src/codec/molecule/element.h"
#include "src/codec/molecule/reordered.h"
#include "src/codec/molecule/smiles.h"
#include "src/core/file.h"

namespace tw {
namespace {

std::string fault_of(std::string_view smiles) { return std::string(SmilesReader().read(smiles)); }

uint64_t identity_of(std::string_view smiles) {
  SmilesReader reader;
  EXPECT_EQ(reader.read(smiles), "") << smiles;
  return reader.molecule().identity();
}

// Lines of SMILES, weight and rings.
std::vector<std::string> fixture_cases() {
  std::istringstream lines(read_file(TW_CODEC_TESTS "/smiles_cases.tsv", 1 << 20));
  std::vector<std::string> cases;
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("# ")) cases.push_back(line);
  return cases;
}

TEST(Smiles, ValidityWeightAndRingsAreThoseOfRdkit) {
  SmilesReader reader;
  int cases = 0, wrong = 0;
  for (const std::string& line : fixture_cases()) {
    std::istringstream fields(line);
    std::string smiles, weight;
    int rings = -1;
    fields >> smiles >> weight >> rings;
    ++cases;
    const std::string_view fault = reader.read(smiles);
    EXPECT_EQ(fault.empty(), rings >= 0) << smiles << ": " << fault;
    if (rings < 0 || !fault.empty()) {
      ++wrong;
      continue;
    }
    EXPECT_EQ(reader.molecule().rings(), rings) << smiles;
    if (weight == "-") continue;
    EXPECT_NEAR(reader.molecule().weight(), std::stod(weight), 0.02 + 2e-4 * std::stod(weight)) << smiles;
  }
  EXPECT_GT(cases, 500);
  EXPECT_GT(wrong, 100);
}

TEST(Smiles, InAnotherOrderItIsTheSameMolecule) {
  const auto reordered = [](SmilesReorderer& r, std::string_view smiles, uint64_t seed) { return std::string(r.take(smiles) ? r.written(seed) : ""); };
  SmilesReader reader;
  SmilesReorderer reorderer;
  int orders = 0, other = 0;
  for (const std::string& line : fixture_cases()) {
    const std::string smiles = line.substr(0, line.find('\t'));
    if (!reader.read(smiles).empty()) continue;
    const uint64_t identity = reader.molecule().identity();
    const double weight = reader.molecule().weight();
    const int rings = reader.molecule().rings();
    for (uint64_t seed = 0; seed < 5; ++seed) {
      SmilesReorderer fresh;
      const std::string again = reordered(reorderer, smiles, seed);
      EXPECT_EQ(again, reordered(fresh, smiles, seed)) << "no memory of other molecules";
      if (again.empty()) {
        EXPECT_NE(smiles.find_first_of("@/\\"), smiles.npos) << smiles;
        continue;
      }
      ++orders, other += again != smiles;
      EXPECT_EQ(reader.read(again), "") << smiles << " " << again;
      EXPECT_EQ(reader.molecule().identity(), identity) << smiles << " " << again;
      EXPECT_NEAR(reader.molecule().weight(), weight, 1e-9);
      EXPECT_EQ(reader.molecule().rings(), rings);
    }
  }
  EXPECT_GT(orders, 500);
  EXPECT_GT(other, orders / 2);
  std::string ladder = "C";
  for (int i = 0; i < 600; ++i) ladder += "C";
  EXPECT_EQ(reordered(reorderer, ladder, 1), "") << "too long";
}

TEST(Smiles, TokensAreAtomsBondsAndRingNumbers) {
  const auto tokens = [](std::string_view s) {
    std::string out;
    for (size_t i = 0; i < s.size();) {
      const size_t n = smiles_token(s.substr(i));
      if (n == 0) return out + "?";
      out += std::string(s.substr(i, n)) + " ";
      i += n;
    }
    return out;
  };
  EXPECT_EQ(tokens("C[C@@H](N)C(=O)O"), "C [C@@H] ( N ) C ( = O ) O ");
  EXPECT_EQ(tokens("Clc1ccc(Br)cc1%12"), "Cl c 1 c c c ( Br ) c c 1 %12 ");
  EXPECT_EQ(tokens("C%(123)C"), "C %(123) C ");
  for (const char* bad : {"[C", "[]", "%1", "%(12", "x", "C C", "\xC3\xA9", "%("}) EXPECT_TRUE(tokens(bad).ends_with("?")) << bad;
}

TEST(Smiles, WhatIsWrongIsSaid) {
  EXPECT_EQ(fault_of("c1cccc1"), "an aromatic ring without alternating bonds");
  EXPECT_EQ(fault_of("C(C)(C)(C)(C)C"), "an atom with too many bonds");
  EXPECT_EQ(fault_of("C1CC"), "a ring that is not closed");
  EXPECT_EQ(fault_of("CC(C"), "a branch that does not end");
  EXPECT_EQ(fault_of("[Xx]"), "an unknown element");
  EXPECT_EQ(fault_of("C:C"), "an aromatic bond beside an atom that is not aromatic");
  EXPECT_EQ(fault_of(std::string(SmilesReader::kLongest + 1, 'C')), "longer than 16 KiB");
  SmilesReader reader;
  reader.read("CCC)C");
  EXPECT_EQ(reader.fault_at(), 3u);
}

TEST(Smiles, EqualMoleculesHaveOneIdentity) {
  EXPECT_EQ(identity_of("CCO"), identity_of("OCC"));
  EXPECT_EQ(identity_of("c1ccccc1C"), identity_of("CC1=CC=CC=C1"));
  EXPECT_EQ(identity_of("CN(=O)=O"), identity_of("C[N+](=O)[O-]"));
  EXPECT_EQ(identity_of("[H]C([H])([H])[H]"), identity_of("C"));
  EXPECT_EQ(identity_of("Cn1cnc2c1c(=O)n(C)c(=O)n2C"), identity_of("CN1C=NC2=C1C(=O)N(C(=O)N2C)C"));
  EXPECT_EQ(identity_of("[Na+].[Cl-]"), identity_of("[Cl-].[Na+]"));
  EXPECT_NE(identity_of("CCO"), identity_of("COC"));
  EXPECT_NE(identity_of("CC=O"), identity_of("C=CO"));
  EXPECT_NE(identity_of("C1CCCCC1"), identity_of("C1CCCC1C"));
  EXPECT_NE(identity_of("C"), identity_of("[13CH4]"));
}

TEST(Smiles, FusedAndOddRingSystemsAlternate) {
  for (const char* good : {"c1cc2cccc2c1", "c1cc2cccccc2c1", "c1cc2ccc3cccc4ccc(c1)c2c34", "c1ccc2c(c1)cc1ccc3cccc4ccc2c1c34", "c1ccn2cccc2c1"})
    EXPECT_EQ(fault_of(good), "") << good;
  // A long chain of rings is no deep recursion.
  std::string chain = "c1ccccc1";
  for (int i = 0; i < 1700; ++i) chain += "-c1ccccc1";
  EXPECT_EQ(fault_of(chain), "");
}

TEST(Element, SymbolsGoBothWays) {
  for (int e = 1; e <= kElements; ++e) EXPECT_EQ(element_named(element_symbol(e)), e);
  for (const char* none : {"", "c", "Xx", "Hee", "1", "h", "C1"}) EXPECT_EQ(element_named(none), 0) << none;
  EXPECT_EQ(element_symbol(0), "");
  EXPECT_EQ(element_symbol(119), "");
}

}  // namespace
}  // namespace tw
