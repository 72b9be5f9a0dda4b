// foreign_mutations N [SEED]: N damaged HDF5 files, each read by the HDF5 library in its sandbox. This process must
// outlive them all, and none may take more than 2 s. Prints what became of them.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>

#include "src/core/file.h"
#include "src/hdf5/foreign.h"
#include "tests/hdf5/foreign_files.h"

namespace tw::h5 {
namespace {
namespace fs = std::filesystem;

// One to eight changes, most of them where the library keeps its book: bytes, bits, sizes and addresses, cuts.
std::string damaged(std::string file, std::mt19937_64& random) {
  const auto below = [&](size_t n) { return size_t(random() % std::max<size_t>(n, 1)); };
  const uint64_t telling[] = {0, 1, ~0ull, ~0ull >> 1, 0x80000000, 0xFFFF, file.size(), file.size() - 1, 1ull << 40, 96};
  for (size_t left = 1 + below(8); left > 0; --left) {
    const size_t at = below(below(4) ? std::min<size_t>(file.size(), 3000) : file.size());
    switch (below(8)) {
      case 0:
        file[at] = char(random());
        break;
      case 1:
      case 2:
        file[at] = char(file[at] ^ (1 << below(8)));
        break;
      case 3:
      case 4: {
        const uint64_t value = telling[below(std::size(telling))];
        std::memcpy(file.data() + at, &value, std::min<size_t>(size_t(1) << below(4), file.size() - at));
        break;
      }
      case 5: {
        const size_t from = below(file.size()), n = std::min(below(64), file.size() - std::max(at, from));
        std::memmove(file.data() + at, file.data() + from, n);
        break;
      }
      case 6:
        if (below(8) == 0) file.resize(at + 1);
        break;
      default:
        ++file[at];
    }
  }
  return file;
}

int try_all(int64_t count, uint64_t seed) {
  const fs::path memory = fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  const fs::path path = memory / ("tw_mutations_" + std::to_string(::getpid()) + ".h5");
  const Silence silence;
  std::vector<std::string> originals;
  std::vector<int64_t> values;
  for (int64_t i = 0; i < 1000; ++i) values.push_back(i * 37 % 1000);
  for (const ForeignKind& kind : foreign_kinds()) {
    write_foreign(path, kind, values);
    originals.push_back(read_file(path));
  }
  SandboxLimits limits;
  limits.memory = int64_t(256) << 20, limits.cpu_seconds = 2, limits.wall = std::chrono::seconds(2);
  int64_t whole = 0, other = 0, refused = 0, crashed = 0, late = 0, wrong = 0;
  double longest = 0;
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < count; ++i) {
    const std::string bytes = damaged(originals[random() % originals.size()], random);
    {
      const FileDescriptor fd = open_to_write(path);
      write_exactly(fd.get(), bytes.data(), bytes.size(), 0, path);
    }
    const auto begin = std::chrono::steady_clock::now();
    try {
      std::vector<int64_t> got;
      read_foreign_integers({path, "", limits}, [&](std::span<const int64_t> v) { got.insert(got.end(), v.begin(), v.end()); });
      ++(got == values ? whole : other);
    } catch (const Error& e) {
      const std::string_view text = e.what();
      if (e.code() != ExitCode::data) ++wrong, std::fprintf(stderr, "file %lld: exit code %d: %s\n", static_cast<long long>(i), int(e.code()), e.what());
      if (text.find("ended by signal") != text.npos) ++crashed;
      else if (text.find("took longer") != text.npos || text.find("of processor time") != text.npos) ++late;
      else ++refused;
    }
    longest = std::max(longest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  fs::remove(path);
  std::printf("%lld mutated HDF5 files: %lld read as before, %lld with other numbers, %lld refused, %lld crashed the library, %lld stopped after 2 s; "
              "longest %.2f s; %lld wrong endings; this process lives\n",
              static_cast<long long>(count), static_cast<long long>(whole), static_cast<long long>(other), static_cast<long long>(refused),
              static_cast<long long>(crashed), static_cast<long long>(late), longest, static_cast<long long>(wrong));
  return wrong != 0;
}

}  // namespace
}  // namespace tw::h5

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "foreign_mutations N [SEED]\n");
    return 64;
  }
  return tw::h5::try_all(std::atoll(argv[1]), argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
}
