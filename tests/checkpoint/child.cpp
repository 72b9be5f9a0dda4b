// A process that the tests kill, or that meets a full disk:
//   checkpoint_child save FOLDER STEP          saves on two ranks; TW_FAULT says where it dies or fails
//   checkpoint_child limit FOLDER STEP BYTES   the same, with files limited to BYTES (ulimit -f)
//   checkpoint_child load FOLDER STEP          opens the newest on two ranks and compares every element; STEP is the newest
//   checkpoint_child full FOLDER               mounts a small file system and saves with less and less space
// Ends with the error's exit code; 100 where `full` may not mount.
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "src/core/error.h"
#include "tests/checkpoint/fixture.h"
#include "tests/support/thread_comm.h"

namespace {
using namespace tw;
namespace fs = std::filesystem;

void expect(bool condition, const char* what) {
  if (!condition) throw Error(ExitCode::bug, what);
}

// From a full disk to one page after another more: each save fails cleanly and costs nothing, or succeeds.
int save_on_full_disk(const fs::path& folder) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=6m") != 0)
    return 100;
  int64_t good = 1;
  save_toy(folder, good);
  int failed = 0, saved = 0;
  for (int64_t pages = 0; pages < 700 && saved < 3; pages += pages < 20 ? 1 : 37) {
    const fs::path filler = folder / "filler";
    struct statvfs disk {};
    ::statvfs(folder.c_str(), &disk);
    const int64_t bytes = (int64_t(disk.f_bavail) - pages) * int64_t(disk.f_frsize);
    if (bytes > 0) std::ofstream(filler) << std::string(size_t(bytes), 'x');
    try {
      save_toy(folder, good + 1, 2, Layout::even, 1);
      ++saved, ++good;
    } catch (const Error& e) {
      ++failed;
      expect(e.code() == ExitCode::io || e.code() == ExitCode::cannot_create, e.what());
      // Nothing unfinished stays, unless the lease itself could not be written.
      for (const std::string& name : names_in(folder))
        expect(!name.ends_with(".tmp") && (!name.starts_with("step-") || fs::exists(folder / name / "MANIFEST")), e.what());
      if (failed % 10 == 1) std::printf("%lld pages free: %s\n", static_cast<long long>(pages), e.what());
    }
    fs::remove(filler);
    const Checkpoint newest = Checkpoint::open(folder);
    expect(newest.info().step == good && wrong_elements(newest, good) == 0, "the last checkpoint is not whole");
  }
  std::printf("%d failed, %d saved\n", failed, saved);
  expect(failed > 20 && saved == 3, "the disk was not full, or never free again");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string mode = argc > 2 ? argv[1] : "";
    if (mode == "full") return save_on_full_disk(argv[2]);
    if (mode == "load" && argc == 4) {
      run_ranks(2, [&](Communicator& comm) {
        const auto checkpoint = open_checkpoint(argv[2], comm);
        if (!checkpoint) throw Error(ExitCode::no_input, "there is no checkpoint");
        expect(checkpoint->info().step <= std::stoll(argv[3]), "a step of the future");
        expect(wrong_elements(*checkpoint, checkpoint->info().step, 2001) == 0, "wrong elements were read");
      });
      return 0;
    }
    if (mode == "limit" && argc == 5) {
      const rlim_t limit = std::stoul(argv[4]);
      const struct rlimit bytes = {limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &bytes);
    } else if (mode != "save" || argc != 4) {
      return 64;
    }
    save_toy(argv[2], std::stoll(argv[3]), 2, Layout::even, 2, 0, 2001);
    return 0;
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return int(e.code());
  }
}
