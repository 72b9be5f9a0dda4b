// fuzz_replay TARGET FOLDER: gives the target every file of the folder, and its bombs. It ends as the target does.
#include <algorithm>
#include <map>
#include <vector>

#include <sys/resource.h>

#include "src/core/file.h"
#include "tests/fuzz/bombs.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

constexpr long kMostMemory = 768 << 10;  // KiB

std::map<std::string, Target>& targets() {
  static std::map<std::string, Target> all;
  return all;
}

int replay(const std::string& name, const std::filesystem::path& folder) {
  const auto target = targets().find(name);
  if (target == targets().end()) {
    std::fprintf(stderr, "no target %s\n", name.c_str());
    return 1;
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::printf("%s\n", file.filename().c_str());  // the last line names the one that fails
    std::fflush(stdout);
    // On the heap and as long as the file: what reads past its end is seen by a sanitizer.
    const std::string content = read_file(file);
    const std::vector<char> bytes(content.begin(), content.end());
    run(target->second, {bytes.data(), bytes.size()});
  }
  size_t exploded = 0;
  for (const Bomb& bomb : bombs()) {
    if (bomb.target != name) continue;
    ++exploded;
    std::printf("bomb: %s\n", bomb.name.c_str());
    std::fflush(stdout);
    run(target->second, bomb.make());
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("%zu inputs, %zu bombs, at most %ld MiB\n", files.size(), exploded, usage.ru_maxrss >> 10);
  expect(usage.ru_maxrss <= kMostMemory, "no input takes more memory");
  return files.empty();
}

}  // namespace

Registration::Registration(const char* name, Target target) { targets().emplace(name, target); }

}  // namespace tw::fuzz

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "fuzz_replay TARGET FOLDER\n");
    return 1;
  }
  return tw::fuzz::replay(argv[1], argv[2]);
}
