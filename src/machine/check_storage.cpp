#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "src/core/file.h"
#include "src/core/format.h"
#include "src/machine/checks.h"
#include "src/machine/disk_speed.h"
#include "src/machine/kernel_files.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr double kNeeded = double(64 << 20), kComfortable = 10.0 * double(1 << 30);

// What stands in the way of a new file there, as errno; 0 where nothing does.
int why_not_writable(const fs::path& folder) {
  std::string name = (folder / ".tokenwerk-doctor-XXXXXX").string();
  const FileDescriptor fd(::mkstemp(name.data()));
  if (!fd) return errno;
  ::unlink(name.c_str());
  return 0;
}

void check_speed(const fs::path& folder, const FileSystem& system, int64_t bytes, Findings& out) {
  constexpr double kSlow = 50e6;
  if (double(bytes) > system.free / 4) bytes = int64_t(system.free / 4) >> 22 << 22;
  if (bytes < int64_t(8) << 20) {
    out.note("disk", "not measured: too little space");
    return;
  }
  try {
    const DiskSpeed d = measure_disk(folder, bytes, 3, 3);
    std::string text = fmt::format("write with fsync {:.0f} MB/s, read {:.0f} MB/s ({}), fsync of 4 KiB {}; {} each way", d.write_rate() / 1e6, d.read_rate() / 1e6,
                                   d.read_how, human_seconds(d.fsync_seconds), human_bytes(d.bytes));
    Finding& line = d.write_rate() < kSlow ? out.note("disk", text + ": slow for checkpoints", "tokenwerk train --out /a/faster/disk/run ...") : out.ok("disk", text);
    line.values = {{"write_bytes_per_second", d.write_rate()}, {"read_bytes_per_second", d.read_rate()}, {"fsync_seconds", d.fsync_seconds}, {"read_how", d.read_how}};
  } catch (const Error& e) {
    out.problem(e.code(), "disk", e.what());
  }
}

}  // namespace

void check_storage(const Surroundings& here, int64_t test_bytes, Findings& out) {
  out.begin("Runs");
  const fs::path wanted = fs::absolute("." / here.folder).lexically_normal(), folder = existing_folder(here.folder);
  std::error_code error;
  if (wanted != folder && fs::exists(wanted, error)) {
    out.problem(ExitCode::cannot_create, "folder", wanted.string() + " is a file, not a folder", "tokenwerk train --out another/folder ...");
    return;
  }
  const int blocked = why_not_writable(folder);
  const std::string text = wanted == folder ? folder.string() : fmt::format("{} (will be made in {})", wanted.string(), folder.string());
  if (blocked != 0) {
    // Whose folder it is, and whether it may become another's, is not known: another one is the safe way.
    const bool full = blocked == ENOSPC || blocked == EDQUOT;
    out.problem(full ? ExitCode::io : ExitCode::cannot_create, "folder",
                fmt::format("{}: no file can be made in {}: {}", wanted.string(), folder.string(), std::error_code(blocked, std::generic_category()).message()),
                full ? "du -xh " + shell_word(folder.string()) + " | sort -h | tail" : std::string("tokenwerk train --out $HOME/runs/first ..."));
    return;
  }
  out.ok("folder", text).values = {{"folder", wanted.string()}};

  const FileSystem system = file_system_of(folder, here.root);
  const std::string kind = fmt::format("{}{}{}", system.kind, system.mount_point.empty() ? "" : " on " + system.mount_point, system.shared ? ", shared by machines" : "");
  if (system.in_memory) out.note("filesystem", kind + ": in memory, a run there is gone when the machine stops", "tokenwerk train --out /on/a/disk ...");
  else if (system.kind == "overlay" && system.mount_point == "/")
    out.note("filesystem", kind + ": of a container, a run there is gone with it", "docker run --volume /on/a/disk:/runs ...");
  else out.ok("filesystem", kind);
  const std::string space = fmt::format("{} of {} free", human_bytes(system.free), human_bytes(system.total));
  Finding& line = system.free < kNeeded ? out.problem(ExitCode::io, "space", space + ": no checkpoint fits", "du -xh " + shell_word(folder.string()) + " | sort -h | tail")
                  : system.free < kComfortable ? out.note("space", space + ": checkpoints need three times the model and more", "du -xh " + shell_word(folder.string()) + " | sort -h | tail")
                                               : out.ok("space", space);
  line.values = {{"free_bytes", system.free}, {"total_bytes", system.total}, {"filesystem", system.kind}};
  if (system.inodes > 0 && system.inodes_free < 10000)
    out.note("files", fmt::format("{:.0f} more can be made", system.inodes_free), "find " + shell_word(folder.string()) + " -xdev -type f | wc -l");

  // Our files are written by one process each, so nothing is lost without locks.
  const std::string locking = here.environment("HDF5_USE_FILE_LOCKING");
  const bool off = locking == "FALSE" || locking == "0" || locking == "BEST_EFFORT";
  if (system.shared && !off) out.note("HDF5 locks", "on: they may fail on a shared filesystem, and are not needed", "export HDF5_USE_FILE_LOCKING=FALSE");
  else out.ok("HDF5 locks", off ? "off (HDF5_USE_FILE_LOCKING)" : "on");
  if (test_bytes > 0 && system.free >= kNeeded) check_speed(folder, system, test_bytes, out);
}

void check_network(const Surroundings& here, int nodes, Findings& out) {
  out.begin("Network");
  const fs::path net = here.root / "sys/class/net";
  std::string bridges;
  int usable = 0;
  for (const std::string& name : kernel_names(net)) {
    if (name == "lo") continue;
    const std::string state = kernel_text(net / name / "operstate");
    std::error_code absent;
    const bool device = fs::exists(net / name / "device", absent);  // else made by software
    if (state != "up" && !(state == "unknown" && device)) continue;
    const auto speed = kernel_number(net / name / "speed"), mtu = kernel_number(net / name / "mtu");
    const std::string rate = speed && *speed > 0 ? fmt::format("{:.0f} Mbit/s", *speed) : std::string("speed not told");
    const bool bridge = name.starts_with("docker") || name.starts_with("virbr") || name.starts_with("br-") || name.starts_with("lxc");
    if (bridge) bridges += "," + name;
    usable += !bridge;
    const std::string text = fmt::format("{}, MTU {:.0f}{}", rate, mtu.value_or(0), device ? "" : ", made by software");
    if (nodes > 1 && speed && *speed > 0 && *speed < 10000 && !bridge) out.note(name, text + ": gradients of several nodes want 10 Gbit/s or more");
    else out.ok(name, text);
  }
  const fs::path cards = here.root / "sys/class/infiniband";
  for (const std::string& card : kernel_names(cards))
    for (const std::string& port : kernel_names(cards / card / "ports")) {
      const fs::path at = cards / card / "ports" / port;
      const std::string state = kernel_text(at / "state"), text = fmt::format("{}, {}", kernel_text(at / "rate"), state);
      const std::string name = card + ":" + port;
      if (state.find("ACTIVE") != state.npos) out.ok(name, text), ++usable;
      else out.note(name, text + ": not in use", "ibstat " + card);
    }
  if (usable == 0) out.ok("interfaces", "none is up: one machine alone");
  const bool chosen = !here.environment("OMPI_MCA_btl_tcp_if_include").empty() || !here.environment("OMPI_MCA_btl_tcp_if_exclude").empty();
  if (!bridges.empty() && !chosen)
    out.note("bridges", bridges.substr(1) + ": Open MPI may take them for a way to other nodes, and hang", "export OMPI_MCA_btl_tcp_if_exclude=lo" + bridges);
}

}  // namespace tw
