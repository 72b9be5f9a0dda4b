#include "src/roof/step.h"

#include "src/core/thread_team.h"
#include "src/meter/flops.h"
#include "src/roof/prepared_training.h"
#include "src/roof/watched_communicator.h"

namespace tw {

StepReport measure_step(Config& config, Communicator& comm, const Stream& stream, const StepOptions& options) {
  TW_CHECK(options.steps >= 1 && options.steps <= 10000, config, "{} steps cannot be measured: 1 to 10000", options.steps);
  PreparedTraining prepared = prepare_training(config, comm, stream, options.steps + 2, options.whole);
  const TrainerOptions& trainer_options = prepared.options;
  StepReport report;
  report.random_tokens = prepared.random_tokens;
  report.model = trainer_options.model;
  report.configured_micro_batches = prepared.configured_micro_batches;

  OpTimes times(options.roof);
  WatchedCommunicator watched(comm, times);
  Trainer trainer(trainer_options, prepared.data.batches, options.plain ? comm : static_cast<Communicator&>(watched),
                  options.plain ? stream : stream.watched_by(&times));
  trainer.initialize(config.get<uint64_t>("training.seed"));
  const int unmeasured = options.plain ? 2 : 1;
  double joules = 0;
  for (int step = 0; step < unmeasured + options.steps; ++step) {
    comm.barrier();
    if (step == unmeasured && options.joules) joules = options.joules();
    const double start = now_seconds();
    if (step >= unmeasured) times.begin_step();
    trainer.step();
    synchronize(stream);
    if (step >= unmeasured) times.end_step(now_seconds() - start);
    if (options.on_step) options.on_step(step);
  }
  if (options.joules) joules = options.joules() - joules;

  const ParameterTable& table = trainer.table();
  report.dtype = trainer_options.dtype;
  report.parameters = table.parameter_count();
  report.seq_len = trainer_options.seq_len;
  report.micro_batch_size = trainer_options.micro_batch_size;
  report.micro_batches = trainer_options.accumulation() * (trainer_options.virtual_ranks / comm.size());
  report.tokens = trainer_options.global_batch_size * trainer_options.seq_len;
  if (options.joules && joules > 0) report.joules_per_token = joules / (double(options.steps) * double(report.tokens) / comm.size());
  report.ranks = comm.size(), report.threads = stream.team().size();
  report.arena_bytes = double(trainer.plan().bytes());
  report.flops_per_token = flops_per_token({.parameters = table.parameter_count(),
                                            .input_embedding = table["tokens.weight"].count(),
                                            .tied = report.model.tie_word_embeddings,
                                            .layers = report.model.num_hidden_layers,
                                            .attention_size = report.model.attention_size(),
                                            .seq_len = trainer_options.seq_len});
  report.times = times.times();
  return report;
}

}  // namespace tw
