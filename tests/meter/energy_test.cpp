#include "src/meter/energy.h"

#include <chrono>
#include <cmath>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/self.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/meter/scratch_folder.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

// A powercap tree as the kernel shows it: two packages, domains inside and over them, and a second interface.
class Powercap {
 public:
  Powercap() {
    domain("intel-rapl:0", "package-0", 1'000'000);
    domain("intel-rapl:1", "package-1", 5'000'000);
    domain("intel-rapl:0:0", "core", 7'000'000);
    domain("intel-rapl:1:0", "dram", 8'000'000);
    domain("intel-rapl:2", "psys", 9'000'000);
    domain("intel-rapl-mmio:0", "package-0", 1'000'000);
    folder_.write("intel-rapl/enabled", "1\n");
  }
  void set(const std::string& domain, int64_t microjoules) {
    folder_.write(domain + "/energy_uj", std::to_string(microjoules) + "\n");
  }
  EnergyOptions options() const {
    EnergyOptions o;
    o.powercap = folder_.path();
    return o;
  }
  const ScratchFolder& folder() const { return folder_; }

 private:
  void domain(const std::string& name, const std::string& what, int64_t microjoules) {
    folder_.write(name + "/name", what + "\n");
    folder_.write(name + "/max_energy_range_uj", "10000000\n");
    set(name, microjoules);
  }
  ScratchFolder folder_;
};

EnergyOptions nowhere() {
  EnergyOptions o;
  o.powercap = "/nonexistent/powercap";
  return o;
}

TEST(Rapl, CountsPackagesOnceAndNothingNested) {
  Powercap tree;
  const EnergyMeter meter(tree.options(), 0, 1);
  EXPECT_EQ(meter.kind(), EnergyKind::measured);
  EXPECT_EQ(meter.text(), "RAPL, 2 CPU packages");
  EXPECT_EQ(meter.joules(), 0);
  tree.set("intel-rapl:0", 3'500'000);
  tree.set("intel-rapl:1", 5'250'000);
  for (const char* other : {"intel-rapl:0:0", "intel-rapl:1:0", "intel-rapl:2", "intel-rapl-mmio:0"})
    tree.set(other, 9'999'999);
  EXPECT_DOUBLE_EQ(meter.joules(), 2.75);
}

