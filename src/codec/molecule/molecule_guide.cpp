#include "src/codec/molecule/molecule_guide.h"

#include <algorithm>
#include <array>

#include "src/codec/molecule/element.h"
#include "src/codec/molecule/smiles.h"

namespace tw {
namespace {

using Role = MoleculeRules::Role;
using Meaning = MoleculeRules::Meaning;

constexpr int kMostBonds = 8;  // of atoms that are not restricted

Meaning meaning_of(const std::string& token) {
  const char c = token[0];
  if (c == '(') return {Role::open};
  if (c == ')') return {Role::close};
  if (c == '.') return {Role::dot};
  if (c == '-' || c == '/' || c == '\\') return {Role::bond, 1};
  if (c == '=') return {Role::bond, 2};
  if (c == '#') return {Role::bond, 3};
  if (c == '$' || c == ':') return {};  // hardly ever meant
  if ((c >= '0' && c <= '9') || c == '%') {
    int number = 0;
    for (const char d : token)
      if (d >= '0' && d <= '9') number = number * 10 + (d - '0');
    return number < 100 ? Meaning{Role::ring, number} : Meaning{};
  }
  // An aromatic atom alone is none: its charge and hydrogens are those of the same atom without rings.
  std::string plain = token;
  const size_t letter = plain.find_first_not_of("[0123456789");  // behind an isotope
  if (letter == plain.npos) return {};
  const bool aromatic = plain[letter] >= 'a' && plain[letter] <= 'z';
  if (aromatic) plain[letter] = char(plain[letter] - 'a' + 'A');
  SmilesReader reader;
  if (!reader.read(plain).empty() || reader.molecule().atoms.size() != 1) return {};
  const Molecule::Atom& atom = reader.molecule().atoms[0];
  if (atom.element == 0) return {Role::atom, kMostBonds, aromatic};
  const int electrons = atom.element - atom.charge, hydrogens = token[0] == '[' ? atom.hydrogens : 0;
  if (electrons <= 0) return {Role::atom, 0, aromatic};
  const auto valences = element_valences(std::min(electrons, kElements));
  int bonds = valences.empty() ? kMostBonds : valences.back() - hydrogens;
  // In an aromatic ring: two bonds of it and, where there is one, its double bond or what stands outside.
  const int all = bonds;
  if (aromatic) bonds = atom.element == 8 || atom.element == 16 || atom.element == 34 || atom.element == 52 ? 2 : std::min(bonds, 3);
  return {Role::atom, std::max(bonds, 0), aromatic, aromatic && all > bonds};
}

class MoleculeGuide final : public DocumentGuide {
 public:
  explicit MoleculeGuide(const std::vector<Meaning>& meanings) : meanings_(meanings) {}
  void add(int32_t id) override {
    if (!state_.take(meanings_.at(size_t(id)))) state_.lost = true;  // nobody asked: then anything goes
  }
  bool allowed(std::span<uint8_t> ids) const override {
    for (size_t i = 0; i < meanings_.size(); ++i) {
      State next = state_;
      ids[i] = state_.lost || (next.take(meanings_[i]) && next.can_end());
    }
    return state_.lost || state_.ends();
  }

 private:
  struct Atom {
    int left = 0;  // bonds it can still have
    bool aromatic = false, doubles = false;
  };
  struct Ring {
    int atom = -1, order = 0;  // -1 = closed; 0 = no bond was named
  };
  struct State {
    std::vector<Atom> atoms;
    std::vector<std::pair<int, int>> bonds;
    std::vector<int> branches;
    std::array<Ring, 100> rings{};
    int open_rings = 0, last = -1, bond = 0;  // bond: order of one that waits for its end
    bool opened = false, lost = false;

    // Bonds that one of this order takes of an atom: with an aromatic one its place in the ring's electrons counts, and not its order.
    static int price(const Atom& a, int order) { return a.aromatic ? 1 : order; }
    bool pay(int atom, int order) {
      Atom& a = atoms[size_t(atom)];
      if (!can(a, order)) return false;
      a.left -= price(a, order);
      if (order == 2) a.doubles = false;
      return true;
    }
    static bool can(const Atom& a, int order) { return a.left >= price(a, order) && (!a.aromatic || order == 1 || (order == 2 && a.doubles)); }
    // False where the token may not stand here; the state is of no use then.
    bool take(const Meaning& m) {
      switch (m.role) {
        case Role::atom:
          atoms.push_back({m.number, m.aromatic, m.doubles});
          if (last >= 0) {
            const int order = std::max(bond, 1), atom = int(atoms.size()) - 1;
            if (!pay(last, order) || !pay(atom, order)) return false;
            bonds.emplace_back(last, atom);
          }
          last = int(atoms.size()) - 1, bond = 0, opened = false;
          return true;
        case Role::bond:
          if (last < 0 || bond) return false;
          bond = m.number;
          return can(atoms[size_t(last)], bond);
        case Role::ring: {
          if (last < 0 || opened) return false;
          Ring& ring = rings[size_t(m.number)];
          if (ring.atom < 0) {
            if (bond > 2) return false;  // a carbon atom that ends it could not go on
            ring = {last, bond};
            ++open_rings;
            const int order = std::max(bond, 1);
            bond = 0;
            return pay(last, order);
          }
          const int from = ring.atom, named = ring.order, order = std::max({bond, named, 1});
          if (from == last || (bond && named && bond != named)) return false;
          if (std::any_of(bonds.begin(), bonds.end(), [&](const auto& b) { return (b.first == from && b.second == last) || (b.first == last && b.second == from); })) return false;
          // What the other end has not paid yet, where this one names the bond.
          Atom& other = atoms[size_t(from)];
          if (named == 0 && order > 1) {
            other.left += 1;
            if (!pay(from, order)) return false;
          }
          if (!pay(last, order)) return false;
          bonds.emplace_back(from, last);
          ring.atom = -1, bond = 0, --open_rings;
          return true;
        }
        case Role::open:
          if (last < 0 || bond || opened || atoms[size_t(last)].left < 1) return false;
          branches.push_back(last), opened = true;
          return true;
        case Role::close:
          if (branches.empty() || last < 0 || bond || opened) return false;
          last = branches.back(), branches.pop_back();
          return true;
        case Role::dot:
          if (last < 0 || bond || opened || !branches.empty()) return false;
          last = -1;
          return true;
        case Role::never: break;
      }
      return false;
    }
    bool ends() const { return last >= 0 && !bond && branches.empty() && open_rings == 0; }
    // Whether carbon atoms, ends of branches and of rings lead to an end: rings need an atom from which one can go on.
    bool can_end() const {
      if (bond == 3 && open_rings > 0) return true;  // C has one bond left behind it
      if (open_rings == 0 || bond || opened || last < 0) return true;
      return atoms[size_t(last)].left > 0 || std::any_of(branches.begin(), branches.end(), [&](int a) { return atoms[size_t(a)].left > 0; });
    }
  };
  const std::vector<Meaning>& meanings_;
  State state_;
};

}  // namespace

MoleculeRules::MoleculeRules(const std::vector<std::string>& tokens) : carbon_(std::find(tokens.begin(), tokens.end(), "C") != tokens.end()) {
  for (const std::string& token : tokens) meanings_.push_back(meaning_of(token));
}

std::unique_ptr<DocumentGuide> MoleculeRules::guide() const { return carbon_ ? std::make_unique<MoleculeGuide>(meanings_) : nullptr; }

}  // namespace tw
