#include "src/codec/molecule/smiles.h"

#include <algorithm>
#include <array>
#include <utility>

#include "src/codec/molecule/element.h"

namespace tw {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

// Elements of atoms of one letter that stand without a bracket; 0 for "*" and what is none.
constexpr auto kOrganic = [] {
  std::array<uint8_t, 256> table{};
  for (const auto& [letter, element] : {std::pair('B', 5), {'C', 6}, {'N', 7}, {'O', 8}, {'F', 9}, {'P', 15}, {'S', 16}, {'I', 53}}) {
    table[size_t(letter)] = uint8_t(element);
    if (letter != 'F' && letter != 'I') table[size_t(letter) + 'a' - 'A'] = uint8_t(element);
  }
  return table;
}();

int bond_order(char symbol) { return symbol == '=' ? 2 : symbol == '#' ? 3 : symbol == '$' ? 4 : 1; }

// What a letter is at the beginning of a token.
enum class Letter : uint8_t { none, atom, two, bond, ring, open, close, dot };  // two: more letters may belong to it
constexpr auto kLetters = [] {
  std::array<Letter, 256> table{};
  const auto set = [&](std::string_view letters, Letter is) {
    for (const char c : letters) table[size_t(static_cast<unsigned char>(c))] = is;
  };
  set("NOPSFIbcnops*", Letter::atom), set("CB[%", Letter::two), set("-=#$:/\\", Letter::bond), set("0123456789", Letter::ring);
  set("(", Letter::open), set(")", Letter::close), set(".", Letter::dot);
  return table;
}();
Letter letter(char c) { return kLetters[size_t(static_cast<unsigned char>(c))]; }

constexpr int64_t kMostWork = int64_t(1) << 24;  // edges and atoms looked at for one molecule's double bonds: a fraction of a second

}  // namespace

size_t smiles_token(std::string_view text) noexcept {
  if (text.empty()) return 0;
  switch (text[0]) {
    case '[': {
      const size_t end = text.find(']');
      return end == text.npos || end == 1 ? 0 : end + 1;
    }
    case 'C': return text.starts_with("Cl") ? 2 : 1;
    case 'B': return text.starts_with("Br") ? 2 : 1;
    case '%':
      if (text.size() >= 3 && digit(text[1]) && digit(text[2])) return 3;
      if (text.size() >= 2 && text[1] == '(') {
        size_t end = 2;
        while (end < text.size() && digit(text[end])) ++end;
        return end > 2 && end < 8 && end < text.size() && text[end] == ')' ? end + 1 : 0;
      }
      return 0;
    case 'N': case 'O': case 'P': case 'S': case 'F': case 'I': case 'b': case 'c': case 'n': case 'o': case 'p': case 's': case '*':
    case '(': case ')': case '.': case '-': case '=': case '#': case '$': case ':': case '/': case '\\': return 1;
    default: return digit(text[0]) ? 1 : 0;
  }
}

std::string_view SmilesReader::add_bond(int32_t from, int32_t to, char symbol) {
  if (from == to) return "a ring of one atom";
  Molecule::Bond bond{.from = from, .to = to, .order = uint8_t(bond_order(symbol))};
  const bool both = molecule_.atoms[size_t(from)].aromatic && molecule_.atoms[size_t(to)].aromatic;
  if (symbol == ':' && !both) return "an aromatic bond beside an atom that is not aromatic";
  bond.aromatic = both && (symbol == 0 || symbol == ':' || symbol == '/' || symbol == '\\');
  molecule_.bonds[bonds_++] = bond;
  for (const int32_t end : {from, to}) nodes_[size_t(end)].order += bond.order, ++nodes_[size_t(end)].bonds;
  return "";
}

