// One word of the command line a line.
#include <vector>

#include "src/config/files.h"
#include "src/config/load.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(config_overrides) {
  if (input.starts_with("[")) {
    parse_text_list(input);
    return;
  }
  std::vector<std::string> words;
  const bool again = input.size() % 4 == 0;  // reading them again is most of the time
  while (!input.empty()) {
    const size_t end = std::min(input.find('\n'), input.size());
    words.emplace_back(input.substr(0, end));
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  const Config config = load_config({}, words);
  if (!again) return;
  static const Folder folder;
  expect(load_config({folder.write("again.toml", config.to_toml())}, {}) == config, "settings load back equal");
}
