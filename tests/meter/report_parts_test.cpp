// Curves, charts and pieces of HTML of the report.
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "src/meter/report/chart.h"
#include "src/meter/report/common_substring.h"
#include "src/meter/report/html.h"

namespace tw::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Curve, KeepsPointsUntilThereAreTooMany) {
  Curve curve;
  for (int i = 0; i < 1000; ++i) curve.add(i, std::sin(i));
  const auto all = curve.stretches(5000);
  ASSERT_EQ(all.size(), 1000u);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(all[size_t(i)].step(), i);
    EXPECT_EQ(all[size_t(i)].mean, std::sin(i));
  }
}

TEST(Curve, LongOnesKeepMeanRangeAndEveryPoint) {
  for (const int n : {4096, 4097, 10000, 100000}) {
    Curve curve;
    double sum = 0;
    for (int i = 0; i < n; ++i) {
      const double value = i == 5000 ? 50 : i == 7001 ? -9 : 1 + i % 7;  // two spikes
      curve.add(i, value);
      sum += value;
    }
    for (const size_t most : {4096, 800, 7, 1}) {
      const auto stretches = curve.stretches(most);
      EXPECT_LE(stretches.size(), most);
      EXPECT_GE(stretches.size(), std::min<size_t>(most, 2048));
      double weighted = 0, low = INFINITY, high = -INFINITY;
      int64_t points = 0;
      for (size_t k = 0; k < stretches.size(); ++k) {
        const Stretch& s = stretches[k];
        EXPECT_EQ(s.first, double(points)) << "nothing left out between stretches";
        weighted += s.mean * double(s.points);
        points += s.points;
        low = std::min(low, s.low), high = std::max(high, s.high);
      }
      EXPECT_EQ(points, n);
      EXPECT_NEAR(weighted / n, sum / n, 1e-9);
      EXPECT_EQ(low, n > 7001 ? -9 : 1);
      EXPECT_EQ(high, n > 5000 ? 50 : 7);
    }
    EXPECT_EQ(curve.points(), n);
    EXPECT_EQ(curve.first(), 1);
    EXPECT_EQ(curve.last_step(), n - 1);
  }
}

TEST(Curve, LeavesOutWhatIsNoPoint) {
  Curve curve;
  curve.add(1, 5);
  curve.add(1, 6);  // the step does not rise
  curve.add(0, 7);
  curve.add(2, NAN);
  curve.add(3, INFINITY);
  curve.add(4, 1e300);
  curve.add(NAN, 1);
  EXPECT_EQ(curve.points(), 1);
  EXPECT_EQ(curve.last(), 5);
  EXPECT_TRUE(std::isnan(Curve().median()));
}

TEST(Curve, MedianLeavesOutTheFirstPoint) {
  Curve curve;
  for (int i = 0; i < 5; ++i) curve.add(i, i == 0 ? 1000 : i);
  EXPECT_EQ(curve.median(), 3);
}

TEST(Chart, LongCurvesAreDrawnWithTheirRange) {
  Curve curve;
  for (int i = 0; i < 10000; ++i) curve.add(i, i == 5000 ? 50 : 1);  // one spike
  const std::string html = chart({.id = "t", .title = "t", .first = 0, .last = 9999}, {{"a", &curve}});
  EXPECT_THAT(html, HasSubstr("class=\"band s0 d0\""));
  EXPECT_THAT(html, HasSubstr(">40</span>")) << "the axis reaches the spike";
  EXPECT_THAT(html, HasSubstr(",1,50,")) << "least and greatest of the stretch with the spike";
  EXPECT_THAT(html, HasSubstr("a: 1.00 at step 0, 1.00 at step 9999, between 1.00 and 50.0"));
  EXPECT_THAT(html, HasSubstr("(1.000 to 50.00)")) << "in the table, too";
  EXPECT_LT(html.size(), 60000u);
  const Curve empty;
  EXPECT_THAT(chart({.id = "t", .title = "t"}, {{"a", &empty}}), HasSubstr("no values"));
}

