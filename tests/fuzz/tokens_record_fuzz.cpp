#include "src/data/tokens_record.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(tokens_record) {
  static const Folder folder;
  const auto record = read_tokens_record(folder.write("tokens.json", input));
  if (record)
    expect(record->same_request(*record) == record->left_out.empty(), "a record is the request it was made of");
}
