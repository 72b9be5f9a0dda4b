#include "src/meter/phases.h"

#include <cmath>
#include <csignal>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "comm/self.h"
#include "src/core/file.h"
#include "src/meter/flops.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {

using Json = nlohmann::json;

Json saved(const ScratchFolder& folder) { return Json::parse(read_file(folder / "phases.json")); }

TEST(PhaseLedger, AddsUpOverStarts) {
  ScratchFolder folder;
  EnergyOptions options;
  options.pue = 2;
  options.price_eur_per_kwh = 0.36;
  for (int start = 0; start < 3; ++start) {
    PhaseLedger ledger(folder.path(), options);
    ledger.set_meter(EnergyKind::measured, "test");
    ledger.start("tokenize");
    ledger.add("tokenize", 2, 10, 100);
    ledger.save();
  }
  const Json phase = saved(folder).at("phases").at("tokenize");
  EXPECT_EQ(phase.at("seconds"), 6);
  EXPECT_EQ(phase.at("joules"), 30);
  EXPECT_EQ(phase.at("tokens"), 300);
  EXPECT_EQ(phase.at("starts"), 3);
  EXPECT_DOUBLE_EQ(phase.at("joules_per_token"), 0.1);
  EXPECT_DOUBLE_EQ(phase.at("facility_joules"), 60);
  EXPECT_DOUBLE_EQ(phase.at("eur").get<double>(), 60 / 3.6e6 * 0.36);
  EXPECT_TRUE(phase.at("co2_g").is_null());
}

TEST(PhaseLedger, NodesOfEachStartAreCounted) {
  ScratchFolder folder;
  const EnergyOptions options{.price_eur_per_node_hour = 36};
  for (const int nodes : {1, 4}) {
    PhaseLedger ledger(folder.path(), options);
    ledger.set_nodes(nodes);
    ledger.add("train", 10, kNoJoules, 1);
    ledger.save();
  }
  PhaseLedger ledger(folder.path(), options);
  EXPECT_DOUBLE_EQ(ledger.total().seconds, 20);
  EXPECT_DOUBLE_EQ(ledger.total().node_seconds, 50);
  EXPECT_DOUBLE_EQ(ledger.eur(ledger.total()), 0.5);
  EXPECT_DOUBLE_EQ(saved(folder).at("total").at("eur").get<double>(), 0.5);
}

TEST(PhaseLedger, JoulesAreUnknownWhereAPartHadNoMeter) {
  ScratchFolder folder;
  PhaseLedger ledger(folder.path(), {});
  ledger.add("train", 1, 5, 10);
  EXPECT_EQ(ledger.total_joules(), 5);
  ledger.add("train", 1, kNoJoules, 10);
  ledger.add("eval", 1, 5, 10);
  ledger.save();
  EXPECT_TRUE(std::isnan(ledger.total_joules()));
  const Json json = saved(folder);
  EXPECT_TRUE(json.at("phases").at("train").at("joules").is_null());
  EXPECT_TRUE(json.at("phases").at("train").at("joules_per_token").is_null());
  EXPECT_EQ(json.at("phases").at("train").at("metered_joules"), 5);
  EXPECT_EQ(json.at("phases").at("eval").at("joules"), 5);
  EXPECT_TRUE(json.at("total").at("joules").is_null());
}

TEST(PhaseLedger, StepsDoneAgainAreWasted) {
  ScratchFolder folder;
  {
    PhaseLedger ledger(folder.path(), {});
    ledger.resume_training(0);
    for (int step = 1; step <= 10; ++step) {
      ledger.add_training(step, step, 10 * step, 100);  // steps differ: a share of the steps would be wrong
      if (step == 6) ledger.mark(6);
    }
    ledger.save();
  }
  PhaseLedger ledger(folder.path(), {});
  ledger.resume_training(6);
  EXPECT_DOUBLE_EQ(ledger.wasted().seconds, 7 + 8 + 9 + 10);
  EXPECT_DOUBLE_EQ(ledger.wasted().joules, 340);
  EXPECT_EQ(ledger.wasted().tokens, 400);
  EXPECT_EQ(ledger.wasted().starts, 1);
  EXPECT_EQ(ledger.useful_training_tokens(), 600);
  ledger.add_training(7, 7, 70, 100);
  EXPECT_EQ(ledger.useful_training_tokens(), 700);
  EXPECT_DOUBLE_EQ(ledger.total_joules(), 620) << "joules that were wasted were spent";
  ledger.save();
  EXPECT_DOUBLE_EQ(saved(folder).at("phases").at("train").at("joules_per_token").get<double>(), 620.0 / 700);
  // Once more, to the same checkpoint.
  PhaseLedger third(folder.path(), {});
  third.resume_training(6);
  EXPECT_DOUBLE_EQ(third.wasted().seconds, 34 + 7);
  EXPECT_EQ(third.useful_training_tokens(), 600);
}

TEST(PhaseLedger, AResumeWithoutAMarkIsInProportion) {
  ScratchFolder folder;
  PhaseLedger ledger(folder.path(), {});
  ledger.resume_training(0);
  for (int step = 1; step <= 8; ++step) ledger.add_training(step, 1, 2, 10);
  ledger.resume_training(2);
  EXPECT_DOUBLE_EQ(ledger.wasted().seconds, 6);
  EXPECT_EQ(ledger.wasted().tokens, 60);
  ledger.resume_training(0);  // from the start
  EXPECT_DOUBLE_EQ(ledger.wasted().seconds, 8);
  EXPECT_EQ(ledger.useful_training_tokens(), 0);
}

