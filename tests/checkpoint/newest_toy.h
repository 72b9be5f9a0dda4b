// For tests that damage or interrupt saves of the fixture's tensors.
#pragma once
#include <gtest/gtest.h>

#include "tests/checkpoint/fixture.h"

namespace tw {

// The step of the newest checkpoint in `folder`, which is read whole and compared.
inline int64_t newest_toy(const std::filesystem::path& folder) {
  testing::internal::CaptureStderr();  // unfinished folders are named
  const Checkpoint checkpoint = Checkpoint::open(folder);
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(wrong_elements(checkpoint, checkpoint.info().step, 2001), 0);
  return checkpoint.info().step;
}

}  // namespace tw
