// page.css and page.js of the sweep's page, made part of the program when it is built.
#pragma once
#include <string_view>

namespace tw {
extern const std::string_view kSweepStyle, kSweepScript;
}  // namespace tw
