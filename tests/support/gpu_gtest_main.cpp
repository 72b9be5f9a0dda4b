// The main of tests that need a GPU: without one they are skipped (exit code 77), or fail where TW_REQUIRE_CUDA=1.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <iostream>

#include "src/core/gpu.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!tw::gpu::absence().empty()) {
    std::cout << "skipped: " << tw::gpu::absence() << std::endl;
    const char* required = std::getenv("TW_REQUIRE_CUDA");
    return required && std::strcmp(required, "1") == 0 ? 1 : 77;
  }
  return RUN_ALL_TESTS();
}
