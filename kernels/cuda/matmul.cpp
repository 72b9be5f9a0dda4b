// Our matrices are row-major, the library's column-major: it is asked for out^T = B^T A^T, so that its A is our b, its
// dimensions (m, n, k) are our (N, M, K), and a leading dimension is the length of a row. NVIDIA, cuBLAS Library, section
// "Using the cuBLASLt API".
#include "kernels/matmul.h"

#include <algorithm>
#include <memory>

#include "kernels/cuda/column_sum.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/matmul_any.h"
#include "kernels/cuda/native.h"
#include "kernels/cuda/products.h"
#include "kernels/fill.h"

namespace tw::cuda {

CublasLt::CublasLt() try : library(TW_CUBLASLT_LIBRARY) {
  library.load("cublasLtCreate", create);
  library.load("cublasLtDestroy", destroy);
  library.load("cublasLtMatmul", matmul);
  library.load("cublasLtMatmulDescCreate", create_product);
  library.load("cublasLtMatmulDescDestroy", destroy_product);
  library.load("cublasLtMatmulDescSetAttribute", set_product);
  library.load("cublasLtMatrixLayoutCreate", create_layout);
  library.load("cublasLtMatrixLayoutDestroy", destroy_layout);
  library.load("cublasLtMatmulPreferenceCreate", create_preference);
  library.load("cublasLtMatmulPreferenceDestroy", destroy_preference);
  library.load("cublasLtMatmulPreferenceSetAttribute", set_preference);
  library.load("cublasLtMatmulAlgoGetHeuristic", heuristic);
} catch (const Error& e) {
  TW_FAIL(config, "matrix products on a GPU need cuBLASLt: {}. Install the CUDA libraries or set LD_LIBRARY_PATH", e.what());
}

const CublasLt& cublaslt() {
  static const CublasLt library;
  return library;
}

void check_cublas(cublasStatus_t status, const char* expression, std::source_location where) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]] return;
  const ExitCode code = status == CUBLAS_STATUS_INVALID_VALUE || status == CUBLAS_STATUS_NOT_SUPPORTED ? ExitCode::bug
                        : status == CUBLAS_STATUS_ALLOC_FAILED || status == CUBLAS_STATUS_NOT_INITIALIZED ? ExitCode::config
                                                                                                          : ExitCode::io;
  throw Error(code, fmt::format("{} failed: cuBLAS status {}", expression, int(status)), where);
}

