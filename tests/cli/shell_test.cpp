// What a shell's user expects: pipes, quiet and colourless output, completions, manual pages, an installation.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

bool installed(const std::string& program) { return run_process({"sh", "-c", "command -v " + program}).code == 0; }

class Shell : public Cli {
 protected:
  // "$0" in the line is the program.
  static Ended shell(const std::string& line, const ProcessOptions& options = {}) { return run_process({"sh", "-c", line, TW_BINARY}, options); }
  std::string bytes_tokenizer() {
    EXPECT_EQ(tokenwerk({"scan", documents(), "--out", path("run")}).code, 0);
    EXPECT_EQ(tokenwerk({"tokenize", "--out", path("run"), "--tokenizer.vocab_size", "300"}).code, 0);
    return path("run") + "/tokenizer.json";
  }
};

TEST_F(Shell, TextGoesThroughPipesToIdsAndBack) {
  const std::string tokenizer = bytes_tokenizer();
  std::string text = "Die Pumpe läuft.\n\n  日本 🙂\t";
  for (int i = 0; i < 12; ++i) text += text;
  write("text", text);
  const std::string in = " <'" + path("text") + "' ";
  const Ended back = shell("\"$0\" encode -q " + tokenizer + in + "| \"$0\" decode -q " + tokenizer);
  EXPECT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(back.out, text);
  EXPECT_THAT(back.err, IsEmpty());

  // Bare ids, any number of threads.
  for (const char* threads : {"1", "3"}) {
    ASSERT_EQ(tokenwerk({"encode", tokenizer, path("text"), "--out", path("ids.u16"), "--threads", threads}).code, 0);
    EXPECT_EQ(tokenwerk({"decode", tokenizer, path("ids.u16")}).out, text) << threads;
  }
  const auto count = nlohmann::json::parse(shell("\"$0\" encode " + tokenizer + " --json" + in).out);
  EXPECT_EQ(count["bytes"], text.size());
  EXPECT_EQ(count["tokens"], fs::file_size(path("ids.u16")) / 2);
  EXPECT_EQ(shell("\"$0\" encode " + tokenizer + " --count - " + in).out, std::to_string(fs::file_size(path("ids.u16")) / 2) + "\n");
}

TEST_F(Shell, LinesAreTextsOfTheirOwn) {
  const std::string tokenizer = bytes_tokenizer();
  write("lines", "one\n\ntwo three\nno end");
  const Ended rows = tokenwerk({"encode", tokenizer, path("lines"), "--lines"});
  EXPECT_EQ(std::count(rows.out.begin(), rows.out.end(), '\n'), 4);
  EXPECT_EQ(rows.out.find("\n\n") != std::string::npos, true) << "an empty line is an empty row";
  write("rows", rows.out);
  EXPECT_EQ(tokenwerk({"decode", tokenizer, path("rows"), "--lines"}).out, "one\n\ntwo three\nno end\n");
  write("texts", std::string("one\nmore\0\0two", 13));
  write("rows", tokenwerk({"encode", tokenizer, path("texts"), "-0"}).out);
  EXPECT_EQ(tokenwerk({"decode", tokenizer, path("rows"), "--lines"}).out, "one\nmore\n\ntwo\n");
}

TEST_F(Shell, WrongIdsAndTokenizersAreNamed) {
  const std::string tokenizer = bytes_tokenizer();
  const auto decode = [&](const std::string& rows) {
    write("rows", rows);
    return tokenwerk({"decode", tokenizer, path("rows")});
  };
  EXPECT_EQ(decode("1 300").code, 65);
  EXPECT_THAT(decode("1 300").err, HasSubstr("id 300 is not below 300"));
  EXPECT_EQ(decode("1 -2").code, 65);
  EXPECT_EQ(decode("99999999999999999999").code, 65);
  write("odd.u16", "abc");
  EXPECT_EQ(tokenwerk({"decode", tokenizer, path("odd.u16")}).code, 65);
  EXPECT_EQ(tokenwerk({"encode", path("rows")}).code, 65);
  EXPECT_EQ(tokenwerk({"encode", path("absent")}).code, 66);
  EXPECT_EQ(tokenwerk({"encode", tokenizer, path("absent")}).code, 66);
  EXPECT_EQ(tokenwerk({"encode", tokenizer, path("rows"), "--out", path("ids.txt")}).code, 64);
}

TEST_F(Shell, AFullDiskBehindARedirectionIsAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "there is no /dev/full";
  for (const char* words : {"--help", "--version", "train --help", "man", "completions bash"}) {
    const Ended ended = shell(std::string("\"$0\" ") + words + " >/dev/full");
    EXPECT_EQ(ended.code, 74) << words;
    EXPECT_THAT(ended.err, HasSubstr("standard output")) << words;
  }
}

TEST_F(Shell, AClosedPipeEndsItQuietly) {
  // Also where whoever started us ignores the signal.
  for (const char* trap : {"trap - PIPE; ", "trap '' PIPE; "}) {
    const Ended ended = shell(std::string(trap) + "{ \"$0\" man; echo $? >&2; } | head -n 1");
    EXPECT_THAT(ended.out, HasSubstr(".TH TOKENWERK 1"));
    EXPECT_THAT(ended.err, testing::AnyOf("0\n", "141\n"));
  }
}

