#include "src/codec/molecule/element.h"

#include <array>

namespace tw {
namespace {

struct Element {
  std::string_view symbol;
  double weight;
};
constexpr std::array<Element, kElements + 1> kTable = {{
    {"", 0},
    {"H", 1.008}, {"He", 4.0026}, {"Li", 6.94}, {"Be", 9.0122}, {"B", 10.81}, {"C", 12.011}, {"N", 14.007}, {"O", 15.999}, {"F", 18.998},
    {"Ne", 20.180}, {"Na", 22.990}, {"Mg", 24.305}, {"Al", 26.982}, {"Si", 28.085}, {"P", 30.974}, {"S", 32.06}, {"Cl", 35.45},
    {"Ar", 39.95}, {"K", 39.098}, {"Ca", 40.078}, {"Sc", 44.956}, {"Ti", 47.867}, {"V", 50.942}, {"Cr", 51.996}, {"Mn", 54.938},
    {"Fe", 55.845}, {"Co", 58.933}, {"Ni", 58.693}, {"Cu", 63.546}, {"Zn", 65.38}, {"Ga", 69.723}, {"Ge", 72.630}, {"As", 74.922},
    {"Se", 78.971}, {"Br", 79.904}, {"Kr", 83.798}, {"Rb", 85.468}, {"Sr", 87.62}, {"Y", 88.906}, {"Zr", 91.224}, {"Nb", 92.906},
    {"Mo", 95.95}, {"Tc", 97}, {"Ru", 101.07}, {"Rh", 102.91}, {"Pd", 106.42}, {"Ag", 107.87}, {"Cd", 112.41}, {"In", 114.82},
    {"Sn", 118.71}, {"Sb", 121.76}, {"Te", 127.60}, {"I", 126.90}, {"Xe", 131.29}, {"Cs", 132.91}, {"Ba", 137.33}, {"La", 138.91},
    {"Ce", 140.12}, {"Pr", 140.91}, {"Nd", 144.24}, {"Pm", 145}, {"Sm", 150.36}, {"Eu", 151.96}, {"Gd", 157.25}, {"Tb", 158.93},
    {"Dy", 162.50}, {"Ho", 164.93}, {"Er", 167.26}, {"Tm", 168.93}, {"Yb", 173.05}, {"Lu", 174.97}, {"Hf", 178.49}, {"Ta", 180.95},
    {"W", 183.84}, {"Re", 186.21}, {"Os", 190.23}, {"Ir", 192.22}, {"Pt", 195.08}, {"Au", 196.97}, {"Hg", 200.59}, {"Tl", 204.38},
    {"Pb", 207.2}, {"Bi", 208.98}, {"Po", 209}, {"At", 210}, {"Rn", 222}, {"Fr", 223}, {"Ra", 226}, {"Ac", 227}, {"Th", 232.04},
    {"Pa", 231.04}, {"U", 238.03}, {"Np", 237}, {"Pu", 244}, {"Am", 243}, {"Cm", 247}, {"Bk", 247}, {"Cf", 251}, {"Es", 252}, {"Fm", 257},
    {"Md", 258}, {"No", 259}, {"Lr", 262}, {"Rf", 267}, {"Db", 268}, {"Sg", 269}, {"Bh", 270}, {"Hs", 269}, {"Mt", 278}, {"Ds", 281},
    {"Rg", 282}, {"Cn", 285}, {"Nh", 286}, {"Fl", 289}, {"Mc", 290}, {"Lv", 293}, {"Ts", 294}, {"Og", 294},
}};

// The index of each symbol by its letters: 27 places for the second, none first.
constexpr auto kByLetters = [] {
  std::array<uint8_t, 26 * 27> table{};
  for (size_t e = 1; e < kTable.size(); ++e) {
    const std::string_view s = kTable[e].symbol;
    table[size_t(s[0] - 'A') * 27 + (s.size() == 2 ? size_t(s[1] - 'a') + 1 : 0)] = uint8_t(e);
  }
  return table;
}();

constexpr int8_t kNone[] = {0}, kOne[] = {1}, kTwo[] = {2}, kThree[] = {3}, kFour[] = {4}, kTin[] = {2, 4}, kPhosphorus[] = {3, 5}, kSulphur[] = {2, 4, 6},
                 kIodine[] = {1, 3, 5}, kXenon[] = {0, 2, 4, 6};
constexpr auto kValences = [] {
  std::array<std::span<const int8_t>, kElements + 1> table{};
  for (const int e : {1, 3, 9, 11, 17, 19, 35, 37, 55}) table[size_t(e)] = kOne;
  for (const int e : {2, 10, 18, 36, 86}) table[size_t(e)] = kNone;
  for (const int e : {4, 8}) table[size_t(e)] = kTwo;
  for (const int e : {5, 7, 13, 31, 49}) table[size_t(e)] = kThree;
  for (const int e : {6, 14, 32}) table[size_t(e)] = kFour;
  for (const int e : {50, 82}) table[size_t(e)] = kTin;
  for (const int e : {15, 33, 51, 83}) table[size_t(e)] = kPhosphorus;
  for (const int e : {16, 34, 52}) table[size_t(e)] = kSulphur;
  for (const int e : {53, 85}) table[size_t(e)] = kIodine;
  table[54] = kXenon;
  return table;
}();

}  // namespace

int element_named(std::string_view symbol) noexcept {
  if (symbol.empty() || symbol.size() > 2 || symbol[0] < 'A' || symbol[0] > 'Z') return 0;
  if (symbol.size() == 2 && (symbol[1] < 'a' || symbol[1] > 'z')) return 0;
  return kByLetters[size_t(symbol[0] - 'A') * 27 + (symbol.size() == 2 ? size_t(symbol[1] - 'a') + 1 : 0)];
}

std::string_view element_symbol(int element) noexcept { return element > 0 && element <= kElements ? kTable[size_t(element)].symbol : ""; }
double element_weight(int element) noexcept { return element > 0 && element <= kElements ? kTable[size_t(element)].weight : 0; }

std::span<const int8_t> element_valences(int element) noexcept { return element > 0 && element <= kElements ? kValences[size_t(element)] : std::span<const int8_t>(); }

}  // namespace tw
