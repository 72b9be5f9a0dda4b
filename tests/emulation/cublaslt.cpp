// Column-major products by the definition, in fp32. What the library's documentation forbids ends the process.
#include "tests/emulation/include/cublasLt.h"

#include <fmt/format.h>

#include <vector>

#include "src/core/dtype.h"
#include "tests/emulation/emulation.h"

namespace tw_emulation {

struct Lt {};
struct Product {
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  int32_t bias_type = -1;
  void* aux = nullptr;
  int64_t aux_leading = 0;
};
struct Matrix {
  cudaDataType type;
  int64_t rows, columns, leading;
  size_t element() const { return type == CUDA_R_16BF ? 2 : 4; }
  size_t bytes() const { return size_t(leading * (columns - 1) + rows) * element(); }
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t a = 256, b = 256, c = 256, d = 256;
};

namespace {

constexpr size_t kUsedWorkspace = 1024;  // as a library would: written over

bool has_bias(cublasLtEpilogue_t e) { return e == CUBLASLT_EPILOGUE_BIAS || e == CUBLASLT_EPILOGUE_GELU_AUX_BIAS; }
bool has_aux(cublasLtEpilogue_t e) { return e >= CUBLASLT_EPILOGUE_GELU_AUX; }

// What an algorithm was chosen for.
uint64_t problem(const Product& p, const Matrix& a, const Matrix& b, const Matrix& d) {
  uint64_t h = 1469598103934665603ull;
  for (const int64_t v : {int64_t(p.a), int64_t(p.b), int64_t(p.epilogue), int64_t(a.type), a.rows, a.columns, a.leading, b.rows, b.columns,
                          b.leading, int64_t(d.type), d.rows, d.columns, d.leading})
    h = (h ^ uint64_t(v)) * 1099511628211ull;
  return h;
}

float get(const void* p, cudaDataType type, int64_t i) {
  return type == CUDA_R_16BF ? float(static_cast<const tw::bf16*>(p)[i]) : static_cast<const float*>(p)[i];
}
void put(void* p, cudaDataType type, int64_t i, float v) {
  if (type == CUDA_R_16BF) static_cast<tw::bf16*>(p)[i] = tw::bf16(v);
  else static_cast<float*>(p)[i] = v;
}

float gelu(float x) { return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x))); }
float gelu_slope(float x) {
  const float t = std::tanh(0.7978845608f * (x + 0.044715f * x * x * x));
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.7978845608f * (1 + 3 * 0.044715f * x * x);
}

template <class T>
void set(T& field, const void* value, size_t bytes) {
  if (bytes != sizeof field) die(fmt::format("cuBLASLt: an attribute of {} bytes was given {}", sizeof field, bytes));
  std::memcpy(&field, value, bytes);
}

}  // namespace
}  // namespace tw_emulation