// [isotope symbol chirality hydrogens charge class], without its brackets.
std::string_view SmilesReader::bracket_atom(std::string_view s) {
  Molecule::Atom atom;
  size_t i = 0;
  const auto number = [&](int most) {  // -1 where there is none
    int value = -1;
    for (; i < s.size() && digit(s[i]) && value <= most; ++i) value = std::max(value, 0) * 10 + (s[i] - '0');
    return value;
  };
  if (const int isotope = number(999); isotope > 999) return "an isotope above 999";
  else atom.isotope = uint16_t(std::max(isotope, 0));
  if (i == s.size()) return "a bracket without an element";
  if (s[i] == '*') {
    ++i;
  } else if (s[i] >= 'A' && s[i] <= 'Z') {
    int element = i + 1 < s.size() ? element_named(s.substr(i, 2)) : 0;
    if (element) {
      i += 2;
    } else if ((element = element_named(s.substr(i, 1)))) {
      i += 1;
    } else {
      return "an unknown element";
    }
    atom.element = uint8_t(element);
  } else {
    constexpr std::string_view kTwo[] = {"se", "as", "te", "si"};
    constexpr uint8_t kElement[] = {34, 33, 52, 14};
    for (size_t k = 0; k < std::size(kTwo); ++k)
      if (s.substr(i).starts_with(kTwo[k])) atom.element = kElement[k];
    if (atom.element) {
      i += 2;
    } else {
      if (std::string_view("bcnops").find(s[i]) == std::string_view::npos) return "an unknown element";
      atom.element = kOrganic[size_t(static_cast<unsigned char>(s[i]))];
      ++i;
    }
    atom.aromatic = true;
  }
  if (i < s.size() && s[i] == '@') {
    ++i;
    if (i < s.size() && s[i] == '@') {
      ++i;
    } else {
      for (const std::string_view kind : {"TH", "AL", "SP", "TB", "OH"})
        if (s.substr(i).starts_with(kind) && i + 2 < s.size() && digit(s[i + 2])) {
          i += 2;
          if (number(30) > 30) return "an unknown chirality";
          break;
        }
    }
  }
  if (i < s.size() && s[i] == 'H') {
    ++i;
    const int hydrogens = number(9);
    if (hydrogens > 9) return "more than 9 hydrogens on one atom";
    atom.hydrogens = uint8_t(hydrogens < 0 ? 1 : hydrogens);
  }
  if (i < s.size() && (s[i] == '+' || s[i] == '-')) {
    const char sign = s[i++];
    int charge = number(15);
    if (charge < 0)
      for (charge = 1; i < s.size() && s[i] == sign; ++i) ++charge;
    if (charge > 15) return "a charge beyond 15";
    atom.charge = int8_t(sign == '+' ? charge : -charge);
  }
  if (i < s.size() && s[i] == ':') {
    ++i;
    if (const int label = number(1 << 20); label < 0 || label > 1 << 20) return "a class that is no number";
  }
  if (i != s.size()) return "a bracket that is not understood";
  add_atom(atom, true);
  return "";
}

