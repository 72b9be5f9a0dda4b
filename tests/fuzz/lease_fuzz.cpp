// Who holds a run folder: the lease file of the one before.
#include "src/checkpoint/lease.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(lease) {
  static const Folder folder;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) std::filesystem::remove(entry.path(), absent);
  folder.write("lease.a7", input);
  try {
    RunLease lease = RunLease::acquire(folder.path());
    expect(lease.token() > 7, "the next holder has a higher token");
    lease.check();
  } catch (const Error& e) {
    if (e.code() != ExitCode::fenced) throw;  // a living holder is believed
  }
}
