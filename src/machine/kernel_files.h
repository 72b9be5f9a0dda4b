// What Linux says in /proc and /sys. `root` is "/"; tests put a folder there.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// The start of a file, 1 MiB at most, without the line's end; "" where it cannot be read. Never throws for a file that is
// not there: kernels differ.
std::string kernel_text(const std::filesystem::path& path);
// The number a file begins with; none where there is no such file or number ("max").
std::optional<double> kernel_number(const std::filesystem::path& path);
// The value of the first line "name: value", or of "name value" where `name` ends with a blank; "" where there is none.
std::string kernel_field(std::string_view text, std::string_view name);
std::vector<std::string> kernel_names(const std::filesystem::path& folder);  // sorted; empty where it cannot be read
std::vector<int> parse_cpu_list(std::string_view text);  // "0-3,8" -> 0 1 2 3 8; stops at what is no list
std::string cpu_list_text(const std::vector<int>& cpus);    // the other way; cpus rise

// Bounds set by control groups, versions 1 and 2: the tightest of this process's group and those above it.
struct GroupLimits {
  std::optional<double> cores;         // CPU time a second
  std::optional<double> memory;        // bytes
  std::optional<double> memory_left;   // bytes, file cache counted as free
  std::vector<int> cpus;               // that the group may run on; empty = not told
};
GroupLimits group_limits(const std::filesystem::path& root = "/");

struct MemoryState {
  double total = 0, available = 0;  // bytes
  double swap_total = 0, swap_free = 0;
  double huge_page = 0, huge_pages = 0, huge_pages_free = 0;  // bytes of one; how many are set aside
  GroupLimits group;
  double usable() const;  // bytes this process could take now
};
MemoryState read_memory(const std::filesystem::path& root = "/");

}  // namespace tw
