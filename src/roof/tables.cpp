#include "src/roof/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "src/core/format.h"

namespace tw {
namespace {

constexpr double kSmall = 1e-3;  // of a step: rows below stand in one line

std::string giga(double per_second) { return fmt::format("{:.1f}", per_second / 1e9); }
std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }
std::string milliseconds(double seconds) { return fmt::format("{:.{}f}", 1e3 * seconds, seconds < 0.1 ? 2 : 1); }
std::string whole_percent(double share) { return fmt::format("{:.0f} %", 100 * share); }

std::string shape_text(const Shape& s) {
  std::string text;
  for (int i = 0; i < s.rank(); ++i) text += (i ? "x" : "") + std::to_string(s[i]);
  return text;
}

// "attention backward", "matmul a b^T 2048x1024x256", "all to all between ranks".
std::string row_name(const OpRow& r) {
  std::string name = r.op;
  std::replace(name.begin(), name.end(), '_', ' ');
  if (!r.form.empty()) name += " " + r.form;
  if (r.shape.rank() > 0) name += " " + shape_text(r.shape);
  if (r.over_the_wire) name += " between ranks";
  return name;
}

// In what its floor is made of: arithmetic or bytes.
std::string rate_text(const OpRow& r) {
  if (r.seconds <= 0) return "";
  const bool few = r.shape.rank() == 3 && r.shape[0] <= 8;  // such a product is bound by the weights it reads
  if ((r.op.ends_with("matmul") && !few) || r.op.starts_with("attention")) return giga(r.flops / r.seconds) + " GF/s";
  return r.bytes > 0 ? giga(r.bytes / r.seconds) + " GB/s" : "";
}

std::string calls_text(double calls) {
  return calls == std::floor(calls) ? fmt::format("{:.0f}", calls) : fmt::format("{:.1f}", calls);
}

// The ops of a step, the rows that lose most first.
std::string op_table(const StepTimes& t, bool with_floors) {
  const double total = t.total();
  std::string out;
  const auto line = [&](const std::string& name, const std::string& calls, const std::string& ms, const std::string& share,
                        const std::string& rate, const std::string& of_floor, const std::string& lost) {
    std::string row = fmt::format("{:<30}{:>6}{:>9}{:>8}{:>12}", name, calls, ms, share, rate);
    if (with_floors) row += fmt::format("{:>7}{:>8}", of_floor, lost);
    while (row.ends_with(' ')) row.pop_back();
    out += row + "\n";
  };
  line("op", "calls", "ms", "share", "rate", "floor", "lost ms");
  OpRow small;
  int merged = 0;
  const auto row_line = [&](const OpRow& r, const std::string& name) {
    line(name, calls_text(r.calls), milliseconds(r.seconds), percent(r.seconds / total), rate_text(r),
         r.floor > 0 && r.seconds > 0 ? whole_percent(r.floor / r.seconds) : "", milliseconds(r.lost()));
  };
  for (const OpRow& r : t.rows) {
    if (r.seconds < kSmall * total) {
      ++merged;
      small.calls += r.calls, small.seconds += r.seconds, small.bytes += r.bytes, small.floor += r.floor;
      continue;
    }
    std::string name = row_name(r);
    if (name.size() > 29 && r.op == "matmul") name = r.form + " " + shape_text(r.shape);
    row_line(r, name);
  }
  if (merged > 0) row_line(small, fmt::format("{} more", merged));
  line("all ops", "", milliseconds(t.ops), percent(t.covered()), "", t.ops > 0 ? whole_percent(t.floor / t.ops) : "",
       milliseconds(std::max(0.0, t.ops - t.floor)));
  line("between ops", "", milliseconds(t.between), percent(1 - t.covered()), "", "", milliseconds(t.between));
  return out;
}

}  // namespace

std::string roof_table(const Roof& roof, int threads, int ranks) {
  std::string out = fmt::format("Roof of {}, {} thread{}{}\n", ranks > 1 ? "each rank" : "this rank", threads, threads > 1 ? "s" : "",
                                ranks > 1 ? fmt::format(", all {} ranks at once (rank 0's figures)", ranks) : "");
  out += fmt::format("  {:<48}{:>9}{:>9}{:>10}\n", "matrix products, GFLOP/s", "best", "median", "spread");
  for (const MatrixRate& r : roof.matrix) {
    const std::string name = fmt::format("{} {}x{}x{} ({})", name_of(r.dtype), r.m, r.n, r.k, r.path);
    out += fmt::format("    {:<46}{:>9.1f}{:>9.1f}{:>10}\n", name, r.best() / 1e9, r.flops() / r.seconds.median / 1e9,
                       whole_percent(r.seconds.noise()));
  }
  out += fmt::format("  {:<39}{:>9}{:>9}{:>9}{:>10}\n", "memory, GB/s", "read", "copy", "triad", "spread");
  for (const MemoryRate& r : roof.memory)
    out += fmt::format("    {:<37}{:>9}{:>9}{:>9}{:>10}\n", fmt::format("{} ({})", r.level, human_bytes(r.working_set)), giga(r.read),
                       giga(r.copy), giga(r.triad), whole_percent(r.noise));
  return out;
}

