// What is asked of a molecule that was read.
#include <algorithm>
#include <utility>

#include "src/codec/molecule/element.h"
#include "src/codec/molecule/smiles.h"

namespace tw {

int64_t Molecule::heavy_atoms() const noexcept {
  return std::count_if(atoms.begin(), atoms.end(), [](const Atom& a) { return a.element != 1; });
}

double Molecule::weight() const noexcept {
  double sum = 0;
  for (const Atom& a : atoms) sum += element_weight(a.element) + a.hydrogens * element_weight(1);
  return sum;
}

int Molecule::rings() const noexcept {
  std::vector<int32_t> part(atoms.size());
  for (size_t a = 0; a < part.size(); ++a) part[a] = int32_t(a);
  const auto top = [&](int32_t a) {
    while (part[size_t(a)] != a) a = part[size_t(a)] = part[size_t(part[size_t(a)])];
    return a;
  };
  int rings = 0;
  for (const Bond& b : bonds) {
    const int32_t from = top(b.from), to = top(b.to);
    if (from == to) ++rings;
    else part[size_t(from)] = to;
  }
  return rings;
}

// Bond orders do not go in: with every atom's hydrogens they follow, but for where the double bonds of a ring stand.
uint64_t Molecule::identity() const {
  const auto mix = [](uint64_t x) {  // splitmix64
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  };
  // Hydrogens that are drawn count like those that are not.
  std::vector<int32_t> heavy(atoms.size(), -1);
  for (const Bond& b : bonds)
    for (const auto& [h, x] : {std::pair(b.from, b.to), std::pair(b.to, b.from)}) {
      const Atom& a = atoms[size_t(h)];
      if (a.element == 1 && a.charge == 0 && a.isotope == 0 && atoms[size_t(x)].element != 1) heavy[size_t(h)] = x;
    }
  std::vector<uint64_t> now(atoms.size()), next(atoms.size());
  std::vector<uint64_t> hydrogens(atoms.size());
  for (size_t a = 0; a < atoms.size(); ++a) {
    hydrogens[a] += atoms[a].hydrogens;
    if (heavy[a] >= 0) ++hydrogens[size_t(heavy[a])];
  }
  const auto counts = [&](const Bond& b) { return heavy[size_t(b.from)] < 0 && heavy[size_t(b.to)] < 0; };
  for (size_t a = 0; a < atoms.size(); ++a) {
    const Atom& x = atoms[a];
    if (heavy[a] < 0) now[a] = mix(uint64_t(x.element) | uint64_t(uint8_t(x.charge)) << 8 | uint64_t(x.isotope) << 16 | hydrogens[a] << 32);
  }
  const auto distinct = [&] {
    std::vector<uint64_t> sorted = now;
    std::sort(sorted.begin(), sorted.end());
    return size_t(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
  };
  size_t classes = 0;
  for (size_t round = 0; round < atoms.size() + 1; ++round) {
    if (const size_t d = distinct(); d > classes) classes = d;
    else break;
    for (size_t a = 0; a < atoms.size(); ++a) next[a] = heavy[a] < 0 ? mix(now[a]) : 0;
    for (const Bond& b : bonds) {  // a sum: neighbours have no order
      if (!counts(b)) continue;
      next[size_t(b.from)] += mix(now[size_t(b.to)] ^ 0xA5A5u), next[size_t(b.to)] += mix(now[size_t(b.from)] ^ 0xA5A5u);
    }
    std::swap(now, next);
  }
  uint64_t sum = 0;
  for (size_t a = 0; a < now.size(); ++a)
    if (heavy[a] < 0) sum += mix(now[a]);
  return sum;
}

}  // namespace tw