TEST(PhaseLedger, GoesOnFromAStepItHasNotSeen) {
  ScratchFolder folder;
  PhaseLedger ledger(folder.path(), {});
  ledger.resume_training(100);  // the ledger was lost
  EXPECT_EQ(ledger.wasted(), PhaseTotals{});
  ledger.add_training(101, 1, 1, 10);
  ledger.add_training(102, 1, 1, 10);
  ledger.resume_training(101);
  EXPECT_DOUBLE_EQ(ledger.wasted().seconds, 1);
}

TEST(PhaseLedger, ManyMarksStayReadable) {
  ScratchFolder folder;
  {
    PhaseLedger ledger(folder.path(), {});
    ledger.resume_training(0);
    for (int step = 1; step <= 5000; ++step) {
      ledger.add_training(step, 1, 1, 1);
      ledger.mark(step);
    }
    ledger.save();
  }
  EXPECT_LT(std::filesystem::file_size(folder / "phases.json"), 100'000u);
  PhaseLedger ledger(folder.path(), {});
  ledger.resume_training(2501);
  EXPECT_EQ(ledger.wasted().tokens, 2499);
  EXPECT_FALSE(std::filesystem::exists(folder / "phases.json.damaged"));
}

TEST(PhaseLedger, ADamagedFileIsKeptBeside) {
  const std::string good = [] {
    ScratchFolder folder;
    PhaseLedger ledger(folder.path(), {});
    ledger.add_training(4, 1, 1, 1);
    ledger.mark(4);
    ledger.save();
    return read_file(folder / "phases.json");
  }();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& bad :
       {std::string(), std::string("{"), std::string("[]"), good.substr(0, good.size() / 2), std::string(100000, '['),
        with("\"tokens\": 1", "\"tokens\": -1"), with("\"tokens\": 1", "\"tokens\": 1e300"),
        with("\"tokens\": 1", "\"tokens\": 18446744073709551615"), with("\"seconds\": 1.0", "\"seconds\": \"x\""),
        with("\"last_step\": 4", "\"last_step\": 3"), with("\"kind\"", "\"kin\"")}) {
    ScratchFolder folder;
    folder.write("phases.json", bad);
    PhaseLedger ledger(folder.path(), {});
    EXPECT_TRUE(ledger.phases().empty()) << bad.substr(0, 200);
    EXPECT_EQ(read_file(folder / "phases.json.damaged"), bad);
    ledger.add("eval", 1, 1, 1);
    ledger.save();
    EXPECT_EQ(PhaseLedger(folder.path(), {}).phases().at("eval").tokens, 1);
  }
}

TEST(PhaseLedger, AssumedJoulesStayAssumed) {
  ScratchFolder folder;
  {
    PhaseLedger ledger(folder.path(), {});
    ledger.set_meter(EnergyKind::assumed, "assumed 10 W a rank");
    ledger.add("train", 1, 10, 1);
    ledger.save();
  }
  PhaseLedger ledger(folder.path(), {});
  ledger.set_meter(EnergyKind::measured, "RAPL");
  EXPECT_EQ(ledger.kind(), EnergyKind::assumed);
}

TEST(PhaseLedger, AFullDiskStopsNothing) {
  ScratchFolder folder;
  PhaseLedger ledger(folder.path(), {});
  ledger.add("eval", 1, 1, 1);
  ledger.save();
  const std::string before = read_file(folder / "phases.json");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{10, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  ledger.add("eval", 1, 1, 1);
  ledger.save();
  ledger.save();
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(ledger.failed_writes(), 2);
  EXPECT_EQ(read_file(folder / "phases.json"), before);
  ledger.save();
  EXPECT_NE(read_file(folder / "phases.json"), before);
}

TEST(PhaseTimer, AddsItsStretchOnce) {
  ScratchFolder folder;
  folder.write("joules", "5");
  EnergyOptions options;
  options.source = "file:" + (folder / "joules").string();
  const auto comm = make_self_communicator();
  const EnergyMeter meter(options, *comm);
  PhaseLedger ledger(folder.path(), options);
  PhaseTimer timer(&ledger, "generate", meter, *comm);
  folder.write("joules", "12");
  timer.stop(70);
  EXPECT_DOUBLE_EQ(timer.joules(), 7);
  timer.stop(70);
  EXPECT_EQ(ledger.phases().at("generate").tokens, 70);
  EXPECT_EQ(ledger.phases().at("generate").starts, 1);
  EXPECT_DOUBLE_EQ(ledger.phases().at("generate").known_joules(), 7);
  PhaseTimer elsewhere(nullptr, "generate", meter, *comm);  // a rank without a ledger
  elsewhere.stop(1);
  EXPECT_GE(elsewhere.seconds(), 0);
}

TEST(Flops, AreThoseOfTheFormula) {
  // GPT-2 124M, T = 1024: 6 * 124439808 + 12 * 12 * 768 * 1024.
  const FlopsOfModel gpt2{.parameters = 124439808,
                          .input_embedding = 50257 * 768,
                          .tied = true,
                          .layers = 12,
                          .attention_size = 768,
                          .seq_len = 1024};
  EXPECT_DOUBLE_EQ(flops_per_token(gpt2), 746638848.0 + 113246208.0);
  FlopsOfModel untied = gpt2;
  untied.tied = false;
  EXPECT_DOUBLE_EQ(flops_per_token(gpt2) - flops_per_token(untied), 6.0 * 50257 * 768);
}

}  // namespace
}  // namespace tw
