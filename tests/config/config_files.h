// Writes settings into a folder of its own and says how loading ended.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "src/config/load.h"
#include "src/core/error.h"

namespace tw {

class ConfigFiles {
 public:
  ConfigFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "tw config XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    folder_ = name;
  }
  ~ConfigFiles() { std::filesystem::remove_all(folder_); }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

struct Ending {
  ExitCode code = ExitCode::ok;
  std::string message;
};

inline Ending load_ending(const std::vector<std::filesystem::path>& paths,
                          const std::vector<std::string>& overrides = {}) {
  try {
    load_config(paths, overrides);
    return {};
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
}

}  // namespace tw
