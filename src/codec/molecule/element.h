// Chemical elements: symbols, weights, and how many bonds their atoms can have.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace tw {

inline constexpr int kElements = 118;

// 1 to 118; 0 where `symbol` ("C", "Cl") is none.
int element_named(std::string_view symbol) noexcept;
std::string_view element_symbol(int element) noexcept;  // "" for 0, an atom of any kind
// Standard atomic weight in g/mol (IUPAC 2021, shortened); of an element without one, the mass number of its longest-lived isotope; 0 for 0.
double element_weight(int element) noexcept;
// Bond orders, hydrogens counted, that a neutral atom can have in all, rising; empty = not restricted (metals).
// A charged atom has those of the element with as many electrons: N+ those of C.
std::span<const int8_t> element_valences(int element) noexcept;

}  // namespace tw
