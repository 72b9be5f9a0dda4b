// Folders, disks and networks.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/core/error.h"
#include "src/machine/checks.h"
#include "src/machine/disk_speed.h"
#include "tests/machine/fake_machine.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class CheckStorage : public FakeMachine {
 protected:
  Findings check(const fs::path& folder, int64_t bytes = 0) {
    here.folder = folder;
    Findings f;
    check_storage(here, bytes, f);
    return f;
  }
  void mounted(const std::string& line) const { put("proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/root rw\n" + line); }
};

TEST_F(CheckStorage, AFolderThatIsNotThereYetIsMade) {
  const Findings f = check(at("runs/deep/first"));
  EXPECT_EQ(named(f, "folder").verdict, Verdict::ok);
  EXPECT_THAT(named(f, "folder").text, HasSubstr("will be made in " + at(".").lexically_normal().parent_path().string()));
  EXPECT_FALSE(fs::exists(at("runs"))) << "looking makes nothing";
}

TEST_F(CheckStorage, NothingIsLeftBehind) {
  check(at("."), 8 << 20);
  EXPECT_TRUE(fs::is_empty(at(".")));
}

TEST_F(CheckStorage, AFileIsNoFolder) {
  put("run", "text");
  const Findings f = check(at("run"));
  EXPECT_EQ(f.code(), ExitCode::cannot_create);
  EXPECT_THAT(named(f, "folder").text, HasSubstr("is a file"));
}

TEST_F(CheckStorage, AFolderThatMayNotBeWrittenIsAProblem) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::create_directory(at("closed"));
  ASSERT_EQ(::chmod(at("closed").c_str(), 0555), 0);
  const Findings f = check(at("closed"));
  EXPECT_EQ(f.code(), ExitCode::cannot_create);
  EXPECT_THAT(named(f, "folder").text, HasSubstr("Permission denied"));
}