namespace {

constexpr size_t kWorkspace = size_t(64) << 20;

cudaDataType native(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// The largest power of two up to 256 that divides the address.
int alignment_of(const void* p) {
  const auto a = reinterpret_cast<uintptr_t>(p);
  return int(std::min<uintptr_t>(a & (~a + 1), 256));
}

struct Layout {
  cublasLtMatrixLayout_t handle = nullptr;
  Layout(DType dtype, int64_t rows, int64_t columns) {  // of a row-major matrix
    TW_CUBLAS_CHECK(cublaslt().create_layout(&handle, native(dtype), uint64_t(columns), uint64_t(rows), columns));
  }
  ~Layout() { cublaslt().destroy_layout(handle); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
};

}  // namespace

struct Products::Plan {
  cublasLtMatmulDesc_t product = nullptr;
  Layout a, b, out;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
  bool found = false;

  explicit Plan(const MatMul& op) : a(op.a.dtype, op.a.dim(0), op.a.dim(1)), b(op.b.dtype, op.b.dim(0), op.b.dim(1)), out(op.out.dtype, op.out.dim(0), op.out.dim(1)) {
    // fp32 is multiplied as fp32: no TF32.
    TW_CUBLAS_CHECK(cublaslt().create_product(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  }
  ~Plan() { cublaslt().destroy_product(product); }
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    TW_CUBLAS_CHECK(cublaslt().set_product(product, attribute, &value, sizeof value));
  }
};

Products::Products(Device device) : workspace_(kWorkspace, device) {
  cublasLtHandle_t handle = nullptr;
  TW_CUBLAS_CHECK(cublaslt().create(&handle));
  handle_ = handle;
}
Products::~Products() {
  plans_.clear();
  cublaslt().destroy(static_cast<cublasLtHandle_t>(handle_));
}

Products::Plan& Products::plan_of(const MatMul& op, bool fused) {
  const Epilogue epilogue = fused ? op.epilogue : Epilogue::none;
  const bool bias = fused && op.bias;
  const Key key{op.out.dim(0), op.out.dim(1), op.a.dim(op.transpose_a ? 0 : 1), op.transpose_a, op.transpose_b, int(op.a.dtype),
                int(op.out.dtype), alignment_of(op.a.data), alignment_of(op.b.data), alignment_of(op.out.data),
                bias ? alignment_of(op.bias.data) : 0, epilogue == Epilogue::none ? 0 : int(epilogue) * 512 + alignment_of(op.aux.data)};
  auto& slot = plans_[key];
  if (slot) return *slot;
  auto plan = std::make_unique<Plan>(op);
  plan->set(CUBLASLT_MATMUL_DESC_TRANSA, op.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  plan->set(CUBLASLT_MATMUL_DESC_TRANSB, op.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  if (epilogue == Epilogue::gelu) kind = bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
  else if (epilogue == Epilogue::gelu_backward) kind = CUBLASLT_EPILOGUE_DGELU;
  else if (bias) kind = CUBLASLT_EPILOGUE_BIAS;
  plan->set(CUBLASLT_MATMUL_DESC_EPILOGUE, kind);
  if (bias) {
    plan->set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t(native(op.bias.dtype)));
    plan->set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, op.bias.data);
  }
  if (epilogue != Epilogue::none) {
    plan->set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, op.aux.data);
    plan->set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t(op.out.dim(1)));
  }
  cublasLtMatmulPreference_t preference = nullptr;
  TW_CUBLAS_CHECK(cublaslt().create_preference(&preference));
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    TW_CUBLAS_CHECK(cublaslt().set_preference(preference, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t(kWorkspace));
  // Sums over parts of K only where their order is fixed.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t(alignment_of(op.b.data)));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, uint32_t(alignment_of(op.a.data)));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, uint32_t(alignment_of(op.out.data)));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, uint32_t(alignment_of(op.out.data)));
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status = cublaslt().heuristic(static_cast<cublasLtHandle_t>(handle_), plan->product, plan->b.handle, plan->a.handle,
                                                     plan->out.handle, plan->out.handle, preference, 1, &result, &found);
  (void)cublaslt().destroy_preference(preference);
  // The first in the library's own ranking: timing them would choose differently from run to run, and with it bits.
  plan->found = status == CUBLAS_STATUS_SUCCESS && found > 0;
  plan->algorithm = result.algo;
  plan->workspace = result.workspaceSize;
  slot = std::move(plan);
  return *slot;
}

bool Products::run(const MatMul& op, bool fused, const Stream& stream) {
  Plan& plan = plan_of(op, fused);
  if (!plan.found) return false;
  if (fused && op.bias) plan.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, op.bias.data);
  if (fused && op.epilogue != Epilogue::none) plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, op.aux.data);
  const float one = 1, beta = op.accumulate ? 1.f : 0.f;
  TW_CUBLAS_CHECK(cublaslt().matmul(static_cast<cublasLtHandle_t>(handle_), plan.product, &one, op.b.data, plan.b.handle, op.a.data, plan.a.handle,
                                    &beta, op.out.data, plan.out.handle, op.out.data, plan.out.handle, &plan.algorithm, workspace_.data(),
                                    plan.workspace, tw::cuda::native(stream)));
  return true;
}

void matmul(const MatMul& op, const Stream& stream) {
  if (op.a.count() == 0) {  // K = 0
    if (!op.accumulate) cuda::zero({.x = op.out}, stream);
    finish_product(op, stream);
  } else {
    TW_CUDA_CHECK(cudaSetDevice(stream.device().index));
    Products& products = context_of(stream).products();
    // The library's GELU is the tanh form, its bias has the result's type.
    const bool wanted = op.bias || op.epilogue != Epilogue::none;
    const bool fusible = wanted && (!op.bias || op.bias.dtype == op.out.dtype) && (op.epilogue == Epilogue::none || op.tanh_form);
    if (!fusible || !products.run(op, true, stream)) {
      if (!products.run(op, false, stream)) matmul_any(op, stream);
      finish_product(op, stream);
    }
  }
  if (op.dbias) add_column_sums(op.out, op.dbias, stream);
}

}  // namespace tw::cuda
