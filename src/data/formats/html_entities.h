// Named character references.
#pragma once
#include <cstdint>
#include <string_view>

namespace tw {
uint32_t html_entity(std::string_view name) noexcept;  // without & and ;; 0 = unknown
}  // namespace tw
