// The rules by which tokens of a molecule may follow each other: branches and rings that end, no atom with more bonds than it can have.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/codec/codec.h"

namespace tw {

// What each token of a codebook does, looked up once. What its guides allow is never a dead end: "C" and the ends of branches and rings lead to one. They are a little
// stricter than SmilesReader (no atom beyond its common bonds, no two dots in a row), and do not look at whether the double bonds of an aromatic ring alternate.
class MoleculeRules {
 public:
  explicit MoleculeRules(const std::vector<std::string>& tokens);
  std::unique_ptr<DocumentGuide> guide() const;  // nullptr where there is no "C"; the rules outlive it

  enum class Role : uint8_t { atom, bond, ring, open, close, dot, never };
  struct Meaning {
    Role role = Role::never;
    int number = 0;         // of an atom: bonds it can have beside its hydrogens; of a bond: its order; of a ring: its number
    bool aromatic = false, doubles = false;  // doubles: of an aromatic one, whether one of its bonds may be double
  };

 private:
  std::vector<Meaning> meanings_;
  bool carbon_ = false;
};

}  // namespace tw
