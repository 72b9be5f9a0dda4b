#include "src/machine/surroundings.h"

#include <sched.h>
#include <unistd.h>

#include <cstdlib>

#include "src/core/file.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
  // The kernel wants a set as large as its own, whose size it does not say.
  for (int most = 1024; most <= 1 << 16; most *= 4) {
    cpu_set_t* set = CPU_ALLOC(size_t(most));
    if (!set) return cpus;
    const size_t bytes = CPU_ALLOC_SIZE(size_t(most));
    CPU_ZERO_S(bytes, set);
    const bool good = ::sched_getaffinity(0, bytes, set) == 0;
    for (int c = 0; good && c < most; ++c)
      if (CPU_ISSET_S(size_t(c), bytes, set)) cpus.push_back(c);
    CPU_FREE(set);
    if (good) return cpus;
  }
  return cpus;
}

}  // namespace

Surroundings surroundings_here(const fs::path& folder) {
  return {.cpus = allowed_cpus(),
          .superuser = ::geteuid() == 0,
          .environment = [](const char* name) -> std::string {
            const char* value = std::getenv(name);
            return value ? value : "";
          },
          .folder = folder,
          .nvml = {"libnvidia-ml.so.1"},
          .cuda_driver = {"libcuda.so.1"},
          .cuda_runtime = {"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so"},
          .nccl = {"libnccl.so.2"},
          .cudnn = {"libcudnn.so.9", "libcudnn.so.8"}};
}

fs::path existing_folder(const fs::path& folder) {
  fs::path at = fs::absolute("." / folder).lexically_normal();
  std::error_code absent;
  while (!fs::is_directory(at, absent) && at.has_relative_path()) at = at.parent_path();
  return at;
}

fs::path find_program(const Surroundings& here, const std::string& name) { return find_program(here.environment("PATH"), name); }

}  // namespace tw
