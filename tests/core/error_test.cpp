#include "src/core/error.h"

#include <gtest/gtest.h>

#include <cstring>

#include "src/core/clock.h"

namespace tw {
namespace {

TEST(Error, CarriesCodeTextAndPlace) {
  int line = 0;
  try {
    line = __LINE__ + 1;
    TW_CHECK(1 + 1 == 3, data, "{} holds {} tokens", "a.h5", 2);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    EXPECT_STREQ(e.what(), "a.h5 holds 2 tokens");
    EXPECT_EQ(int(e.where().line()), line);
    EXPECT_NE(std::strstr(e.where().file_name(), "error_test.cpp"), nullptr);
  }
}

TEST(Error, ATrueConditionFormatsNothing) {
  int formatted = 0;
  const auto count = [&] { return ++formatted; };
  TW_CHECK(true, bug, "{}", count());
  EXPECT_EQ(formatted, 0);
}

TEST(Error, ExitCodesAreThoseOfTheManual) {
  EXPECT_EQ(int(ExitCode::config), 64);
  EXPECT_EQ(int(ExitCode::data), 65);
  EXPECT_EQ(int(ExitCode::no_input), 66);
  EXPECT_EQ(int(ExitCode::peer_lost), 69);
  EXPECT_EQ(int(ExitCode::bug), 70);
  EXPECT_EQ(int(ExitCode::cannot_create), 73);
  EXPECT_EQ(int(ExitCode::io), 74);
  EXPECT_EQ(int(ExitCode::requeue), 75);
  EXPECT_EQ(int(ExitCode::fenced), 76);
  EXPECT_EQ(int(ExitCode::budget), 77);
  EXPECT_EQ(int(ExitCode::numerics), 79);
  EXPECT_EQ(int(ExitCode::hang), 80);
  EXPECT_EQ(int(ExitCode::corruption), 81);
}

TEST(Clock, TimesAreIso8601InUtc) {
  EXPECT_EQ(iso_time(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(iso_time(951782400), "2000-02-29T00:00:00Z");
  EXPECT_EQ(iso_time(1000000000.9), "2001-09-09T01:46:40Z");
  EXPECT_GE(process_age_seconds(), 0);
  const double a = now_seconds();
  EXPECT_GE(now_seconds(), a);
}

}  // namespace
}  // namespace tw