TEST_F(Shell, ColoursAreForTerminalsThatWantThem) {
  const std::string escape = "\033[";
  EXPECT_THAT(tokenwerk({"trian"}).err, Not(HasSubstr(escape)));
  if (!installed("script")) GTEST_SKIP() << "no script(1) to make a terminal";
  const auto terminal = [&](const std::string& environment) {
    return run_process({"script", "-qec", environment + " " + TW_BINARY + " trian", "/dev/null"}).out;
  };
  EXPECT_THAT(terminal("env -u NO_COLOR TERM=xterm"), HasSubstr(escape));
  EXPECT_THAT(terminal("NO_COLOR=1 TERM=xterm"), Not(HasSubstr(escape)));
  EXPECT_THAT(terminal("env -u NO_COLOR TERM=dumb"), Not(HasSubstr(escape)));
}

TEST_F(Shell, QuietSaysNothingWhereAllIsWell) {
  const Ended ended = tokenwerk({"scan", documents(), "--out", path("run"), "--quiet", "--json"});
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.err, IsEmpty());
  EXPECT_TRUE(nlohmann::json::accept(ended.out));
}

TEST_F(Shell, BashCompletesCommandsOptionsAndSettings) {
  if (!installed("bash")) GTEST_SKIP() << "no bash";
  const auto complete = [&](const std::string& line) {
    return run_process({"bash", "-c",
                        "source <(\"$0\" completions bash)\n"
                        "compopt() { :; }\n"
                        "COMP_WORDS=(tokenwerk " + line + "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
                        "_tokenwerk; echo \"${COMPREPLY[*]}\"",
                        TW_BINARY})
        .out;
  };
  EXPECT_EQ(complete("trai"), "train\n");
  EXPECT_EQ(complete("encode --li"), "--lines\n");
  EXPECT_EQ(complete("train --opt"), "--optimizer.\n");
  EXPECT_THAT(complete("train --optimizer."), HasSubstr("--optimizer.lr "));
  EXPECT_EQ(complete("train --model.type ''"), "gpt2 llama\n");
  EXPECT_EQ(complete("completions z"), "zsh\n");
  EXPECT_EQ(complete("encode text"), "\n") << "files are bash's own affair";
}

TEST_F(Shell, ZshAndFishReadTheirCompletions) {
  for (const std::string shell : {"zsh", "fish"}) {
    if (!installed(shell)) continue;  // not needed to build or run
    write("completions", tokenwerk({"completions", shell}).out);
    const Ended read = run_process({shell, "-n", path("completions")});
    EXPECT_EQ(read.code, 0) << read.err;
  }
  EXPECT_THAT(tokenwerk({"completions", "zsh"}).out, HasSubstr("#compdef tokenwerk"));
  EXPECT_THAT(tokenwerk({"completions", "fish"}).out, HasSubstr("complete -c tokenwerk"));
  EXPECT_EQ(tokenwerk({"completions", "tcsh"}).code, 64);
}

TEST_F(Shell, ManualPagesNameEveryCommandAndSetting) {
  const std::string page = tokenwerk({"man"}).out, settings = tokenwerk({"man", "settings"}).out;
  for (const char* name : {"factory", "scan", "encode", "doctor", "EXIT STATUS", "NO_COLOR"}) EXPECT_THAT(page, HasSubstr(name));
  EXPECT_THAT(settings, HasSubstr("optimizer.lr"));
  for (const Words& words : {Words{"man"}, Words{"man", "settings"}, Words{"man", "run"}, Words{"man", "supervise"}}) {
    write("page", tokenwerk(words).out);
    if (installed("mandoc")) {
      const Ended lint = run_process({"mandoc", "-T", "lint", "-W", "warning", path("page")});
      EXPECT_EQ(lint.code, 0) << lint.out;
    } else if (installed("groff")) {
      EXPECT_THAT(run_process({"groff", "-man", "-Tutf8", "-ww", "-z", path("page")}).err, IsEmpty());
    }
  }
}

TEST_F(Shell, AnInstallationRunsFromAnywhere) {
  const std::string prefix = path("prefix");
  const Ended install = run_process({"cmake", "--install", TW_BUILD_FOLDER, "--prefix", prefix});
  ASSERT_EQ(install.code, 0) << install.err;
  for (const char* file : {"share/man/man1/tokenwerk.1.gz", "share/man/man1/tokenwerk-run.1.gz", "share/man/man5/tokenwerk-settings.5.gz",
                           "share/bash-completion/completions/tokenwerk", "share/zsh/vendor-completions/_tokenwerk",
                           "share/fish/vendor_completions.d/tokenwerk.fish", "share/tokenwerk/slurm/train.sbatch", "bin/tokenwerk-supervise",
                           "share/doc/tokenwerk/README.md"})
    EXPECT_TRUE(fs::exists(fs::path(prefix) / file)) << file;
  const Ended train = run_process({"sh", "-c",
                                   "unset TW_BIN TW_BUILD; PATH=\"$1/bin:$PATH\"; tokenwerk-run -n 2 train "
                                   "\"$1/share/tokenwerk/configs/tiny-cpu.toml\" --data.train \"[\\\"$2\\\"]\" --data.raw_bits 16 --model.vocab_size "
                                   "64 --model.hidden_size 32 --model.num_hidden_layers 1 --model.num_attention_heads 2 --training.seq_len 16 "
                                   "--training.steps 2 --out \"$3\"",
                                   "sh", prefix, raw_tokens(), path("run")});
  EXPECT_EQ(train.code, 0) << train.err;
  EXPECT_TRUE(fs::exists(fs::path(path("run")) / "train.json"));
}

}  // namespace
}  // namespace tw
