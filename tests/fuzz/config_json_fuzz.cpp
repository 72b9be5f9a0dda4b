#include "src/config/load.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(config_json) {
  static const Folder folder;
  const Config config = load_config({folder.write("config.json", input)}, {});
  expect(load_config({folder.write("again.toml", config.to_toml())}, {}) == config, "settings load back equal");
}
