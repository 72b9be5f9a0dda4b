// What the checks look at. Tests put other things there.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tw {

struct Surroundings {
  std::filesystem::path root = "/";  // above proc, sys, dev and usr
  std::vector<int> cpus;             // this process may run on
  bool superuser = false;
  std::function<std::string(const char* name)> environment;  // "" where it is not set
  std::filesystem::path folder;      // where runs are written; need not exist
  // Libraries that are looked for at run time, the first that is there counts.
  std::vector<std::string> nvml, cuda_driver, cuda_runtime, nccl, cudnn;
};
Surroundings surroundings_here(const std::filesystem::path& folder);

// The folder itself, or the nearest above it that exists.
std::filesystem::path existing_folder(const std::filesystem::path& folder);
// The first file called `name` that may be run in a folder of PATH; empty where there is none.
std::filesystem::path find_program(const Surroundings& here, const std::string& name);

}  // namespace tw
