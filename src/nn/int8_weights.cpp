#include "src/nn/int8_weights.h"

#include <algorithm>

#include "kernels/int8_matmul.h"
#include "kernels/pointwise.h"

namespace tw {
namespace {
constexpr int64_t kAligned = 64;  // elements: every parameter begins on a cache line of its own
int64_t aligned(int64_t n) { return (n + kAligned - 1) / kAligned * kAligned; }
}  // namespace

Quantization quantization_named(const std::string& name) {
  if (name == "none") return Quantization::none;
  if (name == "int8") return Quantization::int8;
  TW_FAIL(config, "quantization \"{}\" is not known: none or int8", name);
}
std::string name_of(Quantization quantization) { return quantization == Quantization::int8 ? "int8" : "none"; }

Int8Weights::Int8Weights(const ParameterTable& table, ConstView weights, DType dtype, const Stream& stream) : table_(table) {
  TW_CHECK(stream.device().is_cpu(), config, "int8 weights are computed with on a CPU only: add --device cpu (run.device = \"cpu\")");
  int64_t values = 0, scales = 0, kept = 0, longest = 0;
  for (const ParameterInfo& p : table_.all()) {
    const bool quantized = p.shape.rank() == 2 && p.name != "positions.weight";
    places_.push_back({&p, quantized, quantized ? values : kept, scales});
    if (quantized) {
      values += aligned(p.shape[0] * int8_row(p.shape[1])), scales += aligned(p.shape[0] * int8_groups(p.shape[1]));
      longest = std::max(longest, p.shape[1]);
    } else {
      kept += aligned(p.count());
    }
  }
  values_ = Tensor({values}, DType::i8), scales_ = Tensor({scales}, DType::bf16), kept_ = Tensor({kept}, dtype);
  scratch_ = Tensor({int8_scratch(longest)}, DType::u8);
  scratch_view_ = scratch_.view();
  for (const Place& place : places_) {
    const ParameterInfo& p = *place.info;
    const ConstView from = weights.flat(p.offset, p.offset + p.count());
    if (!place.quantized) {
      cast({.in = from, .out = kept_.view().flat(place.value, place.value + p.count())}, stream);
      continue;
    }
    const int64_t N = p.shape[0], K = p.shape[1];
    try {
      quantize_int8({.weights = from.reshape({N, K}),
                     .values = values_.view().flat(place.value, place.value + N * int8_row(K)).reshape({N, int8_row(K)}),
                     .scales = scales_.view().flat(place.scale, place.scale + N * int8_groups(K)).reshape({N, int8_groups(K)})},
                    stream);
    } catch (const Error& e) {
      TW_FAIL(data, "{}: {}", p.name, e.what());
    }
  }
}

Parameter Int8Weights::operator()(const std::string& name) const {
  for (const Place& place : places_) {
    const ParameterInfo& p = *place.info;
    if (p.name != name) continue;
    if (!place.quantized) return {.value = kept_.view().flat(place.value, place.value + p.count()).reshape(p.shape)};
    const int64_t N = p.shape[0], row = int8_row(p.shape[1]), groups = int8_groups(p.shape[1]);
    return {.value = values_.view().flat(place.value, place.value + N * row).reshape({N, row}),
            .scales = scales_.view().flat(place.scale, place.scale + N * groups).reshape({N, groups}),
            .scratch = scratch_view_};
  }
  TW_FAIL(bug, "the model has no parameter {}", name);
}

int64_t Int8Weights::bytes() const noexcept { return int64_t(values_.view().bytes() + scales_.view().bytes() + kept_.view().bytes()); }

}  // namespace tw
