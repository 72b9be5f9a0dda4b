// The sweep's folder, its page and its table, from records as the trials leave them.
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/config/files.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/meter/metrics_log.h"
#include "src/meter/status.h"
#include "src/sweep/run.h"
#include "src/sweep/sweep.h"
#include "tests/support/process.h"

namespace tw {
namespace {
using testing::HasSubstr;
using testing::Not;

class SweepFolder : public testing::Test {
 protected:
  static SweepPlan plan(const std::string& text) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "s.toml") << text;
    std::vector<FileNode> tables;
    load_config({folder.path() / "s.toml"}, {}, &tables);
    return read_sweep_plan(tables, {});
  }
  Sweep make(const std::string& text) { return make_sweep(folder_.path() / "s", Config(), plan(text)); }
  static Sweep again(const Sweep& sweep) { return open_sweep(sweep.folder); }
  // As a run leaves it that ended with this loss; NaN = it diverged.
  static void end(const Sweep& sweep, int number, float loss, TrialState state = TrialState::done, const std::string& reason = "") {
    Trial t = sweep.trials[size_t(number)];
    make_folders(t.folder);
    t.state = state, t.reason = reason, t.starts = 1, t.seconds = 2;
    t.exit_code = state == TrialState::failed ? 79 : 0;
    write_trial(t, sweep.plan);
    write_status(t.folder, {.state = RunState::done, .step = 20, .steps = 20});
    MetricsLog log(t.folder, {.jsonl = true, .tensorboard = false}, 0);
    for (int step = 1; step <= 20; ++step) {
      log.log(StepMetrics{.step = step, .loss = loss + 1.f / float(step), .tokens_per_second = 1000});
      if (step % 10 == 0) log.log(EvalMetrics{.step = step, .loss = step == 10 ? loss + 1 : loss, .perplexity = 2});
    }
  }
  static size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(part, at)) != text.npos; ++at) ++n;
    return n;
  }
  TemporaryFolder folder_;
};

const char* const kGrid = "[sweep]\n[sweep.parameters]\n\"optimizer.lr\" = [1e-3, 1e-2]\n\"model.type\" = [\"gpt2\", \"llama\"]\n";

TEST_F(SweepFolder, RanksByTheLastEvaluationAndKeepsFailuresApart) {
  const Sweep made = make(kGrid);
  end(made, 0, 2.5f);
  end(made, 1, 2.25f);
  end(made, 2, NAN);
  end(made, 3, 1.f, TrialState::failed, "out of memory");
  const Sweep sweep = again(made);
  EXPECT_THAT(sweep.ranking(), testing::ElementsAre(1, 0));
  EXPECT_EQ(sweep.trials[1].metric, 2.25);
  EXPECT_EQ(sweep.trials[2].state, TrialState::failed) << "a last loss that is no number is no result";
  EXPECT_THAT(sweep.trials[2].reason, HasSubstr("eval_loss"));
  EXPECT_EQ(sweep.count(TrialState::failed), 2);
  const auto json = nlohmann::json::parse(sweep_json(sweep, "tokenwerk sweep"));
  EXPECT_EQ(json["best"], 1);
  EXPECT_TRUE(json["trials"][3]["metric"].is_null());
  const std::string table = sweep_table(sweep);
  EXPECT_LT(table.find("0001"), table.find("0000"));
  EXPECT_THAT(table, HasSubstr("failed at step 20 of 20: out of memory"));
}

TEST_F(SweepFolder, AnotherSweepIsRefusedWithWhatDiffers) {
  const Sweep made = make(kGrid);
  Config other;
  other.set("training.steps", int64_t(7), "here");
  try {
    make_sweep(made.folder, other, plan(kGrid));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_THAT(e.what(), HasSubstr("training.steps was 0, now it is 7 (here)"));
  }
  EXPECT_THROW(make_sweep(made.folder, Config(), plan("[sweep]\n[sweep.parameters]\n\"optimizer.lr\" = [1e-3]\n")), Error);
  EXPECT_EQ(make(kGrid).trials.size(), 4u);
}

TEST_F(SweepFolder, MoreRunsOfARandomSearchAreAdded) {
  const std::string body = "[sweep.parameters]\n\"optimizer.lr\" = { min = 0.1, max = 1 }\n";
  const Sweep first = make("[sweep]\nmethod = \"random\"\nruns = 3\n" + body);
  end(first, 2, 2.f);
  const Sweep more = open_sweep(first.folder, {"--sweep.runs", "5"});
  ASSERT_EQ(more.trials.size(), 5u);
  EXPECT_EQ(more.trials[2].state, TrialState::done);
  EXPECT_EQ(again(first).trials.size(), 5u) << "the folder says so from now on";
  EXPECT_THAT(unfinished_trials(more, false), testing::ElementsAre(0, 1, 3, 4));
}