std::string exchange_table(const std::vector<AllReduceSpeed>& speeds, int ranks) {
  if (speeds.empty()) return "";
  std::string out = fmt::format("  {:<48}{:>9}{:>19}\n", fmt::format("all-reduce over {} ranks", ranks), "time", "GB/s of a rank");
  for (const AllReduceSpeed& s : speeds)
    out += fmt::format("    {:<46}{:>9}{:>19}\n", human_bytes(s.bytes), human_seconds(s.seconds), giga(s.wire_rate(ranks)));
  return out;
}

std::string disk_line(const DiskSpeed& speed, const FileSystem& system, const std::string& folder) {
  return fmt::format("  disk of {} ({})\n    {}: write with fsync {:.0f} MB/s, read {:.0f} MB/s ({})\n    fsync of 4 KiB: {}\n",
                     shortened(folder, 40), system.kind, human_bytes(speed.bytes), speed.write_rate() / 1e6, speed.read_rate() / 1e6,
                     speed.read_how, human_seconds(speed.fsync_seconds));
}

std::string step_table(const StepReport& report, bool with_floors) {
  const StepTimes& t = report.times;
  const double total = t.total();
  std::string out = fmt::format(
      "Training step: {} {}, {} parameters, {} tokens ({} x {})\n"
      "  {} rank{} x {} thread{}, {} of memory a rank, {}\n",
      name_of(report.model.type), name_of(report.dtype), human_count(double(report.parameters)), report.tokens, report.micro_batch_size,
      report.seq_len, report.ranks, report.ranks > 1 ? "s" : "", report.threads, report.threads > 1 ? "s" : "",
      human_bytes(report.arena_bytes), report.random_tokens ? "random tokens" : "tokens of data.train");
  if (report.micro_batches != report.configured_micro_batches)
    out += fmt::format(
        "  {} of the {} micro batches that a step of training has on a rank: the optimizer\n"
        "  and the exchange weigh that much more here (--whole takes all)\n",
        report.micro_batches, report.configured_micro_batches);
  const auto whole_steps = [&] {
    out += fmt::format("\nStep: {}, the median of {} (best {}, spread {})\n      {:.0f} tokens/s, {} GFLOP/s of the model{}\n",
                       human_seconds(t.step.median), t.step.repeats, human_seconds(t.step.best), whole_percent(t.step.noise()),
                       report.tokens_per_second(), giga(report.tokens_per_second() * report.flops_per_token),
                       report.joules_per_token > 0 ? fmt::format(", {:.4g} J/token", report.joules_per_token) : "");
  };
  if (t.rows.empty()) {
    whole_steps();
    return out;
  }
  out += "\n" + op_table(t, with_floors);
  whole_steps();
  if (!with_floors) return out;
  out += fmt::format("Floor: {}, {} of the step", human_seconds(t.floor), whole_percent(t.floor / total));
  std::string worst;
  int named = 0;
  for (const OpRow& r : t.rows)
    if (named < 3 && r.lost() > 0.005 * total) worst += fmt::format("\n  {:<40}{} of the step", row_name(r), percent(r.lost() / total)), ++named;
  if (!worst.empty()) out += "; most is lost in" + worst;
  return out + "\n";
}

std::string generation_table(const GenerationReport& r, bool with_floors) {
  std::string out = fmt::format("Generation: {} {}{}, {} parameters, {} tokens one by one after {}\n  {} thread{}, weights of {}, random\n\n",
                                name_of(r.model.type), name_of(r.dtype), r.quantization == Quantization::int8 ? " with int8 weights" : "",
                                human_count(double(r.parameters)), r.tokens, r.prompt, r.threads, r.threads > 1 ? "s" : "",
                                human_bytes(r.weight_bytes));
  out += op_table(r.ops, with_floors);
  out += fmt::format("\nToken: {}, the median of {} (best {}), {:.1f} tokens/s\n", human_seconds(r.token.median), r.token.repeats,
                     human_seconds(r.token.best), r.tokens_per_second());
  out += fmt::format("Weights: {} a token, {} GB/s", human_bytes(r.read_bytes), giga(r.weight_rate()));
  if (r.read_rate > 0)
    out += fmt::format("; memory that is read and nothing else, by turns: {} GB/s\nFloor: {}, {} of the token", giga(r.read_rate),
                       human_seconds(r.read_bytes / r.read_rate), whole_percent(r.weight_rate() / r.read_rate));
  return out + "\n";
}

}  // namespace tw