std::string_view SmilesReader::parse(std::string_view s) {
  molecule_.atoms.resize(s.size()), molecule_.bonds.resize(s.size());
  if (nodes_.size() < s.size()) nodes_.resize(s.size());
  closing_.clear(), branch_.clear(), rings_.clear();
  atoms_ = bonds_ = 0;
  open_rings_ = 0;
  dotted_ = linked_ = false;
  int32_t last = -1;  // the atom the next one is bonded to
  char bond = 0;
  bool opened = false;  // a branch that is still empty
  for (size_t i = 0, n = 1; i < s.size(); i += n) {
    at_ = i, n = 1;
    const char c = s[i];
    Letter is = letter(c);
    uint8_t element = kOrganic[size_t(static_cast<unsigned char>(c))];
    if (is == Letter::two) {
      const char next = i + 1 < s.size() ? s[i + 1] : '\0';
      if (c == 'C' || c == 'B') {
        if (next == (c == 'C' ? 'l' : 'r')) n = 2, element = c == 'C' ? 17 : 35;
      } else if ((n = smiles_token(s.substr(i))) == 0) {
        return c == '[' ? "a bracket that does not end" : "a letter that SMILES does not have";
      }
      is = c == '%' ? Letter::ring : Letter::atom;
    }
    switch (is) {
      case Letter::open:
        if (last < 0 || bond || opened) return "a branch that begins at no atom";
        branch_.push_back(last), opened = true;
        break;
      case Letter::close:
        if (branch_.empty()) return "a branch that ends and did not begin";
        if (last < 0 || bond || opened) return "a branch that leads nowhere";
        last = branch_.back(), branch_.pop_back();
        break;
      case Letter::dot:
        if (last < 0 || bond || opened) return "a dot that divides nothing";
        last = -1, dotted_ = true;
        break;
      case Letter::bond:
        if (last < 0 || bond) return "a bond that begins at no atom";
        bond = c;
        break;
      case Letter::ring: {
        if (last < 0 || opened) return "a ring number that belongs to no atom";
        size_t number = 0;
        for (const char d : s.substr(i, n))
          if (digit(d)) number = number * 10 + size_t(d - '0');
        if (number >= rings_.size()) rings_.resize(number + 1);
        Ring& ring = rings_[number];
        if (ring.atom < 0) {
          ring = {last, bond}, ++open_rings_;
        } else {
          // Of "/" and "\" each end has its own.
          const auto kind = [](char b) { return b == '/' || b == '\\' ? '-' : b; };
          if (ring.bond && bond && kind(ring.bond) != kind(bond)) return "a ring whose ends name different bonds";
          const auto between = [&](int32_t b) {
            const Molecule::Bond& other = molecule_.bonds[size_t(b)];
            return (other.from == last && other.to == ring.atom) || (other.to == last && other.from == ring.atom);
          };
          if (nodes_[size_t(last)].above == ring.atom || nodes_[size_t(ring.atom)].above == last || std::any_of(closing_.begin(), closing_.end(), between))
            return "two bonds between the same atoms";
          if (const std::string_view fault = add_bond(ring.atom, last, bond ? bond : ring.bond); !fault.empty()) return fault;
          closing_.push_back(int32_t(bonds_) - 1);
          ring.atom = -1, --open_rings_;
        }
        bond = 0;
        break;
      }
      case Letter::atom: {
        if (c == '[') {
          if (const std::string_view fault = bracket_atom(s.substr(i + 1, n - 2)); !fault.empty()) return fault;
        } else {
          add_atom({.element = element, .aromatic = c >= 'a' && c <= 'z'}, false);
        }
        const auto atom = int32_t(atoms_) - 1;
        if (last >= 0) {
          Node &node = nodes_[size_t(atom)], &before = nodes_[size_t(last)];
          node.above = last, node.up = int32_t(bonds_);
          if (bond == 0) {  // nearly always
            const bool both = molecule_.atoms[size_t(last)].aromatic && molecule_.atoms[size_t(atom)].aromatic;
            molecule_.bonds[bonds_++] = {.from = last, .to = atom, .aromatic = both};
            ++before.order, ++before.bonds;
            node.order = node.bonds = 1;
          } else if (const std::string_view fault = add_bond(last, atom, bond); !fault.empty()) {
            return fault;
          }
        }
        last = atom, bond = 0, opened = false;
        break;
      }
      default: return "a letter that SMILES does not have";
    }
  }
  at_ = s.size();
  if (atoms_ == 0) return "no atom";
  if (bond) return "a bond that leads nowhere";
  if (last < 0) return "a dot that divides nothing";
  if (!branch_.empty()) return "a branch that does not end";
  if (open_rings_) return "a ring that is not closed";
  return "";
}

void SmilesReader::link() {
  if (std::exchange(linked_, true)) return;
  const size_t atoms = molecule_.atoms.size();
  first_.assign(atoms + 1, 0);
  for (const Molecule::Bond& b : molecule_.bonds) ++first_[size_t(b.from) + 1], ++first_[size_t(b.to) + 1];
  for (size_t a = 0; a < atoms; ++a) first_[a + 1] += first_[a];
  edges_.resize(molecule_.bonds.size() * 2);
  next_.assign(first_.begin(), first_.end() - 1);
  for (size_t b = 0; b < molecule_.bonds.size(); ++b)
    for (const int32_t end : {molecule_.bonds[b].from, molecule_.bonds[b].to}) edges_[size_t(next_[size_t(end)]++)] = int32_t(b);
}

