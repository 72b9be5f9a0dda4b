// A molecule written in another order of its atoms (randomised SMILES; Arús-Pous et al. 2019, "Randomized SMILES strings improve the quality of molecular
// generative models"): a model that sees several learns molecules from fewer of them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace tw {

// smiles: right (SmilesReader). The same atoms and bonds, as their tokens are written, from another atom on and with other branches; equal seeds give
// equal texts. "" where the order means something (@, /, \), where there are more than kMostReordered atoms, and where more than 99 rings are open at once.
inline constexpr size_t kMostReordered = 500;
std::string reordered(std::string_view smiles, uint64_t seed);

}  // namespace tw
