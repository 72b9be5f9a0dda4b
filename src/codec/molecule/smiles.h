// SMILES (OpenSMILES 1.0, opensmiles.org): tokens, molecules, and whether a molecule can exist.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tw {

// Bytes of the token `text` begins with: an atom with its bracket ("[C@@H]", "Cl"), a ring number ("1", "%12", "%(123)"), a bond,
// a branch, a dot; 0 where no token of SMILES begins. As Schwaller et al. 2019 (Molecular Transformer) cut it.
size_t smiles_token(std::string_view text) noexcept;

struct Molecule {
  struct Atom {
    uint8_t element = 0;  // 0: "*", any
    int8_t charge = 0;
    uint8_t hydrogens = 0;  // not drawn, implied ones included
    uint16_t isotope = 0;
    bool aromatic = false, in_ring = false;
  };
  struct Bond {
    int32_t from = 0, to = 0;
    uint8_t order = 1;  // 1 to 4; those of aromatic rings alternate
    bool aromatic = false, in_ring = false;
  };
  std::vector<Atom> atoms;
  std::vector<Bond> bonds;

  int64_t heavy_atoms() const noexcept;  // all but hydrogen
  double weight() const noexcept;        // g/mol, of average atoms whatever the isotope
  int rings() const noexcept;            // smallest set: bonds - atoms + parts
  // Equal for equal molecules, whatever atom the text begins with and however aromatic rings are written; stereochemistry does not
  // count. Different ones differ but for rare, highly regular pairs (neighbourhoods are refined as by Weisfeiler and Leman, 1968).
  uint64_t identity() const;
};

// Reads molecules one after the other and keeps its memory.
class SmilesReader {
 public:
  static constexpr size_t kLongest = 1 << 14;  // bytes
  // What is wrong with `smiles`, "" where nothing is: its form, an atom with too many bonds, an aromatic ring for which no
  // alternation of single and double bonds exists. The rules are those of RDKit's sanitisation but for "C:C", rings whose two
  // ends name different bonds, and atoms of more than one charge, where these here are stricter. N(=O)=O and C=N#N are read as
  // [N+](=O)[O-] and C=[N+]=[N-].
  std::string_view read(std::string_view smiles);
  const Molecule& molecule() const noexcept { return molecule_; }  // of the last text that was right
  size_t fault_at() const noexcept { return at_; }                 // byte where a text whose form is wrong was left

 private:
  struct Ring {
    int32_t atom = -1;  // -1 = closed
    char bond = 0;
  };
  struct Node {  // an atom's place
    int32_t above = -1, up = -1;  // the earlier atom it was bonded to as it came, and that bond; -1 = none
    int32_t order = 0, bonds = 0, aromatic = 0;  // of its bonds: their sum, and how many
    bool bracket = false, wants_double = false;
  };
  std::string_view parse(std::string_view s);
  std::string_view add_bond(int32_t from, int32_t to, char symbol);
  void add_atom(Molecule::Atom atom, bool bracket) {
    molecule_.atoms[atoms_] = atom;
    nodes_[atoms_++] = {.bracket = bracket};
  }
  std::string_view bracket_atom(std::string_view s);
  void link();
  void mark_rings();
  void find_rings();
  std::string_view fill_valences();
  bool settle_charges(size_t a, int& bonds, bool in_system);
  std::string_view alternate();
  bool augment(int32_t root);

  Molecule molecule_;
  size_t at_ = 0;
  size_t atoms_ = 0, bonds_ = 0;       // of molecule_, while it is read: its vectors have room for as many as there are letters
  std::vector<Node> nodes_;            // by atom, and room for more
  std::vector<int32_t> closing_, aromatic_;  // bonds that close rings, that are aromatic
  bool dotted_ = false;                // there are dots
  std::vector<int32_t> branch_;
  std::vector<Ring> rings_;            // by number
  int open_rings_ = 0;
  std::vector<int32_t> first_, edges_; // the bonds of atom a are edges_[first_[a]] to edges_[first_[a + 1]]
  bool linked_ = false;                // they are
  std::vector<int32_t> order_, low_, parent_bond_, next_, top_;
  int64_t work_ = 0;
  std::vector<int32_t> mate_, base_, father_, queue_;
  std::vector<uint8_t> used_, blossom_, seen_;
};

}  // namespace tw