// Every bond that closes a ring makes one with the way between its ends among the others, which are a tree: from each atom one bond leads to an
// earlier one. Ways that were gone are not gone again.
void SmilesReader::mark_rings() {
  auto& atoms = molecule_.atoms;
  auto& bonds = molecule_.bonds;
  aromatic_.clear();
  if (closing_.empty()) return;
  if (dotted_) {  // bonds that close rings may join parts: no tree
    link();
    find_rings();
  } else {
    top_.resize(atoms.size());
    for (size_t a = 0; a < top_.size(); ++a) top_[a] = int32_t(a);
    const auto top = [&](int32_t a) {
      while (top_[size_t(a)] != a) a = top_[size_t(a)] = top_[size_t(top_[size_t(a)])];
      return a;
    };
    for (const int32_t b : closing_) {
      bonds[size_t(b)].in_ring = true;
      int32_t x = top(bonds[size_t(b)].from), y = top(bonds[size_t(b)].to);
      while (x != y) {
        if (x < y) std::swap(x, y);  // the later one
        bonds[size_t(nodes_[size_t(x)].up)].in_ring = true;
        top_[size_t(x)] = nodes_[size_t(x)].above;
        x = top(x);
      }
    }
  }
  aromatic_.resize(bonds.size());
  size_t aromatic = 0;
  for (size_t i = 0; i < bonds.size(); ++i) {
    Molecule::Bond& b = bonds[i];
    atoms[size_t(b.from)].in_ring |= b.in_ring, atoms[size_t(b.to)].in_ring |= b.in_ring;
    b.aromatic &= b.in_ring;  // not between two rings
    nodes_[size_t(b.from)].aromatic += b.aromatic, nodes_[size_t(b.to)].aromatic += b.aromatic;
    aromatic_[aromatic] = int32_t(i);
    aromatic += b.aromatic;
  }
  aromatic_.resize(aromatic);
}

// The same where there is no tree: a bond is in a ring unless its loss parts the molecule (Tarjan 1974: no way back above it).
void SmilesReader::find_rings() {
  auto& atoms = molecule_.atoms;
  auto& bonds = molecule_.bonds;
  for (Molecule::Bond& b : bonds) b.in_ring = true;
  order_.assign(atoms.size(), -1), low_.assign(atoms.size(), 0), parent_bond_.assign(atoms.size(), -1);
  next_.assign(first_.begin(), first_.end() - 1);
  int32_t time = 0;
  for (size_t root = 0; root < atoms.size(); ++root) {
    if (order_[root] >= 0) continue;
    order_[root] = low_[root] = time++;
    for (auto a = int32_t(root); a >= 0;) {
      const auto at = size_t(a);
      if (next_[at] < first_[at + 1]) {
        const int32_t b = edges_[size_t(next_[at]++)];
        if (b == parent_bond_[at]) continue;
        const auto other = size_t(bonds[size_t(b)].from == a ? bonds[size_t(b)].to : bonds[size_t(b)].from);
        if (order_[other] >= 0) {
          low_[at] = std::min(low_[at], order_[other]);
        } else {
          order_[other] = low_[other] = time++;
          parent_bond_[other] = b;
          a = int32_t(other);
        }
        continue;
      }
      const int32_t b = parent_bond_[at];
      if (b < 0) break;
      Molecule::Bond& bond = bonds[size_t(b)];
      const int32_t above = bond.from == a ? bond.to : bond.from;
      if (low_[at] > order_[size_t(above)]) bond.in_ring = false;
      low_[size_t(above)] = std::min(low_[size_t(above)], low_[at]);
      a = above;
    }
  }
}

// Of nitro and diazo groups that are written without their charges, those; true for chlorates and the like, whose bonds are right.
bool SmilesReader::settle_charges(size_t a, int& bonds, bool in_system) {
  link();
  auto& atoms = molecule_.atoms;
  Molecule::Atom& atom = atoms[a];
  int oxides = 0, oxygens = 0;
  Molecule::Bond* uncharged = nullptr;
  for (int32_t e = first_[a]; e < first_[a + 1]; ++e) {
    Molecule::Bond& b = molecule_.bonds[size_t(edges_[size_t(e)])];
    const auto other = size_t(b.from == int32_t(a) ? b.to : b.from);
    const Molecule::Atom& o = atoms[other];
    oxygens += o.element == 8;
    const bool oxide = o.element == 8 && b.order == 2 && o.charge == 0 && nodes_[other].bonds == 1;
    oxides += oxide;
    if (oxide || (o.element == 7 && o.charge == 0 && b.order == 3)) uncharged = &b;
  }
  if (atom.element == 7) {
    if (bonds + in_system != 5 || !uncharged) return false;
    const auto other = size_t(uncharged->from == int32_t(a) ? uncharged->to : uncharged->from);
    atom.charge = 1, --bonds, --uncharged->order;
    --nodes_[other].order;
    atoms[other].charge = -1;
    return false;
  }
  return bonds <= 7 && bonds % 2 == 1 && oxides > 0 && oxygens == nodes_[a].bonds;
}

