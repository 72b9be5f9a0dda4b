// A main as the product's, that ends in the way its argument names. endings_test.cpp starts it
// under mpirun.
#include <cstdio>
#include <cstring>

#include "comm/mpi.h"
#include "src/core/log.h"

namespace tw {
namespace {

const Stream kHost(Device{}, nullptr);

void run(Communicator& world, const char* ending) {
  std::vector<double> in(size_t(4096 * world.size())), out(in.size());
  const View sent(in.data(), DType::fp64, {int64_t(in.size())}), got(out.data(), DType::fp64, {int64_t(out.size())});
  const auto is = [&](const char* name) { return std::strcmp(ending, name) == 0; };
  world.barrier();
  if (is("throw") && world.rank() == 1) TW_FAIL(numerics, "the loss is not finite");
  if (is("under-way") && world.rank() == 1) {
    // The peers never start theirs.
    const Pending pending = world.start_all_to_all(sent, got, kHost);
    TW_FAIL(corruption, "wrong checksum");
  }
  if (is("split") && world.rank() == 1) {
    const auto part = world.split(world.rank() % 2, 0);
    TW_FAIL(fenced, "another run owns the folder");
  }
  if (is("split")) (void)world.split(world.rank() % 2, 0);
  world.barrier();
}

int start(int argc, char** argv) {
  static std::unique_ptr<Communicator> outlives_session;
  MpiSession session(argc, argv);
  const auto world = session.world();
  set_log_rank(world->rank());
  const char* ending = argc > 1 ? argv[1] : "";
  if (std::strcmp(ending, "uncaught") == 0 && world->rank() == 1) TW_FAIL(requeue, "past the session");
  if (std::strcmp(ending, "outlive") == 0) outlives_session = session.world();
  try {
    run(*world, ending);
  } catch (const Error& e) {
    log_warning("{}", e.what());
    world->abort(int(e.code()));
  }
  return 0;
}

}  // namespace
}  // namespace tw

int main(int argc, char** argv) {
  try {
    return tw::start(argc, argv);
  } catch (const tw::Error& e) {
    return int(e.code());
  }
}
