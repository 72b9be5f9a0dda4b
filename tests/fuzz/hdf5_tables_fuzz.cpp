// Tables out of HDF5: what the reader in the sandbox may say, which may be anything. Whole files go to the HDF5 library, which crashes on some by
// itself, and so only where the sandbox is one (tests/hdf5/foreign_mutations.cpp has many more).
#include "src/hdf5/foreign.h"
#include "src/hdf5/foreign_tables.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(hdf5_tables) {
  using namespace h5;
  size_t columns = 0;
  const ForeignTableSink sink = {.table =
                                     [&](const ForeignTable& table) {
                                       columns = table.columns.size();
                                       expect(columns >= 1 && columns <= kMostTableColumns && table.rows >= kFewestRows, "a table has columns and rows");
                                       for (const std::string& name : table.columns) expect(!name.empty() && name.size() < 2000, "a column has a name");
                                     },
                                 .rows = [&](std::string_view text) { expect(columns > 0, "rows are of a table"), use(text.data()); }};
  if (is_hdf5(input)) {
#ifdef TW_FUZZ_REPLAY
    const ForeignTables found = read_foreign_tables(input, "input", sink, foreign_limits(int64_t(input.size())));
    expect(found.own.empty() || found.tables == 0, "a file of ours holds no tables");
#endif
    return;
  }
  // In pieces of the lengths that the first byte says.
  const size_t step = input.empty() ? 1 : size_t(static_cast<unsigned char>(input[0])) + 1;
  ForeignTableStream stream(sink);
  for (size_t at = 1; at < input.size(); at += step) stream.add(input.substr(at, step));
  const ForeignTables found = stream.finish();
  expect(found.left_out.size() < 10'000 && found.own.size() < 1000, "a note is a sentence");
}
