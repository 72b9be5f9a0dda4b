#include "src/meter/budget.h"

#include <gtest/gtest.h>

#include <cmath>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {

TEST(BudgetText, IsReadInEveryUnit) {
  const auto expect = [](const char* text, double joules, double eur, double seconds) {
    const Budget b = parse_budget(text);
    EXPECT_DOUBLE_EQ(b.joules, joules) << text;
    EXPECT_DOUBLE_EQ(b.eur, eur) << text;
    EXPECT_DOUBLE_EQ(b.seconds, seconds) << text;
  };
  expect("500J", 500, 0, 0);
  expect("50kJ", 50e3, 0, 0);
  expect("1.5MJ", 1.5e6, 0, 0);
  expect("0.2kWh", 720e3, 0, 0);
  expect("5EUR", 0, 5, 0);
  expect("5€", 0, 5, 0);
  expect("0.25 €", 0, 0.25, 0);
  expect("30s", 0, 0, 30);
  expect("90min", 0, 0, 5400);
  expect("2h", 0, 0, 7200);
  expect("50kJ,5€, 2h", 50e3, 5, 7200);
}

TEST(BudgetText, IsStrict) {
  for (const char* text : {"", "50", "kJ", "-5kJ", "0kJ", "0", "5 kg", "5kj", "5KJ", "5eur", "1e3J", "nanJ", "infs", "5..2J", "0x10J", "5m", "2h30min",
                           "50kJ,", ",50kJ", "50kJ;2h", "50kJ 2h", "5,5EUR", "1h,2h", "2J,3kWh", "1000000GJ,1s,1", "99999999999999999999d", "5kJ\n"})
    try {
      parse_budget(text);
      ADD_FAILURE() << '"' << text << "\" was taken";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config) << text;
      EXPECT_NE(std::string(e.what()).find("--budget"), std::string::npos) << e.what();
    }
}

TEST(BudgetText, PrintedReadsBackCloseBy) {
  for (const Budget& b : {Budget{52e3, 0, 0}, Budget{0, 0.0123, 0}, Budget{7, 0, 45}, Budget{3.6e9, 12, 1e6}, Budget{0, 0, 179}}) {
    const Budget again = parse_budget(budget_text(b));
    EXPECT_NEAR(again.joules, b.joules, b.joules * 1e-3) << budget_text(b);
    EXPECT_NEAR(again.eur, b.eur, b.eur * 1e-3) << budget_text(b);
    EXPECT_NEAR(again.seconds, b.seconds, b.seconds * 1e-3) << budget_text(b);
  }
}

TEST(BudgetAllowance, LeavesRoomForWhatIsNext) {
  const PhaseTotals next = {.seconds = 2, .joules = 30, .node_seconds = 8};
  const auto time_left = [&](double limit, double used) {
    return allowance({.seconds = limit}, {}, {.seconds = used}, next).time;
  };
  EXPECT_TRUE(time_left(100, 97.9));
  EXPECT_TRUE(time_left(100, 98));
  EXPECT_FALSE(time_left(100, 98.1));
  EXPECT_DOUBLE_EQ(allowance({.joules = 100}, {}, {}, next).joules, 70);
  EXPECT_TRUE(std::isinf(allowance({.seconds = 1}, {}, {}, next).joules));
}

TEST(BudgetAllowance, EurosAreEnergyAndHours) {
  const PhaseTotals used = {.node_seconds = 3592}, next = {.joules = 1e5, .node_seconds = 8};
  EnergyOptions prices{.pue = 2, .price_eur_per_node_hour = 3};
  EXPECT_TRUE(allowance({.eur = 3.001}, prices, used, next).time);
  EXPECT_FALSE(allowance({.eur = 2.999}, prices, used, next).time);
  EXPECT_TRUE(std::isinf(allowance({.eur = 3.001}, prices, used, next).joules)) << "energy has no price";
  prices.price_eur_per_kwh = 0.5;  // 1 EUR = 2 kWh of the facility = 3.6 MJ of the machines
  EXPECT_NEAR(allowance({.eur = 4}, prices, used, next).joules, 3.6e6 - 1e5, 1);
  // The tighter one counts.
  EXPECT_DOUBLE_EQ(allowance({.joules = 2e5, .eur = 4}, prices, used, next).joules, 1e5);
}

TEST(Budget, IsRefusedWhereItCannotBeCounted) {
  const ScratchFolder folder;
  const auto why = [&](const Budget& budget, const EnergyOptions& options, double unmetered = 0) {
    PhaseLedger ledger(folder / std::to_string(unmetered), options);
    if (unmetered > 0) ledger.add("train", unmetered, kNoJoules, 1);
    try {
      check_countable(budget, EnergyMeter(options, 0, 1), ledger);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config);
      return std::string(e.what());
    }
    return std::string();
  };
  const EnergyOptions none{.source = "none"}, assumed{.source = "assumed", .assumed_watts = 10};
  EXPECT_EQ(why({.seconds = 10}, none, 3), "");
  EXPECT_NE(why({.joules = 10}, none).find("energy.assumed_watts"), std::string::npos);
  EXPECT_EQ(why({.joules = 10}, assumed), "");
  EXPECT_NE(why({.joules = 10}, assumed, 3).find("3.00 s"), std::string::npos) << "joules of an earlier start are not known";
  EXPECT_NE(why({.eur = 10}, assumed).find("energy.price_eur_per_kwh"), std::string::npos);
  EnergyOptions priced = none;
  priced.price_eur_per_node_hour = 1;
  EXPECT_EQ(why({.eur = 10}, priced), "");
  priced.price_eur_per_kwh = 1;
  EXPECT_NE(why({.eur = 10}, priced).find("no meter"), std::string::npos);
}

TEST(Budget, IsRaisedToWhatTheWholeTakes) {
  const ScratchFolder folder;
  const PhaseLedger ledger(folder.path(), {});
  const PhaseTotals whole = {.seconds = 99, .joules = 5200};
  const Budget enough = raised({.joules = 4000, .seconds = 500}, ledger, whole);
  EXPECT_GE(enough.joules, 5200 * 1.02);
  EXPECT_LE(enough.joules, 5200 * 1.15);
  EXPECT_DOUBLE_EQ(enough.seconds, 500) << "it fits";
  EXPECT_EQ(enough.eur, 0) << "none was set";
  EXPECT_EQ(describe_use({.joules = 4000, .seconds = 500}, ledger, whole), "5.2 kJ of 4 kJ, 1 min 39 s of 8 min 20 s");
}

}  // namespace
}  // namespace tw