// A disk of its own; nothing where this process may not have one.
class Disk {
 public:
  Disk(const fs::path& folder, unsigned long flags, const char* options) : folder_(folder) {
    fs::create_directory(folder);
    there_ = ::mount("tmpfs", folder.c_str(), "tmpfs", flags, options) == 0;
  }
  ~Disk() {
    if (there_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  explicit operator bool() const { return there_; }

 private:
  fs::path folder_;
  bool there_ = false;
};

TEST_F(CheckStorage, AReadOnlyDiskIsAProblem) {
  const Disk disk(at("disk"), MS_RDONLY, "");
  if (!disk) GTEST_SKIP() << "this process may not mount";
  const Findings f = check(at("disk/run"));
  EXPECT_EQ(f.code(), ExitCode::cannot_create);
  EXPECT_THAT(named(f, "folder").text, HasSubstr("Read-only file system"));
  EXPECT_THAT(named(f, "folder").remedy, HasSubstr("--out"));
}

TEST_F(CheckStorage, AFullDiskIsAProblem) {
  const Disk disk(at("disk"), 0, "size=1m");
  if (!disk) GTEST_SKIP() << "this process may not mount";
  const Findings f = check(at("disk"), 64 << 20);
  EXPECT_EQ(f.code(), ExitCode::io);
  EXPECT_THAT(named(f, "space").text, HasSubstr("no checkpoint fits"));
  EXPECT_FALSE(has(f, "disk")) << "it is not filled to measure it";
}

TEST_F(CheckStorage, ADiskWithoutRoomForAFileIsAProblem) {
  const Disk disk(at("disk"), 0, "nr_inodes=1");
  if (!disk) GTEST_SKIP() << "this process may not mount";
  const Findings f = check(at("disk"));
  EXPECT_EQ(f.code(), ExitCode::io);
  EXPECT_THAT(named(f, "folder").text, HasSubstr("No space left"));
}

TEST_F(CheckStorage, TheSpeedHasAllItsParts) {
  const Finding disk = named(check(at("."), 8 << 20), "disk");
  EXPECT_NE(disk.verdict, Verdict::problem);
  for (const char* key : {"write_bytes_per_second", "read_bytes_per_second", "fsync_seconds"}) {
    const auto value = std::find_if(disk.values.begin(), disk.values.end(), [&](const auto& v) { return v.first == key; });
    ASSERT_NE(value, disk.values.end()) << key;
    EXPECT_GT(std::get<double>(value->second), 0) << key;
  }
}

TEST_F(CheckStorage, SharedFilesystemsWantNoLocks) {
  mounted("2 1 0:50 / " + here.root.string() + " rw - nfs4 server:/runs rw\n");
  EXPECT_THAT(named(check(at(".")), "filesystem").text, HasSubstr("nfs4 on " + here.root.string() + ", shared by machines"));
  EXPECT_EQ(named(check(at(".")), "HDF5 locks").remedy, "export HDF5_USE_FILE_LOCKING=FALSE");
  environment["HDF5_USE_FILE_LOCKING"] = "FALSE";
  EXPECT_EQ(named(check(at(".")), "HDF5 locks").verdict, Verdict::ok);
}

TEST_F(CheckStorage, MemoryAndContainersForget) {
  mounted("2 1 0:50 / " + here.root.string() + " rw shared:1 master:2 - tmpfs tmpfs rw\n");
  EXPECT_EQ(named(check(at(".")), "filesystem").verdict, Verdict::note);
  put("proc/self/mountinfo", "1 0 0:40 / / rw - overlay overlay rw,lowerdir=/a\n");
  EXPECT_THAT(named(check(at(".")), "filesystem").text, HasSubstr("of a container"));
}

TEST_F(CheckStorage, TheMountIsTheNearestAndBlanksAreRead) {
  fs::create_directories(at("a b/run"));
  mounted("2 1 0:50 / " + here.root.string() + " rw - ext4 x rw\n3 1 0:51 / " + here.root.string() + "/a\\040b rw - xfs y rw\n4 1 0:52 / " + here.root.string() +
          "/a\\040b/ru rw - btrfs z rw\nnonsense\n- - - -\n");
  const FileSystem system = file_system_of(at("a b/run"), here.root);
  EXPECT_EQ(system.kind, "xfs") << "\"ru\" is no folder above \"run\"";
  EXPECT_EQ(system.mount_point, at("a b").string());
  EXPECT_GT(system.total, 0);
  put("proc/self/mountinfo", "");
  EXPECT_EQ(file_system_of(at("a b"), here.root).kind, "unknown");
  EXPECT_THROW(file_system_of(at("nothing"), here.root), Error);
}

class CheckNetwork : public FakeMachine {
 protected:
  void card(const std::string& name, const std::string& state, const std::string& speed, bool device) const {
    const std::string folder = "sys/class/net/" + name + "/";
    put(folder + "operstate", state + "\n");
    if (!speed.empty()) put(folder + "speed", speed + "\n");
    put(folder + "mtu", "9000\n");
    if (device) make_folders(at(folder + "device"));
  }
  Findings check(int nodes) const {
    Findings f;
    check_network(here, nodes, f);
    return f;
  }
};

TEST_F(CheckNetwork, SlowCardsMatterBetweenNodes) {
  card("lo", "unknown", "", false);
  card("eth0", "up", "1000", true);
  card("eth1", "down", "-1", true);
  EXPECT_EQ(named(check(1), "eth0").verdict, Verdict::ok);
  EXPECT_EQ(named(check(2), "eth0").verdict, Verdict::note);
  EXPECT_FALSE(has(check(2), "eth1"));
  EXPECT_FALSE(has(check(2), "lo"));
  card("eth0", "up", "25000", true);
  EXPECT_EQ(named(check(2), "eth0").text, "25000 Mbit/s, MTU 9000");
  EXPECT_EQ(named(check(2), "eth0").verdict, Verdict::ok);
}

TEST_F(CheckNetwork, BridgesMisleadMpi) {
  card("eth0", "up", "10000", true);
  card("docker0", "up", "", false);
  EXPECT_EQ(named(check(1), "bridges").remedy, "export OMPI_MCA_btl_tcp_if_exclude=lo,docker0");
  environment["OMPI_MCA_btl_tcp_if_include"] = "eth0";
  EXPECT_FALSE(has(check(1), "bridges"));
}

TEST_F(CheckNetwork, InfiniBandPortsHaveTheirState) {
  put("sys/class/infiniband/mlx5_0/ports/1/state", "4: ACTIVE\n");
  put("sys/class/infiniband/mlx5_0/ports/1/rate", "200 Gb/sec (4X HDR)\n");
  put("sys/class/infiniband/mlx5_1/ports/1/state", "1: DOWN\n");
  EXPECT_EQ(named(check(2), "mlx5_0:1").verdict, Verdict::ok);
  EXPECT_THAT(named(check(2), "mlx5_0:1").text, HasSubstr("200 Gb/sec"));
  EXPECT_EQ(named(check(2), "mlx5_1:1").remedy, "ibstat mlx5_1");
}

}  // namespace
}  // namespace tw
