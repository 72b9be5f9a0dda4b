#include "src/core/json_guard.h"

#include <gtest/gtest.h>

#include "src/core/error.h"

namespace tw {
namespace {

bool passes(const std::string& text, JsonLimits limits) {
  try {
    check_json_structure(text, limits, "file.json");
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_NE(std::string(e.what()).find("file.json"), std::string::npos);
    return false;
  }
}

std::string times(int n, const std::string& s) {
  std::string all;
  for (int i = 0; i < n; ++i) all += s;
  return all;
}

TEST(JsonGuard, DepthIsLimited) {
  EXPECT_TRUE(passes(times(3, "[") + times(3, "]"), {.depth = 3}));
  EXPECT_FALSE(passes(times(4, "[") + times(4, "]"), {.depth = 3}));
  EXPECT_FALSE(passes(times(2, "{\"a\":[") + times(2, "]}"), {.depth = 3}));
  EXPECT_TRUE(passes("[" + times(9, "[],") + "[]]", {.depth = 2}));  // side by side is not deep
  EXPECT_FALSE(passes(times(1 << 20, "["), {}));
}

TEST(JsonGuard, ValuesAreLimited) {
  EXPECT_TRUE(passes("[1,2,3]", {.values = 3}));
  EXPECT_FALSE(passes("[1,2,3,4]", {.values = 3}));
  EXPECT_FALSE(passes("[{},{}]", {.values = 3}));
}

TEST(JsonGuard, WhatStandsInStringsDoesNotCount) {
  const std::string inside = times(100, "[{,") + "\\\"" + times(100, "[{,");
  EXPECT_TRUE(passes("[\"" + inside + "\"]", {.depth = 1, .values = 1}));
  EXPECT_FALSE(passes("[\"\\\\\"" + times(5, "["), {.depth = 3}));  // the backslash is escaped: the string has ended
  EXPECT_TRUE(passes("\"never ends [[[[", {.depth = 1}));
  EXPECT_TRUE(passes("\"\\", {}));
}

}  // namespace
}  // namespace tw