TEST_F(SweepFolder, DamagedRecordsAreNamed) {
  const Sweep made = make(kGrid);
  for (const char* text : {"", "{", "[]", "{\"starts\": -1}", "{\"starts\": 1, \"seconds\": 1e999, \"exit_code\": 0}",
                           "{\"starts\": 1, \"seconds\": 1, \"exit_code\": 0, \"state\": \"done\", \"parameters\": {\"optimizer.lr\": 5}}"}) {
    make_folders(made.trials[0].folder);
    write_file_atomically(made.trials[0].folder / "trial.json", text);
    try {
      again(made);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << text;
      EXPECT_THAT(e.what(), HasSubstr("trial.json")) << text;
    }
  }
}

TEST_F(SweepFolder, ARecordWhoseProcessIsGoneIsToBeGoneOnWith) {
  const Sweep made = make(kGrid);
  end(made, 0, 2.f, TrialState::running);
  EXPECT_EQ(again(made).trials[0].state, TrialState::running) << "this process lives";
  const auto file = made.trials[0].folder / "trial.json";
  auto record = nlohmann::json::parse(read_file(file));
  record["pid"] = 1 << 29;  // beyond any pid
  write_file_atomically(file, record.dump());
  EXPECT_EQ(again(made).trials[0].state, TrialState::stopped);
}

TEST_F(SweepFolder, PageShowsEachTrialAndRepeatsTheBest) {
  const Sweep made = make(kGrid);
  end(made, 0, 2.5f);
  end(made, 1, 2.25f);
  end(made, 3, 1.f, TrialState::failed, "<b>loss</b> is not finite");
  const std::string html = sweep_html(again(made));
  EXPECT_EQ(count(html, "<path class=\"q"), 2u);
  EXPECT_EQ(count(html, "<path class=\"none failed\""), 1u);
  EXPECT_EQ(count(html, "<tr data-trial="), 4u);
  EXPECT_EQ(count(html, "<div class=\"axis"), 3u);
  EXPECT_THAT(html, HasSubstr("--model.type=gpt2 --optimizer.lr=0.01 --out runs/best"));
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;loss"));
  EXPECT_THAT(html, Not(HasSubstr("<b>loss")));
  EXPECT_EQ(count(html, "<script>"), 1u);
  EXPECT_EQ(count(html, "data-name=\"trial 0001\""), 2u) << "a line in both charts";
}

TEST_F(SweepFolder, PageOfAThousandTrialsIsBelowAMegabyte) {
  const Sweep made = make("[sweep]\nmethod = \"random\"\nruns = 1000\n[sweep.parameters]\n\"optimizer.lr\" = { min = 1e-4, max = 1, scale = \"log\" }\n"
                          "\"optimizer.beta2\" = { min = 0.9, max = 0.999 }\n\"model.hidden_size\" = { min = 64, max = 512, step = 64 }\n");
  Sweep sweep = made;
  end(sweep, 0, 2.f);
  for (Trial& t : sweep.trials) {  // results without the files: the page reads curves of the best alone
    if (t.number == 0) { read_trial(t, sweep.plan); continue; }
    t.state = TrialState::done, t.starts = 1, t.seconds = 1;
    t.metric = t.eval_loss = t.train_loss = 2 + t.number * 1e-3;
    t.folder = sweep.trials[0].folder;
  }
  const std::string html = sweep_html(sweep);
  EXPECT_LT(html.size(), 1000000u);
  EXPECT_EQ(count(html, "data-text=\"trial"), 1000u);
}

TEST_F(SweepFolder, SlurmScriptNamesTheTrialsThatAreLeft) {
  const Sweep made = make("[sweep]\nparallel = 3\nranks = 2\n[sweep.parameters]\n\"optimizer.lr\" = { min = 0.1, max = 1, count = 10 }\n");
  const SweepRun run{.executable = "/opt/a b/tokenwerk", .launcher = "/opt/run"};
  const std::string script = slurm_script(made, {0, 1, 2, 5, 7, 8}, run);
  EXPECT_THAT(script, HasSubstr("#SBATCH --array=0-2,5,7-8%3\n"));
  EXPECT_THAT(script, HasSubstr("#SBATCH --ntasks=2\n"));
  EXPECT_THAT(script, HasSubstr("'/opt/a b/tokenwerk'"));
  const auto file = folder_.path() / "x.sh";
  write_file_atomically(file, script);
  EXPECT_EQ(run_process({"bash", "-n", file.string()}).code, 0);
}

}  // namespace
}  // namespace tw
