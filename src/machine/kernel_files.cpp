#include "src/machine/kernel_files.h"

#include <algorithm>
#include <charconv>
#include <fstream>

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostBytes = size_t(1) << 20;
constexpr int kMostCpus = 1 << 16;

bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<double> number_at_start(std::string_view text) {
  text = trimmed(text);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

void keep_least(std::optional<double>& least, std::optional<double> value) {
  if (value && (!least || *value < *least)) least = value;
}

// visit(folder) for the group of this process in `controller` (empty: version 2) and each group above it.
template <class Visit>
void for_groups(const fs::path& root, std::string_view controller, Visit&& visit) {
  const std::string groups = kernel_text(root / "proc/self/cgroup");
  std::string_view left = groups;
  while (!left.empty()) {
    const size_t end = std::min(left.find('\n'), left.size());
    const std::string_view line = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    // "4:memory:/path", "1:cpu,cpuacct:/path", "0::/path"
    const size_t first = line.find(':'), second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string names = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    if (controller.empty() ? names != ",," : names.find("," + std::string(controller) + ",") == names.npos) continue;
    const fs::path mount = root / "sys/fs/cgroup";
    std::error_code absent;
    fs::path top = controller.empty() ? mount : mount / controller;
    if (controller.empty() && fs::exists(mount / "unified", absent)) top = mount / "unified";
    fs::path below = fs::path(line.substr(second + 1)).relative_path();
    // In a container the path may be that of the host: then the mount itself is the group.
    if (!fs::exists(top / below, absent)) below.clear();
    for (;; below = below.parent_path()) {
      visit(top / below);
      if (below.empty()) break;
    }
  }
}

}  // namespace

std::string kernel_text(const fs::path& path) {
  std::error_code absent;
  if (!fs::is_regular_file(path, absent)) return "";  // a pipe would block
  std::ifstream in(path, std::ios::binary);
  std::string text(4096, '\0');
  size_t n = 0;
  while (in && n < kMostBytes) {
    if (n == text.size()) text.resize(std::min(2 * n, kMostBytes));
    in.read(text.data() + n, std::streamsize(text.size() - n));
    n += size_t(in.gcount());
  }
  text.resize(n);
  while (!text.empty() && blank(text.back())) text.pop_back();
  return text;
}

std::optional<double> kernel_number(const fs::path& path) { return number_at_start(kernel_text(path)); }

std::string kernel_field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(name)) continue;
    line = trimmed(line.substr(name.size()));
    if (line.starts_with(':')) return std::string(trimmed(line.substr(1)));
    if (name.ends_with(' ')) return std::string(line);
  }
  return "";
}

std::vector<std::string> kernel_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end && names.size() < 100000; at.increment(error))
    names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  const char *at = text.data(), *const end = at + text.size();
  while (at != end) {
    int first = 0, last = 0;
    auto [next, error] = std::from_chars(at, end, first);
    if (error != std::errc() || first < 0) break;
    last = first, at = next;
    if (at != end && *at == '-') {
      const auto [after, bad] = std::from_chars(at + 1, end, last);
      if (bad != std::errc() || last < first) break;
      at = after;
    }
    if (last >= kMostCpus) break;
    for (int c = first; c <= last; ++c) cpus.push_back(c);
    if (at == end || *at != ',') break;
    ++at;
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string cpu_list_text(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t j = i;
    while (j + 1 < cpus.size() && cpus[j + 1] == cpus[j] + 1) ++j;
    text += (text.empty() ? "" : ",") + std::to_string(cpus[i]);
    if (j > i) text += "-" + std::to_string(cpus[j]);
    i = j + 1;
  }
  return text;
}

GroupLimits group_limits(const fs::path& root) {
  GroupLimits limits;
  // Version 1 writes a number beyond any memory where there is no bound.
  const auto take_memory = [&](std::optional<double> most, std::optional<double> used, const std::string& statistics) {
    if (!most || *most >= 9e18) return;
    keep_least(limits.memory, most);
    if (!used) return;
    const double cache = number_at_start(kernel_field(statistics, "inactive_file ")).value_or(0);
    keep_least(limits.memory_left, std::max(0.0, *most - *used + cache));
  };
  for_groups(root, "", [&](const fs::path& group) {
    const std::string cpu = kernel_text(group / "cpu.max");  // "200000 100000" or "max 100000"
    const auto quota = number_at_start(cpu);
    const size_t space = cpu.find(' ');
    const auto period = number_at_start(space == cpu.npos ? "" : std::string_view(cpu).substr(space));
    if (quota && period && *period > 0) keep_least(limits.cores, *quota / *period);
    take_memory(kernel_number(group / "memory.max"), kernel_number(group / "memory.current"), kernel_text(group / "memory.stat"));
  });
  const auto take_cpus = [&](const fs::path& file) {
    if (limits.cpus.empty()) limits.cpus = parse_cpu_list(kernel_text(file));
  };
  for_groups(root, "", [&](const fs::path& group) { take_cpus(group / "cpuset.cpus.effective"); });
  for_groups(root, "cpuset", [&](const fs::path& group) { take_cpus(group / "cpuset.effective_cpus"); });
  for_groups(root, "cpu", [&](const fs::path& group) {
    const auto quota = kernel_number(group / "cpu.cfs_quota_us"), period = kernel_number(group / "cpu.cfs_period_us");
    if (quota && *quota > 0 && period && *period > 0) keep_least(limits.cores, *quota / *period);
  });
  for_groups(root, "memory", [&](const fs::path& group) {
    take_memory(kernel_number(group / "memory.limit_in_bytes"), kernel_number(group / "memory.usage_in_bytes"),
                kernel_text(group / "memory.stat"));
  });
  return limits;
}

MemoryState read_memory(const fs::path& root) {
  const std::string info = kernel_text(root / "proc/meminfo");
  const auto field = [&](const char* name) { return number_at_start(kernel_field(info, name)).value_or(0); };
  MemoryState m;
  m.total = field("MemTotal") * 1024, m.available = field("MemAvailable") * 1024;
  m.swap_total = field("SwapTotal") * 1024, m.swap_free = field("SwapFree") * 1024;
  m.huge_page = field("Hugepagesize") * 1024, m.huge_pages = field("HugePages_Total"), m.huge_pages_free = field("HugePages_Free");
  m.group = group_limits(root);
  return m;
}

double MemoryState::usable() const { return group.memory_left ? std::min(*group.memory_left, available) : available; }

}  // namespace tw
