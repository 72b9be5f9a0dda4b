#include "comm/mesh.h"

#include <gtest/gtest.h>

#include "comm/self.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {

std::string refusal(const MeshSizes& sizes, int ranks) {
  try {
    resolve_mesh(sizes, ranks);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    return e.what();
  }
  return "accepted";
}

TEST(ResolveMesh, DataTakesTheRest) {
  EXPECT_EQ(resolve_mesh({}, 8).data, 8);
  EXPECT_EQ(resolve_mesh({.tensor = 2}, 8).data, 4);
  EXPECT_EQ(resolve_mesh({.tensor = 2, .context = 2, .expert = 2, .pipeline = 3}, 24).data, 1);
  EXPECT_EQ(resolve_mesh({.tensor = 3, .data = 2}, 6), (MeshSizes{.tensor = 3, .data = 2}));
}

TEST(ResolveMesh, RefusesWithTheNumbers) {
  EXPECT_NE(refusal({.tensor = 3}, 8).find("8 ranks"), std::string::npos) << refusal({.tensor = 3}, 8);
  EXPECT_NE(refusal({.tensor = 2, .data = 3}, 8).find("data 3 x"), std::string::npos);
  EXPECT_NE(refusal({.pipeline = 0}, 8).find("pipeline_parallel_size is 0"), std::string::npos);
  EXPECT_NE(refusal({.data = 0}, 8).find("-1"), std::string::npos);
  EXPECT_NE(refusal({.tensor = 16}, 8), "accepted");
  const int big = 2147483647;
  EXPECT_NE(refusal({.tensor = big, .context = big, .expert = big, .data = big, .pipeline = big}, 8), "accepted");
  EXPECT_NE(refusal({.tensor = big, .context = big, .expert = big, .pipeline = big}, 8), "accepted");
}

TEST(Mesh, OfOneRank) {
  const auto self = make_self_communicator();
  const Mesh mesh(*self, {});
  for (int a = 0; a < kAxes; ++a) EXPECT_EQ(mesh.axis(Axis(a)).size(), 1);
  EXPECT_EQ(mesh.str(), "dp 1 x pp 1 x cp 1 x tp 1 x ep 1");
}

// Every layout of 8 ranks: an axis joins exactly the ranks that differ in it alone, in its order.
TEST(Mesh, JoinsTheRightRanksInEveryLayout) {
  int layouts = 0;
  for (int t : {1, 2, 4, 8})
    for (int c : {1, 2, 4, 8})
      for (int e : {1, 2, 4, 8})
        for (int d : {1, 2, 4, 8})
          for (int p : {1, 2, 4, 8}) {
            if (t * c * e * d * p != 8) continue;
            ++layouts;
            run_ranks(8, [&](Communicator& world) {
              const Mesh mesh(world, {.tensor = t, .context = c, .expert = e, .data = d, .pipeline = p});
              // The rank of a place, by the definition: tensor fastest, then context, expert, data, pipeline.
              const auto rank_at = [&](const std::array<int, kAxes>& x) {
                return (((x[4] * d + x[3]) * e + x[2]) * c + x[1]) * t + x[0];
              };
              const std::array<int, kAxes> extents{t, c, e, d, p};
              std::array<int, kAxes> place{};
              for (int a = 0; a < kAxes; ++a) place[size_t(a)] = mesh.axis(Axis(a)).rank();
              EXPECT_EQ(rank_at(place), world.rank()) << mesh.str();
              for (int a = 0; a < kAxes; ++a) {
                Communicator& axis = mesh.axis(Axis(a));
                ASSERT_EQ(axis.size(), extents[size_t(a)]) << mesh.str();
                std::vector<int32_t> own{world.rank()}, members(size_t(axis.size()));
                axis.all_gather({own.data(), DType::i32, {1}}, {members.data(), DType::i32, {axis.size()}},
                                Stream(Device{}, nullptr));
                for (int i = 0; i < axis.size(); ++i) {
                  std::array<int, kAxes> other = place;
                  other[size_t(a)] = i;
                  EXPECT_EQ(members[size_t(i)], rank_at(other)) << mesh.str() << " axis " << a;
                }
              }
            });
          }
  EXPECT_EQ(layouts, 35);  // ways to share three factors of two among five axes
}

TEST(Mesh, TensorRanksAreNeighbours) {
  run_ranks(8, [](Communicator& world) {
    const Mesh mesh(world, {.tensor = 2, .data = 2, .pipeline = 2});
    EXPECT_EQ(mesh.tensor().rank(), world.rank() % 2);
    EXPECT_EQ(mesh.data().rank(), world.rank() / 2 % 2);
    EXPECT_EQ(mesh.pipeline().rank(), world.rank() / 4);
    EXPECT_EQ(&mesh.world(), &world);
  });
}

TEST(Mesh, AWrongProductIsRefusedOnEveryRank) {
  EXPECT_THROW(run_ranks(6, [](Communicator& world) { Mesh(world, {.tensor = 4}); }), Error);
}

}  // namespace
}  // namespace tw
