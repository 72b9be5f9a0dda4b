// foreign_mutations N [SEED]: N damaged HDF5 files, each read by the HDF5 library in its sandbox, every other one as tables. This process must
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
#include "src/hdf5/foreign_tables.h"
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

// Records with texts and a named array in two dimensions, which integers do not have.
void write_table(const fs::path& path) {
  struct Record {
    double t;
    int32_t where[2];
    const char* text;
  };
  const File file(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), path.string()));
  const hsize_t two = 2, rows = 200, sides[] = {200, 2}, chunk[] = {64, 2};
  const Datatype text(H5Tcopy(H5T_C_S1)), pair(H5Tarray_create2(H5T_NATIVE_INT32, 1, &two)), record(H5Tcreate(H5T_COMPOUND, sizeof(Record)));
  check(H5Tset_size(text.get(), H5T_VARIABLE), "text");
  check(H5Tinsert(record.get(), "t", offsetof(Record, t), H5T_NATIVE_DOUBLE), "t");
  check(H5Tinsert(record.get(), "where", offsetof(Record, where), pair.get()), "where");
  check(H5Tinsert(record.get(), "text", offsetof(Record, text), text.get()), "text");
  std::vector<Record> records;
  std::vector<double> numbers;
  for (int i = 0; i < int(rows); ++i) records.push_back({i * 0.5, {i, -i}, i % 3 ? "on" : "a, \"b\""}), numbers.push_back(i), numbers.push_back(-i);
  const Dataspace line(H5Screate_simple(1, &rows, nullptr)), square(H5Screate_simple(2, sides, nullptr)), names(H5Screate_simple(1, &two, nullptr));
  const Dataset log(check(H5Dcreate2(file.get(), "log", record.get(), line.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "log"));
  check(H5Dwrite(log.get(), record.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, records.data()), "log");
  const PropertyList create = make_property_list(H5P_DATASET_CREATE);
  check(H5Pset_chunk(create.get(), 2, chunk), "chunk"), check(H5Pset_deflate(create.get(), 6), "deflate");
  const Dataset data(check(H5Dcreate2(file.get(), "data", H5T_IEEE_F32BE, square.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT), "data"));
  check(H5Dwrite(data.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()), "data");
  const Attribute columns(check(H5Acreate2(data.get(), "columns", text.get(), names.get(), H5P_DEFAULT, H5P_DEFAULT), "columns"));
  const char* both[] = {"speed", "gear"};
  check(H5Awrite(columns.get(), text.get(), both), "columns");
}

std::string tables_of(const fs::path& path, const SandboxLimits& limits) {
  std::string text;
  const MappedFile map(path);
  read_foreign_tables(map.text(), path.string(), {.table = [&](const ForeignTable& t) { text += t.columns[0]; }, .rows = [&](std::string_view some) { text += some; }}, limits);
  return text;
}

int try_all(int64_t count, uint64_t seed) {
  const fs::path memory = fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  const fs::path path = memory / ("tw_mutations_" + std::to_string(::getpid()) + ".h5");
  const Silence silence;
  std::vector<std::string> originals, tables;
  std::vector<int64_t> values;
  for (int64_t i = 0; i < 1000; ++i) values.push_back(i * 37 % 1000);
  for (const ForeignKind& kind : foreign_kinds()) {
    write_foreign(path, kind, values);
    originals.push_back(read_file(path));
  }
  write_table(path);
  originals.push_back(read_file(path));
  SandboxLimits limits;
  limits.memory = int64_t(256) << 20, limits.cpu_seconds = 2, limits.wall = std::chrono::seconds(2);
  for (const std::string& original : originals) {
    write_file_atomically(path, original);
    tables.push_back(tables_of(path, limits));
  }
  int64_t whole = 0, other = 0, refused = 0, crashed = 0, late = 0, wrong = 0;
  double longest = 0;
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < count; ++i) {
    const bool as_tables = i % 2;
    const size_t of = random() % (originals.size() - !as_tables);
    const std::string bytes = damaged(originals[of], random);
    {
      const FileDescriptor fd = open_to_write(path);
      write_exactly(fd.get(), bytes.data(), bytes.size(), 0, path);
    }
    struct Time {
      double& longest;
      std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
      ~Time() { longest = std::max(longest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()); }
    } const time{longest};
    try {
      if (as_tables) {
        ++(tables_of(path, limits) == tables[of] ? whole : other);
        continue;
      }
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
