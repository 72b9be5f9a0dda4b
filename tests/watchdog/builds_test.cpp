// Ranks of two builds: refused at the start, before they misunderstand each other.
#include <cstring>
#include <elf.h>

#include "src/core/file.h"
#include "tests/watchdog/job_fixture.h"

namespace tw {
namespace {

// The program with another build id: the linker's note, which stands in the file once.
std::string other_build(std::string program) {
  const char note[] = {4, 0, 0, 0, 20, 0, 0, 0, NT_GNU_BUILD_ID, 0, 0, 0, 'G', 'N', 'U', 0};
  const size_t at = program.find(std::string(note, sizeof note));
  if (at == std::string::npos) return "";
  program[at + sizeof note] = char(program[at + sizeof note] ^ 0x55);
  return program;
}

TEST_F(Job, OfTwoBuildsIsRefusedNamingTheRanks) {
  raw_tokens();
  const std::string other = other_build(read_file(TW_BINARY));
  ASSERT_FALSE(other.empty()) << "the program has no build id";
  write("other", other);
  std::filesystem::permissions(path("other"), std::filesystem::perms::owner_all);
  const Words words = train(1);
  // mpirun -np 2 ours words : -np 1 theirs words
  Words mixed = words;
  mixed.insert(mixed.end(), {":", "-np", "1", path("other")});
  mixed = mixed + words;
  const Ended e = ranks(2, mixed);
  EXPECT_EQ(e.code, 70) << e.err;
  EXPECT_NE(e.err.find("another build"), std::string::npos) << e.err;
  EXPECT_NE(e.err.find("ranks 2 ("), std::string::npos) << e.err;
}

}  // namespace
}  // namespace tw
