// Who may include whom (docs/architecture.md): the #includes of the sources against the table below.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "src/core/file.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

// A part may include itself, what stands behind it here, and what those may include.
const std::map<std::string, std::vector<std::string>> kBelow = {
    {"src/core", {}},
    {"src/hdf5", {"src/core"}},
    {"src/config", {"src/core"}},
    {"kernels", {"src/core"}},
    {"comm", {"src/core"}},
    {"src/nn", {"kernels", "comm"}},
    {"src/codec", {"src/nn", "src/hdf5"}},
    {"src/data", {"src/codec"}},
    {"src/checkpoint", {"comm", "src/hdf5"}},
    {"src/meter", {"comm"}},
    {"src/watchdog", {"comm"}},
    {"src/machine", {"kernels", "src/meter", "src/hdf5"}},
    {"src/train", {"src/data", "src/checkpoint", "src/meter", "src/machine", "src/config"}},
    {"src/roof", {"src/train", "src/machine"}},
    {"src/generate", {"src/data", "src/checkpoint"}},
    {"src/interop", {"src/data", "src/checkpoint"}},
    {"src/sweep", {"src/config", "src/meter"}},
    {"src/cli", {"src/train", "src/roof", "src/generate", "src/interop", "src/sweep", "src/watchdog"}},
};
// Libraries that one part hides from all others.
const std::map<std::string, std::set<std::string>> kOwners = {
    {"mpi.h", {"comm"}},
    {"nccl.h", {"comm"}},
    {"cuda_runtime.h", {"kernels", "src/core"}},
    {"cublasLt.h", {"kernels"}},
    {"cudnn.h", {"kernels"}},
    {"hdf5.h", {"src/hdf5"}},
    {"xxhash.h", {"src/core"}},
};

bool allowed(const std::string& from, const std::string& to) {
  if (from == to) return true;
  for (const std::string& below : kBelow.at(from))
    if (allowed(below, to)) return true;
  return false;
}

// "src/nn/norm.h" -> "src/nn"; "kernels/cpu/simd.h" -> "kernels".
std::string part_of(const std::string& path) {
  const size_t first = path.find('/');
  if (first == std::string::npos) return path;
  return path.substr(0, path.starts_with("src/") ? path.find('/', first + 1) : first);
}

std::vector<std::string> violations(const fs::path& root) {
  static const std::regex include(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
  std::vector<std::string> found;
  for (const char* top : {"src", "kernels", "comm"}) {
    if (!fs::exists(root / top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension();
      if (!std::set<std::string>{".h", ".cpp", ".cu", ".cuh"}.contains(extension)) continue;
      const std::string file = fs::relative(entry.path(), root), part = part_of(file);
      if (!kBelow.contains(part)) {
        found.push_back(file + ": the part " + part + " has no line in this test's table");
        continue;
      }
      const std::string text = read_file(entry.path());
      for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text.substr(begin, end - begin);
        begin = end + 1;
        std::smatch m;
        if (line.find("include") == std::string::npos || !std::regex_search(line, m, include)) continue;
        const std::string name = m[2];
        if (m[1] == "<") {
          const auto owner = kOwners.find(name);
          if (owner != kOwners.end() && !owner->second.contains(part)) found.push_back(file + " includes <" + name + ">");
        } else if (const std::string to = part_of(name); !kBelow.contains(to)) {
          found.push_back(file + " includes \"" + name + "\", which is no path from the top of the sources");
        } else if (!allowed(part, to)) {
          found.push_back(file + " includes \"" + name + "\", but " + part + " may not include " + to);
        }
      }
    }
  }
  return found;
}

TEST(IncludeRules, TheSourcesKeepThem) {
  ASSERT_TRUE(fs::exists(fs::path(TW_SOURCE_DIR) / "src/core/error.h"));
  std::string text;
  for (const std::string& v : violations(TW_SOURCE_DIR)) text += v + "\n";
  EXPECT_EQ(text, "");
}

TEST(IncludeRules, EachKindOfBreachIsFound) {
  const fs::path root = fs::temp_directory_path() / ("tw-includes-" + std::to_string(::getpid()));
  const auto found_in = [&](const char* file, const std::string& text) {
    fs::remove_all(root);
    make_folders((root / file).parent_path());
    write_file_atomically(root / file, text);
    return violations(root).size();
  };
  EXPECT_EQ(found_in("src/nn/a.h", "#include \"kernels/norm.h\"\n#include \"comm/self.h\"\n#include <vector>\n"), 0u);
  EXPECT_EQ(found_in("src/train/a.h", "#include \"src/core/rng.h\"\n#include \"src/hdf5/h5.h\"\n"), 0u);
  EXPECT_EQ(found_in("src/core/a.h", "#include \"kernels/norm.h\"\n"), 1u);
  EXPECT_EQ(found_in("kernels/cpu/a.cpp", "// text\n  # include \"src/nn/layer.h\""), 1u);
  EXPECT_EQ(found_in("src/nn/a.cpp", "#include \"src/train/trainer.h\"\n#include \"src/checkpoint/checkpoint.h\"\n"), 2u);
  EXPECT_EQ(found_in("src/roof/a.cpp", "#include \"src/train/trainer.h\"\n#include \"src/machine/spread.h\"\n"), 0u);
  EXPECT_EQ(found_in("src/machine/a.cpp", "#include \"src/train/trainer.h\"\n"), 1u);
  EXPECT_EQ(found_in("src/generate/a.cpp", "#include \"src/train/trainer.h\"\n"), 1u);
  EXPECT_EQ(found_in("src/checkpoint/a.cpp", "#include \"src/config/load.h\"\n"), 1u);
  EXPECT_EQ(found_in("src/nn/a.cpp", "#include \"layer.h\"\n"), 1u);
  EXPECT_EQ(found_in("src/nn/a.cpp", "#include <mpi.h>\n"), 1u);
  EXPECT_EQ(found_in("src/helpers/a.h", ""), 1u);
  EXPECT_EQ(found_in("kernels/cuda/a.cu", "#include \"comm/mpi.h\"\n"), 1u);
  EXPECT_EQ(found_in("src/nn/a.cpp", "// #include \"src/train/trainer.h\"\n"), 0u);
  fs::remove_all(root);
}

}  // namespace
}  // namespace tw
