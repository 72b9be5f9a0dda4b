// Prints docs/configuration.md.
#include <cstdio>

#include "src/config/schema.h"

int main() {
  const std::string text = tw::config_reference_markdown();
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 ? 0 : 74;
}