TEST(Rapl, GoesOnWhereACounterWraps) {
  Powercap tree;
  const EnergyMeter meter(tree.options(), 0, 1);
  tree.set("intel-rapl:0", 9'000'000);
  EXPECT_DOUBLE_EQ(meter.joules(), 8);
  tree.set("intel-rapl:0", 500'000);  // 1 J to the end of the range, then 0.5 J
  EXPECT_DOUBLE_EQ(meter.joules(), 9.5);
  tree.set("intel-rapl:0", 400'000);  // all but 0.1 J of a second round
  EXPECT_DOUBLE_EQ(meter.joules(), 19.4);
}

TEST(Rapl, IsReadByTheFirstRankOfANodeAlone) {
  Powercap tree;
  const EnergyMeter first(tree.options(), 0, 2), second(tree.options(), 1, 2);
  tree.set("intel-rapl:0", 2'000'000);
  EXPECT_DOUBLE_EQ(first.joules(), 1);
  EXPECT_EQ(second.joules(), 0);
  EXPECT_EQ(second.kind(), EnergyKind::measured);
}

TEST(Rapl, AnUnreadablePackageMeansNoMeter) {
  Powercap tree;
  fs::remove(tree.folder() / "intel-rapl:1/energy_uj");
  const EnergyMeter meter(tree.options(), 0, 1);
  EXPECT_EQ(meter.kind(), EnergyKind::none);
  EXPECT_THAT(meter.text(), HasSubstr("no meter: RAPL is not readable"));
  EXPECT_THAT(meter.text(), HasSubstr("intel-rapl:1/energy_uj"));
  EXPECT_TRUE(std::isnan(meter.joules()));
}

TEST(Rapl, AReadThatFailsGivesNoNumberAndTheNextCatchesUp) {
  Powercap tree;
  const EnergyMeter meter(tree.options(), 0, 1);
  tree.folder().write("intel-rapl:0/energy_uj", "rubbish");
  EXPECT_TRUE(std::isnan(meter.joules()));
  tree.set("intel-rapl:0", 4'000'000);
  EXPECT_DOUBLE_EQ(meter.joules(), 3);
}

TEST(EnergyMeter, SaysWhyThereIsNone) {
  const EnergyMeter meter(nowhere(), 0, 1);
  EXPECT_EQ(meter.kind(), EnergyKind::none);
  EXPECT_EQ(meter.text(), "no meter: no RAPL counters: /nonexistent/powercap does not exist");
  EXPECT_TRUE(std::isnan(meter.joules()));
  EnergyOptions off;
  off.enabled = false;
  EXPECT_THAT(EnergyMeter(off, 0, 1).text(), HasSubstr("energy.enabled = false"));
}

TEST(EnergyMeter, TakesTheWattsOfTheUserOnlyWhereNothingIsMeasured) {
  EnergyOptions options = nowhere();
  options.assumed_watts = 1000;
  const auto before = std::chrono::steady_clock::now();
  const EnergyMeter meter(options, 1, 2);
  EXPECT_EQ(meter.kind(), EnergyKind::assumed);
  EXPECT_THAT(meter.text(), HasSubstr("assumed 1000 W a rank"));
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const double joules = meter.joules();
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  EXPECT_GE(joules, 2);
  EXPECT_LE(joules, 1000 * elapsed);

  Powercap tree;
  EnergyOptions measured = tree.options();
  measured.assumed_watts = 1000;
  EXPECT_EQ(EnergyMeter(measured, 0, 1).kind(), EnergyKind::measured);
  measured.source = "assumed";
  EXPECT_EQ(EnergyMeter(measured, 0, 1).kind(), EnergyKind::assumed);
}

TEST(EnergyMeter, ReadsAFileOfJoules) {
  ScratchFolder folder;
  folder.write("joules", " 100.5\n");
  EnergyOptions options = nowhere();
  options.source = "file:" + (folder / "joules").string();
  const EnergyMeter meter(options, 0, 1);
  EXPECT_EQ(meter.kind(), EnergyKind::measured);
  folder.write("joules", "103\n");
  EXPECT_DOUBLE_EQ(meter.joules(), 2.5);
  folder.write("joules", "1\n");  // the exporter was started anew: what it lost is not guessed
  EXPECT_DOUBLE_EQ(meter.joules(), 2.5);
  folder.write("joules", "2\n");
  EXPECT_DOUBLE_EQ(meter.joules(), 3.5);
}

TEST(EnergyMeter, MeasuresThePowerWithoutWork) {
  ScratchFolder folder;
  folder.write("joules", "0\n");
  EnergyOptions options = nowhere();
  options.source = "file:" + (folder / "joules").string();
  const EnergyMeter meter(options, 0, 1);
  const auto alone = make_self_communicator();
  const double start = now_seconds();
  std::jthread exporter([&](std::stop_token stop) {
    while (!stop.stop_requested()) {
      write_file_atomically(folder / "joules", std::to_string(80 * (now_seconds() - start)));
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  EXPECT_NEAR(measure_idle_watts(meter, *alone, 0.4), 80, 20);
  options.source = "none";
  EXPECT_TRUE(std::isnan(measure_idle_watts(EnergyMeter(options, 0, 1), *alone, 0)));
}

TEST(EnergyMeter, RefusesASourceByNameThatCannotBeRead) {
  ScratchFolder folder;
  folder.write("bad", "12 joules\n");
  folder.write("negative", "-3");
  folder.write("huge", std::string(10000, '1'));
  for (const std::string& source :
       std::vector<std::string>{"rapl", "nvml", "assumed", "watt", "file:", "file:/nonexistent", "file:/",
                                "file:" + (folder / "bad").string(), "file:" + (folder / "negative").string(),
                                "file:" + (folder / "huge").string()}) {
    EnergyOptions options = nowhere();
    options.source = source;
    try {
      EnergyMeter meter(options, 0, 1);
      ADD_FAILURE() << source << " was accepted: " << meter.text();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::config) << source;
      EXPECT_THAT(e.what(), HasSubstr("energy.")) << source;
    }
  }
}

class NvmlEnergy : public testing::Test {
 protected:
  NvmlEnergy() { set(1000, 2000); }
  ~NvmlEnergy() override {
    ::unsetenv("TW_FAKE_NVML_A");
    ::unsetenv("TW_FAKE_NVML_B");
  }
  static void set(long a, long b) {
    ::setenv("TW_FAKE_NVML_A", std::to_string(a).c_str(), 1);
    ::setenv("TW_FAKE_NVML_B", std::to_string(b).c_str(), 1);
  }
  static EnergyOptions with(EnergyOptions options) {
    options.nvml_library = TW_FAKE_NVML;
    return options;
  }
};

TEST_F(NvmlEnergy, EachRankReadsItsOwnBoards) {
  const EnergyMeter first(with(nowhere()), 0, 2, {"GPU-a"}), both(with(nowhere()), 0, 1, {"GPU-a", "GPU-b"});
  set(4500, 2250);
  EXPECT_DOUBLE_EQ(first.joules(), 3.5);
  EXPECT_DOUBLE_EQ(both.joules(), 3.75);
  EXPECT_EQ(first.kind(), EnergyKind::measured);
  EXPECT_EQ(first.text(), "NVML, 1 GPU board (CPU not measured)");
}

TEST_F(NvmlEnergy, IsAddedToTheCpuPackages) {
  Powercap tree;
  const EnergyMeter meter(with(tree.options()), 0, 1, {"GPU-b"});
  set(1000, 3000);
  tree.set("intel-rapl:0", 1'500'000);
  EXPECT_DOUBLE_EQ(meter.joules(), 1.5);
  EXPECT_EQ(meter.text(), "NVML, 1 GPU board and RAPL, 2 CPU packages");
}

TEST_F(NvmlEnergy, IsNotTouchedWithoutAGpu) {
  EnergyOptions options = nowhere();
  options.nvml_library = "/nonexistent/libnvidia-ml.so";
  EXPECT_THAT(EnergyMeter(options, 0, 1).text(), HasSubstr("powercap"));
  // With one, joules of the CPU alone would pass for those of the run.
  Powercap tree;
  options.powercap = tree.options().powercap;
  const EnergyMeter meter(options, 0, 1, {"GPU-a"});
  EXPECT_EQ(meter.kind(), EnergyKind::none);
  EXPECT_THAT(meter.text(), HasSubstr("NVML is not usable"));
}

TEST_F(NvmlEnergy, NamesADeviceThatIsNotThere) {
  EnergyOptions options = with(nowhere());
  options.source = "nvml";
  EXPECT_THROW(EnergyMeter(options, 0, 1, {"GPU-x"}), Error);
  EXPECT_THAT(EnergyMeter(with(nowhere()), 0, 1, {"GPU-x"}).text(), HasSubstr("GPU-x: Not Found"));
}

TEST(EnergyOfAJob, EachJouleIsCountedOnce) {
  Powercap tree;
  run_ranks(3, [&](Communicator& comm) {
    const EnergyMeter meter(tree.options(), comm);
    comm.barrier();
    if (comm.rank() == 0) tree.set("intel-rapl:0", 3'000'000);
    comm.barrier();
    EXPECT_DOUBLE_EQ(meter.total(comm), 2);
    EXPECT_EQ(meter.kind(), EnergyKind::measured);
    comm.barrier();
  });
}

TEST(EnergyOfAJob, IsUnknownWhereOneRankHasNoMeter) {
  Powercap tree;
  run_ranks(3, [&](Communicator& comm) {
    const EnergyMeter meter(comm.rank() == 1 ? nowhere() : tree.options(), comm);
    EXPECT_TRUE(std::isnan(meter.total(comm)));
    EXPECT_EQ(meter.kind(), EnergyKind::none);
    EXPECT_THAT(meter.text(), HasSubstr("does not exist (so on 1 of 3 ranks)"));
  });
}

TEST(EnergyOfAJob, IsAssumedWhereOneRankAssumes) {
  Powercap tree;
  run_ranks(2, [&](Communicator& comm) {
    EnergyOptions options = comm.rank() == 1 ? nowhere() : tree.options();
    options.assumed_watts = 10;
    const EnergyMeter meter(options, comm);
    EXPECT_GT(meter.total(comm), 0);
    EXPECT_EQ(meter.kind(), EnergyKind::assumed);
  });
}

TEST(EnergyOfAJob, AnErrorOfOneRankIsThatOfAll) {
  run_ranks(2, [&](Communicator& comm) {
    EnergyOptions options = nowhere();
    if (comm.rank() == 1) options.source = "rapl";
    EXPECT_THROW(EnergyMeter(options, comm), Error);
  });
}

TEST(EnergyCost, IsThatOfTheFacility) {
  EnergyOptions options;
  options.pue = 1.5;
  options.price_eur_per_kwh = 0.3;
  options.co2_g_per_kwh = 400;
  const EnergyCost cost = energy_cost(3.6e6, 1800, options);
  EXPECT_DOUBLE_EQ(cost.facility_joules, 5.4e6);
  EXPECT_DOUBLE_EQ(cost.eur, 0.45);
  EXPECT_DOUBLE_EQ(cost.co2_g, 600);
  EXPECT_TRUE(std::isnan(energy_cost(3.6e6, 1800, EnergyOptions{}).eur));
  EXPECT_TRUE(std::isnan(energy_cost(kNoJoules, 1800, options).eur));
}

TEST(EnergyCost, AddsHoursOfNodes) {
  EnergyOptions options;
  options.price_eur_per_node_hour = 2;
  EXPECT_DOUBLE_EQ(energy_cost(kNoJoules, 5400, options).eur, 3) << "known without a meter";
  options.price_eur_per_kwh = 0.3;
  EXPECT_DOUBLE_EQ(energy_cost(7.2e6, 5400, options).eur, 3.6);
  EXPECT_TRUE(std::isnan(energy_cost(kNoJoules, 5400, options).eur));
}

TEST(EnergySources, AreListedWithTheReason) {
  Powercap tree;
  const auto sources = find_energy_sources(tree.options());
  ASSERT_EQ(sources.size(), 4u);
  EXPECT_FALSE(sources[0].usable);
  EXPECT_EQ(sources[1].name, "rapl");
  EXPECT_TRUE(sources[1].usable);
  EXPECT_THAT(sources[3].text, HasSubstr("energy.assumed_watts"));
}

}  // namespace
}  // namespace tw
