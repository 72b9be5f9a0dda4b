#include "kernels/adapter.h"

#include "kernels/dispatch.h"

namespace tw {
namespace {

OpWork work_of(const AdapterSpread& op) {
  return {.flops = double(op.b.count()), .bytes = double(op.b.bytes() + op.spread.bytes()), .dtype = op.b.dtype};
}
OpWork work_of(const AdapterGather& op) {
  return {.flops = 2 * double(op.db.count()), .bytes = 3 * double(op.db.bytes()), .dtype = DType::fp32};
}

void check_parts(const char* op, const AdapterParts& parts, int64_t out) {
  TW_CHECK(parts.count >= 1 && parts.count <= AdapterParts::kMost, bug, "[{}] {} parts", op, parts.count);
  int64_t end = 0;
  for (int i = 0; i < parts.count; ++i) {
    TW_CHECK(parts.ends[size_t(i)] >= end, bug, "[{}] part {} ends at row {}, before the one before it", op, i, parts.ends[size_t(i)]);
    end = parts.ends[size_t(i)];
  }
  TW_CHECK(end == out, bug, "[{}] the parts end at row {} of {}", op, end, out);
}

}  // namespace

void adapter_spread(const AdapterSpread& op, const Stream& stream) {
  const char* name = "adapter_spread";
  check_rank(name, "b", op.b, 2);
  check_dtype(name, "b", op.b, {DType::fp32, DType::bf16});
  check_parts(name, op.parts, op.b.dim(0));
  check_view(name, "spread", op.spread, {op.b.dim(0), op.parts.count * op.b.dim(1)}, op.b.dtype);
  TW_DISPATCH(adapter_spread, op, stream);
}

void adapter_gather(const AdapterGather& op, const Stream& stream) {
  const char* name = "adapter_gather";
  check_rank(name, "db", op.db, 2);
  check_view(name, "db", op.db, op.db.shape, DType::fp32);
  check_parts(name, op.parts, op.db.dim(0));
  check_view(name, "dspread", op.dspread, {op.db.dim(0), op.parts.count * op.db.dim(1)}, DType::fp32);
  TW_DISPATCH(adapter_gather, op, stream);
}

}  // namespace tw
