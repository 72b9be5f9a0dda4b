#include "tests/support/test_data.h"

#include <cstdlib>

namespace tw {

std::optional<std::filesystem::path> test_data(std::string_view relative) {
  const char* folder = std::getenv("TW_TEST_DATA");
  const std::filesystem::path path = std::filesystem::path(folder ? folder : TW_TEST_DATA_DEFAULT) / relative;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path;
}

}  // namespace tw
