// Several hosts (cluster/hosts: network namespaces), whose links and processes fail: the bits are equal, or a named error ends it.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/launch/launch_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;

class Hosts : public Launch {
 protected:
  void SetUp() override {
    const bool required = std::getenv("TW_REQUIRE_MPI") != nullptr && std::string(std::getenv("TW_REQUIRE_MPI")) == "1";
    std::string missing;
    if (::geteuid() != 0) missing = "network namespaces want root";
    else if (run_process({"sh", "-c", "command -v ip && command -v nft && command -v tc"}).code != 0) missing = "ip, tc or nft is missing";
    else if (const Ended e = run_process({"unshare", "--net", "--uts", "--mount", "true"}); e.code != 0) missing = "no namespaces here: " + e.err;
    if (!missing.empty() && required) FAIL() << missing;
    if (!missing.empty()) GTEST_SKIP() << missing;
    ASSERT_EQ(hosts({"up", "2", "2"}).code, 0);
  }
  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_EQ(hosts({"down"}).code, 0);
    }
  }
  ProcessOptions options() const {
    ProcessOptions o = Launch::options();
    o.environment.emplace_back("TW_HOSTS", path("hosts"));
    return o;
  }
  Ended hosts(const Words& words) const { return run_process(Words{TW_CLUSTER "/hosts"} + words, options()); }
  // Four ranks on two hosts.
  Ended run(const std::string& name, int steps, std::vector<Hit> hits) {
    ProcessOptions o = options();
    o.watch = when([this, name] { return reached(name); }, std::move(hits));
    return run_process(Words{TW_CLUSTER "/hosts", "run"} + supervise(4, {"--hostfile", path("hosts") + "/hostfile"}) + train(name, steps), o);
  }
  auto command(const Words& words) {
    return [this, words](int) { EXPECT_EQ(hosts(words).code, 0); };
  }
};

TEST_F(Hosts, SlowLossyAndBrokenOffLinksChangeNoBit) {
  const std::string want = undisturbed(300);
  const Ended e = run("run", 300,
                      {{20, command({"rate", "2", "200mbit"})},
                       {50, command({"loss", "2", "10"})},
                       {90, command({"heal", "2"})},
                       {110, [this](int) {
                          EXPECT_EQ(hosts({"linkdown", "2"}).code, 0);
                          ::sleep(5);
                          EXPECT_EQ(hosts({"linkup", "2"}).code, 0);
                        }}});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(weights(path("run")), want);
}

TEST_F(Hosts, AfterALinkIsCutTheRestGoesOnAndTheHostComesBack) {
  const std::string want = undisturbed(800);
  // Half open: what n2 sends arrives, and nothing comes back to it. Later it answers again, and its rank is killed.
  const Ended e = run("run", 800,
                      {{120, command({"oneway", "2"})},
                       {450, [this](int pid) {
                          EXPECT_EQ(hosts({"heal", "2"}).code, 0);
                          const auto ranks = descendants(pid, "tokenwerk");
                          ASSERT_FALSE(ranks.empty());
                          ::kill(ranks[0], SIGKILL);
                        }}});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(weights(path("run")), want);
  const auto starts = history("run", "start"), ends = history("run", "end");
  ASSERT_EQ(starts.size(), 3u) << e.err;
  EXPECT_EQ(starts[1]["ranks"], 2) << "the host that is left has two";
  EXPECT_EQ(starts[2]["ranks"], 4);
  EXPECT_EQ(starts[2]["hosts"].size(), 2u);
  EXPECT_THAT(ends[0]["code"], testing::AnyOf(69, 80));
  EXPECT_THAT(ends[0]["reason"], HasSubstr("n2"));
}

TEST_F(Hosts, ALostHostIsLeftOut) {
  const std::string want = undisturbed(400);
  const Ended e = run("run", 400, {{120, command({"kill", "2"})}});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_EQ(weights(path("run")), want);
  const auto starts = history("run", "start"), ends = history("run", "end");
  ASSERT_EQ(starts.size(), 2u) << e.err;
  EXPECT_EQ(starts[1]["hosts"], nlohmann::json({"n1"}));
  EXPECT_EQ(ends[0]["code"], 69);
  EXPECT_THAT(ends[0]["reason"], HasSubstr("n2"));
  EXPECT_THAT(e.err, HasSubstr("host n2 is left out"));
  for (const char* of : {"hosts/n1/shm", "hosts/n1/tmp", "hosts/n2/shm"}) EXPECT_TRUE(fs::is_empty(path(of))) << of;
}

}  // namespace
}  // namespace tw