using namespace tw_emulation;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* h) { return *h = new Lt, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) { return delete h, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* p, cublasComputeType_t, cudaDataType) {
  return *p = new Product, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t p) { return delete p, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t p, cublasLtMatmulDescAttributes_t attribute, const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: set(p->a, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_TRANSB: set(p->b, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE: set(p->epilogue, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: set(p->bias, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE: set(p->bias_type, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: set(p->aux, value, bytes); break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: set(p->aux_leading, value, bytes); break;
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* m, cudaDataType type, uint64_t rows, uint64_t columns, int64_t leading) {
  if (leading < int64_t(rows)) die(fmt::format("cuBLASLt: a matrix of {} rows with leading dimension {}", rows, leading));
  *m = new Matrix{type, int64_t(rows), int64_t(columns), leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t m) { return delete m, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* p) { return *p = new Preference, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { return delete p, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  uint32_t mask = 0;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: set(p->workspace, value, bytes); break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: set(mask, value, bytes); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: set(p->a, value, bytes); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: set(p->b, value, bytes); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: set(p->c, value, bytes); break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: set(p->d, value, bytes); break;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t p, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
                                              int most, cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = 0;
  if (most < 1 || a->type != b->type || c->type != d->type) return CUBLAS_STATUS_INVALID_VALUE;
  if (preference->workspace < kUsedWorkspace) return CUBLAS_STATUS_NOT_SUPPORTED;
  // Tensor cores take rows of 16 bytes; the epilogues come with them alone. This library has nothing else for bf16.
  bool even = true;
  for (const Matrix* m : {a, b, d}) even = even && m->leading * int64_t(m->element()) % 16 == 0;
  for (const uint32_t alignment : {preference->a, preference->b, preference->c, preference->d}) even = even && alignment >= 16;
  if (!even && (a->type == CUDA_R_16BF || p->epilogue != CUBLASLT_EPILOGUE_DEFAULT)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_aux(p->epilogue) && p->aux_leading % 8 != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  results[0] = {};
  results[0].algo.data[0] = problem(*p, *a, *b, *d);
  results[0].algo.data[1] = even;
  results[0].workspaceSize = kUsedWorkspace;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t p, const void* alpha, const void* a, cublasLtMatrixLayout_t la,
                              const void* b, cublasLtMatrixLayout_t lb, const void* beta, const void* c, cublasLtMatrixLayout_t lc, void* d,
                              cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  if (algorithm->data[0] != problem(*p, *la, *lb, *ld)) die("cublasLtMatmul: the algorithm was chosen for another problem");
  if (c != d || lc->leading != ld->leading) die("cublasLtMatmul: c is not d");
  const bool ta = p->a == CUBLAS_OP_T, tb = p->b == CUBLAS_OP_T;
  const int64_t m = ta ? la->columns : la->rows, k = ta ? la->rows : la->columns, n = tb ? lb->rows : lb->columns;
  if ((tb ? lb->columns : lb->rows) != k || ld->rows != m || ld->columns != n)
    die(fmt::format("cublasLtMatmul: ({} x {}) times ({} x {}) is not ({} x {})", m, k, tb ? lb->columns : lb->rows, n, ld->rows, ld->columns));
  if (workspace_bytes < kUsedWorkspace) die("cublasLtMatmul: the workspace is smaller than the algorithm's");
  const size_t alignment = algorithm->data[1] ? 16 : la->element();
  check_device_memory("cublasLtMatmul, a", a, la->bytes(), alignment);
  check_device_memory("cublasLtMatmul, b", b, lb->bytes(), alignment);
  check_device_memory("cublasLtMatmul, d", d, ld->bytes(), algorithm->data[1] ? 16 : ld->element());
  check_device_memory("cublasLtMatmul, workspace", workspace, workspace_bytes, 256);
  const Product product = *p;
  if (has_bias(p->epilogue)) {
    if (p->bias_type != ld->type) die("cublasLtMatmul: the bias has not the type of d");
    check_device_memory("cublasLtMatmul, bias", p->bias, size_t(m) * ld->element(), ld->element());
  }
  if (has_aux(p->epilogue)) {
    if (p->aux_leading < m) die("cublasLtMatmul: the auxiliary matrix has too short columns");
    check_device_memory("cublasLtMatmul, aux", p->aux, ld->bytes(), 16);
  }
  const float factor = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  const Matrix A = *la, B = *lb, D = *ld;
  enqueue(stream, [=] {
    std::memset(workspace, 0xff, kUsedWorkspace);
    // Rows of both operands as fp32, side by side.
    std::vector<float> left(size_t(m * k)), right(size_t(n * k));
    for (int64_t i = 0; i < m; ++i)
      for (int64_t x = 0; x < k; ++x) left[size_t(i * k + x)] = get(a, A.type, ta ? i * A.leading + x : x * A.leading + i);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t x = 0; x < k; ++x) right[size_t(j * k + x)] = get(b, B.type, tb ? x * B.leading + j : j * B.leading + x);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < m; ++i) {
        float sum = 0;
        for (int64_t x = 0; x < k; ++x) sum += left[size_t(i * k + x)] * right[size_t(j * k + x)];
        const int64_t at = j * D.leading + i;
        float v = factor * sum + (keep != 0 ? keep * get(d, D.type, at) : 0.f);
        if (has_bias(product.epilogue)) v += get(product.bias, D.type, i);
        if (product.epilogue == CUBLASLT_EPILOGUE_DGELU) {
          v *= gelu_slope(get(product.aux, D.type, j * product.aux_leading + i));
        } else if (has_aux(product.epilogue)) {
          put(product.aux, D.type, j * product.aux_leading + i, v);
          v = gelu(v);
        }
        put(d, D.type, at, v);
      }
    return true;
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
