#include "src/codec/molecule/reordered.h"

#include <algorithm>
#include <utility>

#include "src/codec/molecule/smiles.h"

namespace tw {
namespace {

bool is_bond(char c) { return c == '-' || c == '=' || c == '#' || c == '$' || c == ':'; }

}  // namespace

bool SmilesReorderer::take(std::string_view s) {
  for (const char c : s)
    if (c == '@' || c == '/' || c == '\\') return false;
  atoms_.clear(), bonds_.clear(), branches_.clear(), open_.clear();
  int32_t last = -1;
  char symbol = 0;
  for (size_t at = 0; at < s.size();) {
    const std::string_view token = s.substr(at, smiles_token(s.substr(at)));
    at += token.size();
    const char c = token[0];
    if (c == '(') branches_.push_back(last);
    else if (c == ')') last = branches_.back(), branches_.pop_back();
    else if (c == '.') last = -1;
    else if (is_bond(c)) symbol = c;
    else if ((c >= '0' && c <= '9') || c == '%') {
      size_t number = 0;
      for (const char d : token)
        if (d >= '0' && d <= '9') number = number * 10 + size_t(d - '0');
      if (number >= open_.size()) open_.resize(number + 1, {-1, 0});
      auto& [atom, drawn] = open_[number];
      if (atom < 0) atom = last, drawn = symbol;
      else bonds_.push_back({atom, last, symbol ? symbol : drawn}), atom = -1;
      symbol = 0;
    } else {
      atoms_.push_back(token);
      const auto atom = int32_t(atoms_.size()) - 1;
      if (last >= 0) bonds_.push_back({last, atom, symbol});
      last = atom, symbol = 0;
    }
  }
  if (atoms_.empty() || atoms_.size() > kMostAtoms) return false;
  first_.assign(atoms_.size() + 1, 0);
  for (const Bond& b : bonds_) ++first_[size_t(b.a) + 1], ++first_[size_t(b.b) + 1];
  for (size_t a = 0; a < atoms_.size(); ++a) first_[a + 1] += first_[a];
  next_.assign(first_.begin(), first_.end() - 1);
  drawn_edges_.resize(2 * bonds_.size());
  for (const Bond& b : bonds_) {
    drawn_edges_[size_t(next_[size_t(b.a)]++)] = {b.b, b.symbol};
    drawn_edges_[size_t(next_[size_t(b.b)]++)] = {b.a, b.symbol};
  }
  return true;
}

template <class T>
void SmilesReorderer::shuffle(std::span<T> all) {
  for (size_t i = all.size(); i > 1; --i, ++drawn_) {
    if (drawn_ % words_.size() == 0) words_ = rng_.block(drawn_ / words_.size());
    std::swap(all[i - 1], all[words_[drawn_ % words_.size()] % uint32_t(i)]);
  }
}

std::string_view SmilesReorderer::written(uint64_t seed) {
  rng_ = {seed, RngStream::data_order, 0, 0};
  drawn_ = 0, most_ = 0;
  taken_.fill(false), rings_.clear(), out_.clear();
  edges_ = drawn_edges_;
  for (size_t a = 0; a < atoms_.size(); ++a) shuffle(edges_of(int32_t(a)));
  order_.resize(atoms_.size());
  for (size_t i = 0; i < order_.size(); ++i) order_[i] = int32_t(i);
  shuffle(std::span(order_));
  seen_.assign(atoms_.size(), 0);
  for (const int32_t atom : order_)
    if (!seen_[size_t(atom)]) find_rings(atom, -1);
  seen_.assign(atoms_.size(), 0);
  for (const int32_t atom : order_) {
    if (seen_[size_t(atom)]) continue;
    if (!out_.empty()) out_ += '.';
    write(atom, -1);
  }
  return most_ > kMostRings ? std::string_view() : out_;
}

// In the order in which write() goes: edges that lead back to an atom that was there close a ring.
void SmilesReorderer::find_rings(int32_t atom, int32_t from) {
  seen_[size_t(atom)] = 1;
  for (Edge& e : edges_of(atom)) {
    if (e.to == from || e.ring >= 0) continue;
    if (!seen_[size_t(e.to)]) {
      find_rings(e.to, atom);
      continue;
    }
    e.ring = int32_t(rings_.size());
    for (Edge& back : edges_of(e.to))
      if (back.to == atom) back.ring = e.ring;
    rings_.push_back({.opens = e.to, .symbol = e.symbol});
  }
}

void SmilesReorderer::write(int32_t atom, int32_t from) {
  seen_[size_t(atom)] = 1;
  out_ += atoms_[size_t(atom)];
  size_t left = 0;
  for (const Edge& e : edges_of(atom)) {
    left += e.ring < 0 && e.to != from;
    if (e.ring < 0) continue;
    Ring& ring = rings_[size_t(e.ring)];
    if (ring.opens == atom) {
      ring.number = int(std::find(taken_.begin() + 1, taken_.end(), false) - taken_.begin());
      most_ = std::max(most_, ring.number);
      if (ring.number > kMostRings) return;
      taken_[size_t(ring.number)] = true;
      if (ring.symbol) out_ += ring.symbol;
    } else {
      taken_[size_t(ring.number)] = false;
    }
    if (ring.number >= 10) out_ += '%', out_ += char('0' + ring.number / 10);
    out_ += char('0' + ring.number % 10);
  }
  for (const Edge& e : edges_of(atom)) {
    if (e.ring >= 0 || e.to == from) continue;
    const bool branch = --left > 0;
    if (branch) out_ += '(';
    if (e.symbol) out_ += e.symbol;
    write(e.to, atom);
    if (branch) out_ += ')';
  }
}

}  // namespace tw
