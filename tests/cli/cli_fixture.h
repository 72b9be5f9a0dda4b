// The program as a user starts it.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace tw {

class Cli : public testing::Test {
 protected:
  using Words = std::vector<std::string>;
  // tokenwerk words...
  static Ended tokenwerk(Words words, const ProcessOptions& options = {});
  // mpirun -np ranks tokenwerk words...
  static Ended ranks(int ranks, Words words, ProcessOptions options = {});

  std::string path(const std::string& name) const { return folder_.path() / name; }
  void write(const std::string& name, const std::string& content) const;  // with its folders
  // A folder of `files` short documents (txt, md, html) in a made-up language that a tiny model learns in some steps.
  std::string documents(int files = 12) const;
  // A tiny model, as settings.
  static Words tiny(int steps);
  // Token file of made-up ids below 61, raw u16.
  std::string raw_tokens(int count = 6000) const;
  // SHA-256 of the weights of a run's newest checkpoint, as exported.
  std::string weights(const std::string& run) const;
  nlohmann::json json(const std::filesystem::path& file) const;
  std::vector<nlohmann::json> lines(const std::filesystem::path& file) const;
  std::vector<nlohmann::json> steps(const std::filesystem::path& run) const;  // of metrics.jsonl, evaluations and saves left out

 private:
  TemporaryFolder folder_;
};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b);

}  // namespace tw