// Bonds that are left of the least valence that has room for as many, by element and bonds, of neutral atoms of those that stand without a bracket;
// -1 = there is none, kLook = that is not all there is to it.
constexpr int kRestElements = 54, kRestBonds = 8;
constexpr int8_t kLook = -2;
const auto kRest = [] {
  std::array<std::array<int8_t, kRestBonds>, kRestElements> table;
  for (int e = 0; e < kRestElements; ++e)
    for (int bonds = 0; bonds < kRestBonds; ++bonds) {
      const std::span<const int8_t> valences = element_valences(e);
      const auto fits = std::find_if(valences.begin(), valences.end(), [&](int8_t v) { return v >= bonds; });
      const bool halogen = e == 17 || e == 35 || e == 53, charges = (halogen && bonds > 1) || (e == 7 && bonds >= 4);
      table[size_t(e)][size_t(bonds)] = charges || valences.empty() ? kLook : fits == valences.end() ? int8_t(-1) : int8_t(*fits - bonds);
    }
  return table;
}();

// Hydrogens that are implied, atoms with too many bonds, and which aromatic atoms want a double bond.
std::string_view SmilesReader::fill_valences() {
  auto& atoms = molecule_.atoms;
  for (size_t a = 0; a < atoms.size(); ++a) {
    Molecule::Atom& atom = atoms[a];
    Node& node = nodes_[a];
    if (atom.aromatic && !atom.in_ring) return "an aromatic atom outside of rings";
    if (atom.element == 0) continue;
    int bonds = atom.hydrogens + node.order;
    if (node.aromatic > 3) return "an atom with too many bonds";
    const bool in_system = node.aromatic > 0;  // else it is aromatic by its letter alone
    if (!node.bracket && atom.charge == 0 && bonds < kRestBonds) {  // nearly always
      const int rest = kRest[atom.element][size_t(bonds)];
      if (rest != kLook) {
        if (rest < 0) return "an atom with too many bonds";
        node.wants_double = in_system && rest > 0;
        atom.hydrogens = uint8_t(rest - (in_system && rest > 0));
        continue;
      }
    }
    const bool halogen = atom.element == 17 || atom.element == 35 || atom.element == 53;
    if (atom.charge == 0 && bonds > 1 && (halogen || (atom.element == 7 && bonds + in_system == 5)) && settle_charges(a, bonds, in_system)) continue;
    const int electrons = atom.element - atom.charge;
    if (electrons <= 0) {
      if (bonds > 0) return "a nucleus with bonds";
      continue;
    }
    // Sulphide and selenide ions can have more bonds than chlorine and bromine.
    const bool chalcogenide = atom.charge == -1 && (atom.element == 16 || atom.element == 34);
    const std::span<const int8_t> valences = element_valences(chalcogenide ? 53 : std::min(electrons, kElements));
    if (valences.empty()) continue;
    const auto fits = std::find_if(valences.begin(), valences.end(), [&](int8_t v) { return v >= bonds; });
    if (fits == valences.end()) return "an atom with too many bonds";
    const int rest = *fits - bonds;
    if (in_system) node.wants_double = rest > 0;
    if (!node.bracket) atom.hydrogens = uint8_t(in_system ? std::max(rest - 1, 0) : rest);
  }
  return "";
}

