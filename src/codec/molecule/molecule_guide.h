// The rules by which tokens of a molecule may follow each other: branches and rings that end, no atom with more bonds than it can have.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/codec/codec.h"

namespace tw {

// tokens: of the codebook, by id. What a guide allows is never a dead end: "C" and the ends of branches and rings lead to one; nullptr where there is no "C". It is a little stricter than SmilesReader (no atom beyond its common bonds, no two dots in a row), and does not look at whether the double bonds of
// an aromatic ring alternate.
std::unique_ptr<DocumentGuide> make_molecule_guide(const std::vector<std::string>& tokens);

}  // namespace tw