TEST(Chart, EachSeriesHasALookOfItsOwn) {
  std::set<std::string> looks;
  for (int i = 0; i < kSeriesStyles; ++i) looks.insert(swatch(i));
  EXPECT_EQ(looks.size(), size_t(kSeriesStyles));
}

TEST(CommonSubstring, IsTheLongestOfWholeCharacters) {
  const auto in_both = [](std::string_view a, std::string_view b) {
    const CommonSubstring p = longest_common_substring(a, b);
    EXPECT_EQ(a.substr(p.in_a, p.length), b.substr(p.in_b, p.length));
    return a.substr(p.in_a, p.length);
  };
  EXPECT_EQ(in_both("the black cat sat", "a black cat ran"), " black cat ");
  EXPECT_EQ(in_both("", "abc"), "");
  EXPECT_EQ(in_both("abc", "xyz"), "");
  EXPECT_EQ(in_both("aaaa", "aa"), "aa");
  EXPECT_EQ(in_both("grün", "grüße"), "grü");
  EXPECT_EQ(in_both("aü", "aö"), "a");                      // ü and ö share their first byte
  EXPECT_EQ(in_both("\xc3\xbc\x41", "\xc5\xbc\x41"), "A");  // and these their last
}

TEST(Chart, TicksAreRound) {
  const std::vector<double> fifths = {0, 0.2, 0.4, 0.6, 0.8, 1};
  EXPECT_THAT(ticks(0, 1, 5), testing::Pointwise(testing::DoubleNear(1e-12), fifths));
  EXPECT_THAT(ticks(1.97, 8.2, 5), testing::ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(ticks(3, 3, 5).size(), 1u);
  EXPECT_LE(ticks(-1e300, 1e300, 5).size(), 20u);
}

TEST(Escaped, TextIsCutBetweenCharacters) {
  const std::string umlauts = "äöüäöü";
  for (size_t limit = 0; limit <= umlauts.size(); ++limit) {
    const std::string cut = escaped(umlauts, limit);
    EXPECT_NO_THROW(nlohmann::json(cut).dump()) << limit;  // valid UTF-8
    EXPECT_EQ(cut.ends_with("…"), limit < umlauts.size());
  }
  EXPECT_EQ(escaped("😀😀", 5), "😀…");
  EXPECT_EQ(escaped("a<b>&\"'", 100), "a&lt;b&gt;&amp;&quot;&#39;");
}

TEST(Escaped, NamesDoNotTurnAround) {
  EXPECT_EQ(escaped("invoice\u202efdp.exe"), "invoice\ufffdfdp.exe");
  EXPECT_EQ(escaped("\u2066x\u2069"), "\ufffdx\ufffd");
  EXPECT_EQ(escaped("a – b"), "a – b");  // a dash begins with the same byte
  EXPECT_EQ(escaped("\xe2\x80"), "\xe2\x80");
}

TEST(Table, RowsBeyondItsBytesAreCounted) {
  Table table("numbers", {"Name", ">Value"}, 400);
  for (int i = 0; i < 50; ++i) table.row({"n" + std::to_string(i), std::to_string(i)});
  const std::string html = table.html("file.json");
  EXPECT_THAT(html, HasSubstr("<caption>numbers</caption>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\">n0</th><td class=\"n\">0</td>"));
  EXPECT_THAT(html, HasSubstr("more rows are in file.json."));
  EXPECT_THAT(html, Not(HasSubstr("n49")));
  EXPECT_LT(html.size(), 800u);
}

TEST(Cells, GramsComeInTheirUnit) {
  EXPECT_EQ(Cells::grams(2.59e-5), "25.9 µg");
  EXPECT_EQ(Cells::grams(0.659), "659 mg");
  EXPECT_EQ(Cells::grams(0.9997), "1 g");
  EXPECT_EQ(Cells::grams(0), "0 g");
  EXPECT_EQ(Cells::grams(1.5e6), "1.5 t");
  EXPECT_EQ(Cells::grams(NAN), "–");
  EXPECT_EQ(Cells::joules(6.5e-6), "6.5 µJ");
}

}  // namespace
}  // namespace tw::report