// A way from the unmatched atom `root` to another one, along which the matching is turned round (Edmonds 1965).
bool SmilesReader::augment(int32_t root) {
  const size_t n = molecule_.atoms.size();
  link();
  work_ += int64_t(n);
  used_.assign(n, false), father_.assign(n, -1), base_.resize(n);
  for (size_t a = 0; a < n; ++a) base_[a] = int32_t(a);
  queue_.assign(1, root);
  used_[size_t(root)] = true;
  const auto common = [&](int32_t a, int32_t b) {
    seen_.assign(n, false);
    for (;;) {
      a = base_[size_t(a)];
      seen_[size_t(a)] = true;
      if (mate_[size_t(a)] < 0) break;
      a = father_[size_t(mate_[size_t(a)])];
    }
    for (;; b = father_[size_t(mate_[size_t(b)])]) {
      b = base_[size_t(b)];
      if (seen_[size_t(b)]) return b;
    }
  };
  const auto mark = [&](int32_t a, int32_t stop, int32_t child) {
    while (base_[size_t(a)] != stop) {
      blossom_[size_t(base_[size_t(a)])] = blossom_[size_t(base_[size_t(mate_[size_t(a)])])] = true;
      father_[size_t(a)] = child;
      child = mate_[size_t(a)];
      a = father_[size_t(mate_[size_t(a)])];
    }
  };
  for (size_t q = 0; q < queue_.size(); ++q) {
    const int32_t a = queue_[q];
    for (int32_t e = first_[size_t(a)]; e < first_[size_t(a) + 1]; ++e) {
      const Molecule::Bond& bond = molecule_.bonds[size_t(edges_[size_t(e)])];
      if (!bond.aromatic) continue;
      const int32_t o = bond.from == a ? bond.to : bond.from;
      if (!nodes_[size_t(o)].wants_double || base_[size_t(a)] == base_[size_t(o)] || mate_[size_t(a)] == o) continue;
      if (o == root || (mate_[size_t(o)] >= 0 && father_[size_t(mate_[size_t(o)])] >= 0)) {
        const int32_t top = common(a, o);
        blossom_.assign(n, false);
        work_ += int64_t(4 * n);
        if (work_ > kMostWork) return false;
        mark(a, top, o), mark(o, top, a);
        for (size_t x = 0; x < n; ++x)
          if (blossom_[size_t(base_[x])]) {
            base_[x] = top;
            if (!used_[x]) used_[x] = true, queue_.push_back(int32_t(x));
          }
      } else if (father_[size_t(o)] < 0) {
        father_[size_t(o)] = a;
        if (mate_[size_t(o)] >= 0) {
          used_[size_t(mate_[size_t(o)])] = true, queue_.push_back(mate_[size_t(o)]);
          continue;
        }
        for (int32_t x = o; x >= 0;) {
          const int32_t before = father_[size_t(x)], next = mate_[size_t(before)];
          mate_[size_t(x)] = before, mate_[size_t(before)] = x;
          x = next;
        }
        return true;
      }
    }
  }
  return false;
}

std::string_view SmilesReader::alternate() {
  if (aromatic_.empty()) return "";
  const size_t n = molecule_.atoms.size();
  mate_.assign(n, -1);
  for (const int32_t i : aromatic_) {
    const Molecule::Bond& b = molecule_.bonds[size_t(i)];
    if (nodes_[size_t(b.from)].wants_double && nodes_[size_t(b.to)].wants_double && mate_[size_t(b.from)] < 0 && mate_[size_t(b.to)] < 0)
      mate_[size_t(b.from)] = b.to, mate_[size_t(b.to)] = b.from;
  }
  work_ = 0;
  for (size_t a = 0; a < n; ++a)
    if (nodes_[a].wants_double && mate_[a] < 0 && !augment(int32_t(a)))
      return work_ > kMostWork ? "an aromatic system too large to be looked through" : "an aromatic ring without alternating bonds";
  for (const int32_t i : aromatic_) {
    Molecule::Bond& b = molecule_.bonds[size_t(i)];
    if (mate_[size_t(b.from)] == b.to) b.order = 2;
  }
  return "";
}

std::string_view SmilesReader::read(std::string_view smiles) {
  at_ = 0;
  if (smiles.size() > kLongest) return "longer than 16 KiB";
  const std::string_view form = parse(smiles);
  molecule_.atoms.resize(atoms_), molecule_.bonds.resize(bonds_);
  if (!form.empty()) return form;
  mark_rings();
  if (const std::string_view fault = fill_valences(); !fault.empty()) return fault;
  return alternate();
}

}  // namespace tw
