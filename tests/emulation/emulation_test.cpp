// What the emulated GPU catches: mistakes in kernels, in the order of streams, in memory and in the calls of libraries.
#include "tests/emulation/emulation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <thread>

#include "src/core/gpu.h"
#include "src/core/tensor.h"
#include "src/core/thread_team.h"
#include "tests/emulation/broken_kernels.h"
#include "tests/emulation/include/cublasLt.h"
#include "tests/emulation/include/nccl.h"

namespace tw {
namespace {

class Emulation : public testing::Test {
 protected:
  void SetUp() override { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
  Tensor device(const std::vector<float>& v) {
    Tensor x({int64_t(v.size())}, DType::fp32, kDevice);
    copy(ConstView(v.data(), DType::fp32, x.shape()), x.view(), stream());
    return x;
  }
  std::vector<float> host(const Tensor& x) {
    std::vector<float> v(size_t(x.count()));
    copy(x.view(), View(v.data(), DType::fp32, x.shape()), stream());
    synchronize(stream());
    return v;
  }
  const Stream& stream() const { return queue_.stream(); }
  // first, first + 1, ...
  static std::vector<float> counted(int64_t n, float first = 1) {
    std::vector<float> v(static_cast<size_t>(n));
    std::iota(v.begin(), v.end(), first);
    return v;
  }
  static constexpr Device kDevice{DeviceKind::cuda, 0};
  ThreadTeam team_{1};
  gpu::Queue queue_{kDevice, team_};
};

// --- kernels

TEST_F(Emulation, AMissingBarrierGivesAWrongResult) {
  const std::vector<float> v = counted(512);
  std::vector<float> want;
  for (size_t b = 0; b < 512; b += 128) want.insert(want.end(), v.rend() - std::ptrdiff_t(b + 128), v.rend() - std::ptrdiff_t(b));
  const Tensor x = device(v);
  for (uint64_t seed : {1, 2, 3}) {
    tw_emulation::set_seed(seed);
    Tensor right = device(counted(512)), wrong = device(counted(512));
    reverse_blocks(x.view(), right.view(), true, stream());
    reverse_blocks(x.view(), wrong.view(), false, stream());
    EXPECT_EQ(host(right), want);
    EXPECT_NE(host(wrong), want) << "seed " << seed;
  }
}

TEST_F(Emulation, AWrongIndexEndsTheProcess) {
  const Tensor x = device(counted(1024));
  Tensor out = device(counted(1024));
  add_one(x.view(), out.view(), true, stream());
  EXPECT_EQ(host(out), counted(1024, 2));
  EXPECT_DEATH(
      {
        const Tensor from = device(counted(1000 - 8));
        Tensor to = device(counted(1000 - 8));
        add_one(from.view(), to.view(), false, stream());
        synchronize(stream());
        to = Tensor();  // writes just behind the end are found when the memory is given back
      },
      "behind the end of 3968 bytes");
  EXPECT_DEATH(
      {
        const Tensor from = device(counted(1024 + 1));
        Tensor to = device(counted(1024));
        add_one(from.view(), to.view(), false, stream());
        synchronize(stream());
      },
      "block .*thread .*touches .* behind the end");
}

TEST_F(Emulation, AnUnwrittenTailShows) {
  const Tensor x = device(counted(1003));
  Tensor right({1003}, DType::fp32, kDevice), wrong({1003}, DType::fp32, kDevice);
  const std::vector<float> poison(1003, std::nanf(""));
  for (Tensor* t : {&right, &wrong}) copy(ConstView(poison.data(), DType::fp32, {1003}), t->view(), stream());
  copy_fours(x.view(), right.view(), true, stream());
  copy_fours(x.view(), wrong.view(), false, stream());
  EXPECT_EQ(host(right), counted(1003));
  EXPECT_TRUE(std::isnan(host(wrong).back()));
}

TEST_F(Emulation, LanesThatPartEndTheProcess) {
  const Tensor x = device(counted(32));
  Tensor out = device({0});
  sum_of_a_warp(x.view(), out.view(), true, stream());
  EXPECT_EQ(host(out)[0], 528);
  EXPECT_DEATH(
      {
        sum_of_a_warp(x.view(), out.view(), false, stream());
        synchronize(stream());
      },
      "lanes wait for an exchange");
}

TEST_F(Emulation, SharedMemoryThatNothingWroteIsNaN) {
  Tensor out = device(counted(64));
  read_unset_shared_memory(out.view(), stream());
  for (float v : host(out)) EXPECT_TRUE(std::isnan(v));
}

TEST_F(Emulation, LaunchesThatNoDeviceTakesAreRefused) {
  Tensor out = device(counted(64));
  EXPECT_THROW(launch_too_much(1025, 16, out.view(), stream()), Error);
  EXPECT_THROW(launch_too_much(32, 228 << 10, out.view(), stream()), Error);
  EXPECT_NO_THROW(launch_too_much(32, 200 << 10, out.view(), stream()));
  synchronize(stream());
}

// --- memory

TEST_F(Emulation, HostCodeCannotTouchDeviceMemory) {
  const Tensor x = device(counted(8));
  synchronize(stream());
  EXPECT_DEATH((void)*static_cast<const volatile float*>(x.view().data), "host code touches device memory");
}

TEST_F(Emulation, FreedMemoryIsNotUsedAgain) {
  EXPECT_DEATH(
      {
        Tensor x = device(counted(256));
        const View gone = x.view();
        x = Tensor();
        Tensor out = device(counted(256));
        add_one(gone, out.view(), true, stream());
        synchronize(stream());
      },
      "touches freed memory");
}

TEST_F(Emulation, TooLittleMemoryIsSaidWithItsNumbers) {
  try {
    Tensor x({int64_t(3) << 30}, DType::fp32, kDevice);
    FAIL() << "12 GiB of 8";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_NE(std::string(e.what()).find("12.0 GiB are wanted"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("training.micro_batch_size"), std::string::npos) << e.what();
  }
}

// --- streams

TEST_F(Emulation, NothingRunsBeforeSomebodyWaits) {
  const Tensor x = device(counted(64));
  Tensor landed = Tensor::beside(stream(), {64}, DType::fp32);
  landed.as<float>()[0] = -1;
  copy(x.view(), landed.view(), stream());
  EXPECT_EQ(landed.as<float>()[0], -1) << "a copy to pinned memory was awaited by nobody";
  synchronize(stream());
  EXPECT_EQ(landed.as<float>()[0], 1);
}

TEST_F(Emulation, StreamsAreOrderedByEventsAlone) {
  const gpu::Queue other(kDevice, team_);
  bool seen_early = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    tw_emulation::set_seed(seed);
    for (const bool with_event : {true, false}) {
      const Tensor x = device(counted(128));
      Tensor middle = device(std::vector<float>(128, 0)), end = device(std::vector<float>(128, 0));
      synchronize(stream());
      gpu::Event made(kDevice);
      add_one(x.view(), middle.view(), true, stream());
      made.record(stream());
      if (with_event) made.hold(other.stream());
      add_one(middle.view(), end.view(), true, other.stream());
      synchronize(other.stream());
      synchronize(stream());
      if (with_event) EXPECT_EQ(host(end), counted(128, 3));
      else seen_early = seen_early || host(end) != counted(128, 3);
    }
  }
  EXPECT_TRUE(seen_early) << "a missing event never showed";
}

TEST_F(Emulation, AGraphRepeatsItsOps) {
  const Tensor x = device(counted(128));
  Tensor out = device(std::vector<float>(128, 0));
  synchronize(stream());
  const int64_t before = tw_emulation::launches();
  const gpu::Graph graph(stream(), [&] { add_one(x.view(), out.view(), true, stream()); });
  EXPECT_EQ(host(out)[5], 0) << "recording ran";
  graph.start(stream());
  EXPECT_EQ(host(out), counted(128, 2));
  EXPECT_EQ(tw_emulation::launches(), before + 1);
  EXPECT_THROW(gpu::Graph(stream(), [&] { synchronize(stream()); }), Error);
}

// --- libraries

struct Product {
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, d;
  cublasLtMatmulHeuristicResult_t chosen{};
  Product() {
    cublasLtCreate(&handle);
    cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&a, CUDA_R_32F, 8, 4, 8);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_32F, 4, 16, 4);
    cublasLtMatrixLayoutCreate(&d, CUDA_R_32F, 8, 16, 8);
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulPreferenceCreate(&preference);
    const uint64_t workspace = 4096;
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    int found = 0;
    cublasLtMatmulAlgoGetHeuristic(handle, product, a, b, d, d, preference, 1, &chosen, &found);
  }
};

TEST_F(Emulation, WrongProductsEndTheProcess) {
  Product p;
  const Tensor a = device(counted(32)), b = device(counted(64));
  Tensor d = device(counted(128)), workspace({4096}, DType::u8, kDevice);
  const float one = 1, none = 0;
  const auto native = static_cast<cudaStream_t>(gpu::state_of(stream()).handle.get());
  const auto run = [&](cublasLtMatrixLayout_t la, const void* pa, size_t scratch) {
    cublasLtMatmul(p.handle, p.product, &one, pa, la, b.view().data, p.b, &none, d.view().data, p.d, d.view().data, p.d, &p.chosen.algo,
                   workspace.view().data, scratch, native);
  };
  run(p.a, a.view().data, 4096);
  // (8 x 4) column by column times (4 x 16): d[0,0] = sum_k a[0,k] b[k,0].
  EXPECT_EQ(host(d)[0], 1.f * 1 + 9 * 2 + 17 * 3 + 25 * 4);
  cublasLtMatrixLayout_t other;
  cublasLtMatrixLayoutCreate(&other, CUDA_R_32F, 8, 4, 16);
  EXPECT_DEATH(run(other, a.view().data, 4096), "chosen for another problem");
  EXPECT_DEATH(run(p.a, static_cast<const char*>(a.view().data) + 16, 4096), "go beyond an allocation");
  EXPECT_DEATH(run(p.a, a.view().data, 16), "workspace is smaller");
  EXPECT_DEATH(cublasLtMatrixLayoutCreate(&other, CUDA_R_32F, 8, 4, 7), "leading dimension 7");
}

TEST_F(Emulation, UnmatchedCallsOfNcclEndTheProcess) {
  EXPECT_DEATH(ncclGroupEnd(), "without ncclGroupStart");
  EXPECT_DEATH(
      {
        ncclUniqueId id;
        ncclGetUniqueId(&id);
        ncclComm_t first = nullptr;
        ncclComm_t last = nullptr;
        std::thread second([&] { ncclCommInitRank(&last, 2, id, 1); });
        ncclCommInitRank(&first, 2, id, 0);
        second.join();
        const gpu::Queue other(kDevice, team_);
        Tensor x = device(counted(16));
        Tensor y = device(counted(16));
        const auto native = [](const Stream& s) { return static_cast<cudaStream_t>(gpu::state_of(s).handle.get()); };
        ncclSend(x.view().data, 16, ncclFloat32, 1, first, native(stream()));
        ncclRecv(y.view().data, 8, ncclFloat32, 0, last, native(other.stream()));
        synchronize(other.stream());
      },
      "takes 32 bytes by send and recv from rank 0, which sends 64");
}

}  // namespace
}  // namespace tw
