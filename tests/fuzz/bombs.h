// Inputs that are small to describe and large to keep: nested a million times, lines of megabytes, a million small
// values.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace tw::fuzz {

struct Bomb {
  std::string target, name;
  std::function<std::string()> make;
};
std::vector<Bomb> bombs();

}  // namespace tw::fuzz
