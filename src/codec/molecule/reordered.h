// A molecule written in another order of its atoms (randomised SMILES; Arús-Pous et al. 2019, "Randomized SMILES strings improve the quality of molecular
// generative models"): a model that sees several learns molecules from fewer of them.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/rng.h"

namespace tw {

// Takes molecules one after the other and keeps its memory.
class SmilesReorderer {
 public:
  static constexpr size_t kMostAtoms = 500;
  // smiles: right (SmilesReader); it outlives what is written of it. False where the order means something (@, /, \), and where there are more than
  // kMostAtoms.
  bool take(std::string_view smiles);
  // The same atoms and bonds, as their tokens are written, from another atom on and with other branches; equal seeds give equal texts, which hold
  // until the next. "" where more than 99 rings are open at once.
  std::string_view written(uint64_t seed);

 private:
  static constexpr int kMostRings = 99;
  struct Edge {
    int32_t to = 0;
    char symbol = 0;    // 0 = none is drawn
    int32_t ring = -1;  // of edges that close a ring: their number in rings_
  };
  struct Ring {
    int32_t opens = 0;  // the atom that comes first
    int number = 0;     // while it is open
    char symbol = 0;
  };
  struct Bond {
    int32_t a = 0, b = 0;
    char symbol = 0;
  };
  std::span<Edge> edges_of(int32_t atom) { return {edges_.data() + first_[size_t(atom)], edges_.data() + first_[size_t(atom) + 1]}; }
  template <class T>
  void shuffle(std::span<T> all);
  void find_rings(int32_t atom, int32_t from);
  void write(int32_t atom, int32_t from);

  std::vector<std::string_view> atoms_;
  std::vector<Bond> bonds_;
  std::vector<int32_t> first_, next_, branches_, order_;  // the edges of atom a are edges_[first_[a]] to edges_[first_[a + 1]]
  std::vector<Edge> drawn_edges_, edges_;                 // as they are drawn, and shuffled
  std::vector<std::pair<int32_t, char>> open_;            // rings by number: atom, bond
  std::vector<Ring> rings_;
  std::vector<char> seen_;
  std::array<bool, kMostRings + 2> taken_{};  // numbers of rings that are open; the last one is never
  int most_ = 0;
  Rng rng_;
  std::array<uint32_t, 4> words_{};  // of rng_
  uint64_t drawn_ = 0;
  std::string out_;
};

}  // namespace tw
