// GPUs that are not there, through a library in NVML's place.
#include "src/machine/gpu_map.h"

#include <cstdlib>

#include "src/machine/checks.h"
#include "tests/machine/fake_machine.h"

namespace tw {
namespace {
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const char* const kPair =
    "GPU-aaaa-1 00000000:1B:00.0 85899345920 1048576 9 0 00000000:1C:00.0,00000000:1C:00.0\n"
    "GPU-abbb-2 00000000:1C:00.0 85899345920 42949672960 9 0 00000000:1B:00.0,00000000:1B:00.0\n";

class Gpus : public FakeMachine {
 protected:
  ~Gpus() override {
    for (const char* name : {"TW_FAKE_GPUS", "TW_FAKE_COUNT", "TW_FAKE_PATHS"}) ::unsetenv(name);
  }
  GpuMap map(const std::string& boards) const {
    ::setenv("TW_FAKE_GPUS", boards.c_str(), 1);
    return read_gpu_map({"/not/there.so", TW_FAKE_NVML}, here.root);
  }
  Findings check(const GpuMap& map) const {
    Findings f;
    check_gpus(here, map, f);
    return f;
  }
};

TEST_F(Gpus, WithoutTheLibraryTheReasonIsKept) {
  const GpuMap none = read_gpu_map({"/not/there.so", "/nor/there.so"});
  EXPECT_THAT(none.missing, HasSubstr("/not/there.so"));
  EXPECT_THAT(none.boards, IsEmpty());
  ::unsetenv("TW_FAKE_GPUS");
  EXPECT_THAT(read_gpu_map({TW_FAKE_NVML}).missing, HasSubstr("Driver Not Loaded"));
}

TEST_F(Gpus, AreReadWithTheirLinks) {
  put("sys/bus/pci/devices/0000:1c:00.0/numa_node", "1\n");
  const GpuMap m = map(kPair);
  ASSERT_EQ(m.boards.size(), 2u);
  EXPECT_EQ(m.missing, "");
  EXPECT_EQ(m.driver, "580.65.06");
  EXPECT_EQ(m.cuda, 12040);
  const GpuBoard& b = m.boards[1];
  EXPECT_EQ(b.uuid, "GPU-abbb-2");
  EXPECT_EQ(b.bus_id, "0000:1c:00.0");
  EXPECT_EQ(b.memory, 85899345920.0);
  EXPECT_EQ(b.memory_used, 42949672960.0);
  EXPECT_EQ(b.capability, 90);
  EXPECT_EQ(b.numa_node, 1);
  EXPECT_EQ(m.boards[0].numa_node, -1);
  EXPECT_EQ(b.links, 2);
  EXPECT_THAT(m.path, ElementsAre(ElementsAre("X", "NV2"), ElementsAre("NV2", "X")));
}

TEST_F(Gpus, LinksToASwitchReachEveryBoardOnIt) {
  const GpuMap m = map("GPU-a 00000000:01:00.0 8 0 9 0 switch,switch,switch\nGPU-b 00000000:02:00.0 8 0 9 0 switch,switch\nGPU-c 00000000:03:00.0 8 0 8 0 -\n");
  EXPECT_EQ(m.path[0][1], "NV2");
  EXPECT_EQ(m.path[0][2], "?") << "NVML told no more";
  ::setenv("TW_FAKE_PATHS", "50 50", 1);
  EXPECT_EQ(map(kPair + std::string("GPU-c 00000000:C1:00.0 8 0 8 0 -\n")).path[0][2], "SYS");
}

TEST_F(Gpus, AreShownWithWhatTheyAre) {
  here.cuda_driver = here.cuda_runtime = here.nccl = here.cudnn = {TW_FAKE_NVML};
  const Findings f = check(map(kPair));
  EXPECT_THAT(named(f, "driver").text, HasSubstr("580.65.06, CUDA 12.4"));
  EXPECT_THAT(named(f, "CUDA runtime").text, HasSubstr("13.0"));
  EXPECT_THAT(named(f, "NCCL").text, HasSubstr("2.28.9"));
  EXPECT_THAT(named(f, "cuDNN").text, HasSubstr("9.19.0"));
  EXPECT_EQ(named(f, "GPU 0").verdict, Verdict::ok);
  EXPECT_THAT(named(f, "GPU 0").text, HasSubstr("Fake GPU, 80.0 GiB (1.0 MiB used), capability 9.0, 0000:1b:00.0, 2 NVLinks"));
  EXPECT_EQ(named(f, "GPU 1").verdict, Verdict::note) << "half its memory is another's";
  EXPECT_THAT(named(f, "map").table, ElementsAre(HasSubstr("GPU0  GPU1"), HasSubstr("X   NV2"), HasSubstr("NV2     X")));
}

TEST_F(Gpus, ARuntimeNewerThanTheDriverIsNamed) {
  here.cuda_driver = here.cuda_runtime = {TW_FAKE_NVML};
  EXPECT_THAT(named(check(map(kPair)), "too new").text, HasSubstr("the runtime is 13.0, the driver runs 12.4 at most"));
}

TEST_F(Gpus, BoardsOnTheBusWithoutADriver) {
  EXPECT_EQ(named(check({.missing = "no library"}), "driver").verdict, Verdict::ok);
  put("sys/bus/pci/devices/0000:1b:00.0/vendor", "0x10de\n");
  put("sys/bus/pci/devices/0000:1b:00.0/class", "0x030200\n");
  put("sys/bus/pci/devices/0000:1b:00.1/vendor", "0x10de\n");
  put("sys/bus/pci/devices/0000:1b:00.1/class", "0x040300\n");  // its sound
  put("sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n");
  put("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n");
  const Finding driver = named(check({.missing = "no library"}), "driver");
  EXPECT_EQ(driver.verdict, Verdict::note);
  EXPECT_THAT(driver.text, HasSubstr("1 NVIDIA board is on the bus"));
  EXPECT_EQ(driver.remedy, "sudo apt-get install nvidia-driver");
}

TEST_F(Gpus, ABoardThatIsLostIsNamed) {
  const GpuMap m = map(std::string("lost\n") + kPair);
  ASSERT_EQ(m.boards.size(), 2u);
  EXPECT_EQ(m.boards[0].index, 1);
  EXPECT_THAT(m.lost, ElementsAre("GPU 0: GPU is lost"));
  EXPECT_EQ(named(check(m), "lost").verdict, Verdict::note);
}

TEST_F(Gpus, ACountThatIsNonsenseEnds) {
  ::setenv("TW_FAKE_COUNT", "4294967295", 1);
  const GpuMap m = map(kPair);
  EXPECT_EQ(m.boards.size(), 2u);
  EXPECT_LE(m.lost.size(), 1024u);
}

TEST_F(Gpus, MapsThatCannotBeAreNamed) {
  EXPECT_THAT(named(check(map("GPU-a 00000000:1B:00.0 8 0 9 0 -\nGPU-a 00000000:1C:00.0 8 0 9 0 -\n")), "map").text, HasSubstr("GPU 0 and GPU 1 have one name"));
  EXPECT_THAT(named(check(map("GPU-a 00000000:1B:00.0 8 0 9 0 -\nGPU-b 00000000:1B:00.0 8 0 9 0 -\n")), "map").verdict, Verdict::note);
  ::setenv("TW_FAKE_PATHS", "10 50", 1);
  EXPECT_THAT(named(check(map("GPU-a 00000000:1B:00.0 8 0 9 0 -\nGPU-b 00000000:1C:00.0 8 0 9 0 -\n")), "map").text, HasSubstr("PIX one way and SYS the other"));
  // The id of a bus is a name of a folder below: no way out of it.
  EXPECT_EQ(map("GPU-a ../../../../etc 8 0 9 0 -\n").boards[0].numa_node, -1);
}

TEST_F(Gpus, WhatIsVisibleIsAsCudaTakesIt) {
  const GpuMap m = map(kPair);
  EXPECT_THAT(visible_boards(m, ""), ElementsAre(0, 1));
  EXPECT_THAT(visible_boards(m, "1,0"), ElementsAre(1, 0));
  EXPECT_THAT(visible_boards(m, "GPU-ab"), ElementsAre(1));
  EXPECT_THAT(visible_boards(m, "GPU-a"), IsEmpty()) << "two begin so";
  EXPECT_THAT(visible_boards(m, "0,7,1"), ElementsAre(0)) << "CUDA stops at what it does not know";
  EXPECT_THAT(visible_boards(m, "0, 1"), ElementsAre(0, 1));
  EXPECT_THAT(visible_boards(m, "0,0"), IsEmpty());
  EXPECT_THAT(visible_boards(m, "-1"), IsEmpty());
  EXPECT_EQ(visible_boards_error(m, "1,0"), "");
  EXPECT_EQ(visible_boards_error(m, "0,-1"), "");
  EXPECT_THAT(visible_boards_error(m, "0,7"), HasSubstr("\"7\" is no board here"));
  EXPECT_THAT(visible_boards_error(m, "0,GPU-aaaa"), HasSubstr("named twice"));
  EXPECT_THAT(visible_boards_error(m, "0,,1"), HasSubstr("\"\" is no board"));
  environment["CUDA_VISIBLE_DEVICES"] = "0,7";
  const Findings f = check(m);
  EXPECT_THAT(named(f, "visible").text, HasSubstr("1 of 2 boards are left"));
  EXPECT_THAT(named(f, "GPU 1").text, HasSubstr("hidden by CUDA_VISIBLE_DEVICES"));
}

TEST_F(Gpus, PartsOfBoardsHideNone) {
  GpuMap m = map(kPair);
  m.boards[1].mig = true;
  EXPECT_THAT(visible_boards(m, "MIG-12345678"), ElementsAre(1));
  EXPECT_EQ(visible_boards_error(m, "MIG-12345678"), "");
}

TEST_F(Gpus, TheToolkitTellsItsVersion) {
  environment["PATH"] = at("bin").string();
  EXPECT_THAT(named(check({.missing = "none"}), "CUDA toolkit").text, HasSubstr("not found"));
  put("usr/local/cuda/bin/nvcc", "");
  put("usr/local/cuda/include/cuda.h", "/* head */\n#define CUDA_VERSION 12080\n");
  EXPECT_THAT(named(check({.missing = "none"}), "CUDA toolkit").text, HasSubstr("12.8 ("));
}

}  // namespace
}  // namespace tw
