#include "src/config/load.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(config_toml) {
  static const Folder folder;
  const auto path = folder.write("config.toml", input);
  const Config config = load_config({path}, {});
  expect(load_config({folder.write("again.toml", config.to_toml())}, {}) == config, "settings load back equal");
}
