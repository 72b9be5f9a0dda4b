// Floating-point operations a model needs, whatever the program does besides (no recomputation is counted).
#pragma once
#include <cstdint>

namespace tw {

struct FlopsOfModel {
  int64_t parameters = 0;       // all of them, a tied matrix once
  int64_t input_embedding = 0;  // of which in the token embedding
  bool tied = true;             // the embedding is the output layer too
  int64_t layers = 0;
  int64_t attention_size = 0;  // query heads x head_dim
  int64_t seq_len = 0;
  int64_t adapters = 0;        // parameters of adapters, where they alone are trained; 0 = all are
};

// Training, forward and backward: 6 N + 12 L A T a token; N leaves out an input embedding that is not tied (it is a
// look-up), attention is not halved for causality. Chowdhery et al. 2022, arXiv:2204.02311 appendix B. With adapters the
// frozen weights' own gradients are left out: 4 N + 6 times the adapters.
double flops_per_token(const FlopsOfModel& model);

}  // namespace tw
