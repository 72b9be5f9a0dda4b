#include "src/codec/molecule/reordered.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "src/codec/molecule/smiles.h"
#include "src/core/rng.h"

namespace tw {
namespace {

constexpr std::string_view kBonds = "-=#$:";
constexpr int kMostRings = 99;

struct Edge {
  int32_t to = 0;
  char symbol = 0;       // 0 = none is drawn
  int32_t ring = -1;     // of edges that close a ring: their number in `rings`
};

class Writer {
 public:
  Writer(std::string_view smiles, uint64_t seed) : rng_{seed, RngStream::data_order, 0, 0} { parse(smiles); }
  std::string written() {
    if (atoms_.empty() || atoms_.size() > kMostReordered) return "";
    for (auto& edges : edges_) shuffle(edges);
    std::vector<int32_t> order(atoms_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = int32_t(i);
    shuffle(order);
    seen_.assign(atoms_.size(), 0);
    for (const int32_t atom : order)
      if (!seen_[size_t(atom)]) find_rings(atom, -1);
    seen_.assign(atoms_.size(), 0);
    std::string out;
    for (const int32_t atom : order)
      if (!seen_[size_t(atom)]) out += out.empty() ? "" : ".", write(atom, -1, out);
    return most_ > kMostRings ? "" : out;
  }

 private:
  struct Ring {
    int32_t opens = 0;   // the atom that comes first
    int number = 0;      // while it is open
    char symbol = 0;
  };
  template <class T>
  void shuffle(std::vector<T>& all) {
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[size_t(rng_.bits(drawn_++) % uint32_t(i))]);
  }
  void bond(int32_t a, int32_t b, char symbol) {
    edges_[size_t(a)].push_back({b, symbol});
    edges_[size_t(b)].push_back({a, symbol});
  }
  void parse(std::string_view s) {
    std::vector<int32_t> branches;
    std::vector<std::pair<int32_t, char>> open;  // rings by number: atom, bond
    int32_t last = -1;
    char symbol = 0;
    for (size_t at = 0; at < s.size();) {
      const std::string_view token = s.substr(at, smiles_token(s.substr(at)));
      at += token.size();
      const char c = token[0];
      if (c == '(') branches.push_back(last);
      else if (c == ')') last = branches.back(), branches.pop_back();
      else if (c == '.') last = -1;
      else if (kBonds.find(c) != kBonds.npos) symbol = c;
      else if ((c >= '0' && c <= '9') || c == '%') {
        size_t number = 0;
        for (const char d : token)
          if (d >= '0' && d <= '9') number = number * 10 + size_t(d - '0');
        if (number >= open.size()) open.resize(number + 1, {-1, 0});
        auto& [atom, drawn] = open[number];
        if (atom < 0) atom = last, drawn = symbol;
        else bond(atom, last, symbol ? symbol : drawn), atom = -1;
        symbol = 0;
      } else {
        atoms_.push_back(token);
        edges_.emplace_back();
        const auto atom = int32_t(atoms_.size()) - 1;
        if (last >= 0) bond(last, atom, symbol);
        last = atom, symbol = 0;
      }
    }
  }
  // In the order in which write() goes: edges that lead back to an atom that was there close a ring.
  void find_rings(int32_t atom, int32_t from) {
    seen_[size_t(atom)] = 1;
    for (Edge& e : edges_[size_t(atom)]) {
      if (e.to == from || e.ring >= 0) continue;
      if (!seen_[size_t(e.to)]) {
        find_rings(e.to, atom);
        continue;
      }
      e.ring = int32_t(rings_.size());
      for (Edge& back : edges_[size_t(e.to)])
        if (back.to == atom) back.ring = e.ring;
      rings_.push_back({.opens = e.to, .symbol = e.symbol});
    }
  }
  void write(int32_t atom, int32_t from, std::string& out) {
    seen_[size_t(atom)] = 1;
    out += atoms_[size_t(atom)];
    for (const Edge& e : edges_[size_t(atom)]) {
      if (e.ring < 0) continue;
      Ring& ring = rings_[size_t(e.ring)];
      if (ring.opens == atom) {
        ring.number = int(std::find(taken_.begin() + 1, taken_.end(), false) - taken_.begin());
        most_ = std::max(most_, ring.number);
        if (ring.number > kMostRings) return;
        taken_[size_t(ring.number)] = true;
        if (ring.symbol) out += ring.symbol;
      } else {
        taken_[size_t(ring.number)] = false;
      }
      out += ring.number < 10 ? fmt::format("{}", ring.number) : fmt::format("%{}", ring.number);
    }
    size_t left = 0;
    for (const Edge& e : edges_[size_t(atom)]) left += e.ring < 0 && e.to != from;
    for (const Edge& e : edges_[size_t(atom)]) {
      if (e.ring >= 0 || e.to == from) continue;
      const bool branch = --left > 0;
      if (branch) out += '(';
      if (e.symbol) out += e.symbol;
      write(e.to, atom, out);
      if (branch) out += ')';
    }
  }
  std::vector<std::string_view> atoms_;
  std::vector<std::vector<Edge>> edges_;  // by atom
  std::vector<Ring> rings_;
  std::vector<char> seen_;
  std::array<bool, kMostRings + 2> taken_{};  // numbers of rings that are open; the last one is never
  int most_ = 0;
  Rng rng_;
  uint64_t drawn_ = 0;
};

}  // namespace

std::string reordered(std::string_view smiles, uint64_t seed) {
  if (smiles.find_first_of("@/\\") != smiles.npos) return "";
  return Writer(smiles, seed).written();
}

}  // namespace tw
