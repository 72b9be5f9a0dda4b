#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "src/core/log.h"
#include "tests/support/mpi_gtest.h"

namespace tw {
namespace {

MpiSession* session_ = nullptr;

// Failures of ranks above 0, whose other output is left out; a fatal one ends the job.
class RankListener final : public testing::EmptyTestEventListener {
 public:
  explicit RankListener(Communicator& world) : world_(world) {}
  // Remembered here: GoogleTest holds its lock while it reports a result, so it cannot be asked then.
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    if (world_.rank() > 0)
      std::fprintf(stderr, "[rank %d] %s:%d: Failure in %s\n%s\n", world_.rank(),
                   result.file_name() ? result.file_name() : "?", result.line_number(), test_.c_str(),
                   result.message());
    if (result.fatally_failed() && world_.size() > 1) world_.abort(1);
  }

 private:
  Communicator& world_;
  std::string test_;
};

void wait_for_debugger(int rank) {
  volatile int go = 0;
  std::fprintf(stderr, "rank %d waits: gdb -p %d, then: set var go = 1\n", rank, int(::getpid()));
  while (go == 0) ::sleep(1);
}

int run(int argc, char** argv, MpiSession& session) {
  const auto world = session.world();
  set_log_rank(world->rank());
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], "--hang-rank") == 0 && std::atoi(argv[i + 1]) == world->rank())
      wait_for_debugger(world->rank());
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  // Appended, so the default printer has printed a failure before the job ends.
  listeners.Append(new RankListener(*world));
  if (world->rank() > 0) delete listeners.Release(listeners.default_result_printer());
  if (world->size() > 1) testing::GTEST_FLAG(catch_exceptions) = false;
  int64_t code = 1;
  try {
    code = RUN_ALL_TESTS();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "[rank %d] exception: %s\n", world->rank(), e.what());
    world->abort(1);
  }
  return int(all_reduce_value(*world, code, ReduceOp::max));
}

}  // namespace

MpiSession& mpi_session() { return *session_; }

}  // namespace tw

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const bool listing = testing::GTEST_FLAG(list_tests);
  if (!listing && !tw::MpiSession::launched_by_mpi()) {
    const char* require = std::getenv("TW_REQUIRE_MPI");
    const bool required = require != nullptr && std::strcmp(require, "1") == 0;
    std::fprintf(stderr, "%s: not started by mpirun, so no test was run (mpirun -np N %s)\n",
                 required ? "error" : "skipped", argv[0]);
    return required ? 1 : 0;
  }
  if (listing) return RUN_ALL_TESTS();
  tw::MpiSession session(argc, argv);
  tw::session_ = &session;
  return tw::run(argc, argv, session);
}
