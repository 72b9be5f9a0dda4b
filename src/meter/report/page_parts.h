// page.css and page.js, made part of the program when it is built.
#pragma once
#include <string_view>

namespace tw::report {
extern const std::string_view kStyleSheet, kScript;
}  // namespace tw::report
