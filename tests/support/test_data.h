// Where the larger test data lives. It is not part of the repository: tests skip without it.
#pragma once
#include <filesystem>
#include <optional>
#include <string_view>

namespace tw {
// $TW_TEST_DATA/relative (default: ../shared/data beside the repository), or nothing if absent.
std::optional<std::filesystem::path> test_data(std::string_view relative);
}  // namespace tw
