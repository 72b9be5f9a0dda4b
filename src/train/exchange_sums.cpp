#include "src/train/exchange_sums.h"

#include <algorithm>
#include <span>

#include "kernels/checksum.h"
#include "kernels/fill.h"

namespace tw {
namespace {
int64_t total(const Tensor& sums) { return checksum_total(std::span(sums.as<int64_t>(), size_t(sums.count()))); }
}  // namespace

void ExchangeSums::plan(ArenaPlan& plan) {
  const int64_t buckets = layout_.buckets();
  sent_id_ = plan.add("checksums", "sent", {buckets, ranks_}, DType::i64);
  arrived_id_ = plan.add("checksums", "arrived", {buckets, ranks_}, DType::i64);
  summed_id_ = plan.add("checksums", "summed", {buckets}, DType::i64);
  reduced_id_ = plan.add("checksums", "reduced", {buckets}, DType::i64);
}

void ExchangeSums::bind(const Arena& arena, const Stream& stream) {
  sent_ = arena.view(sent_id_), arrived_ = arena.view(arrived_id_);
  summed_ = arena.view(summed_id_), reduced_ = arena.view(reduced_id_);
  host_sent_ = Tensor::beside(stream, sent_.shape, DType::i64), host_arrived_ = Tensor::beside(stream, arrived_.shape, DType::i64);
  host_summed_ = Tensor::beside(stream, summed_.shape, DType::i64), host_reduced_ = Tensor::beside(stream, reduced_.shape, DType::i64);
}

void ExchangeSums::begin(bool wanted, const Stream& stream) {
  wanted_ = wanted;
  if (!wanted) return;
  for (const View& sums : {sent_, arrived_, summed_, reduced_}) zero({.x = sums}, stream);
}

void ExchangeSums::sent(int bucket, ConstView values, const Stream& stream) {
  if (wanted_) checksum({.x = values, .sums = sent_.rows(bucket, bucket + 1).reshape({ranks_}), .first = layout_.bucket(bucket).begin}, stream);
}

void ExchangeSums::arrived(int bucket, ConstView parts, const Stream& stream) {
  if (wanted_)
    checksum({.x = parts, .sums = arrived_.rows(bucket, bucket + 1).reshape({ranks_}), .first = layout_.owned(bucket).begin, .one_place = true}, stream);
}

void ExchangeSums::summed(int bucket, ConstView slice, const Stream& stream) {
  if (wanted_) checksum({.x = slice, .sums = summed_.flat(bucket, bucket + 1), .first = layout_.owned(bucket).begin}, stream);
}

void ExchangeSums::reduced(int bucket, ConstView values, const Stream& stream) {
  if (wanted_) checksum({.x = values, .sums = reduced_.flat(bucket, bucket + 1), .first = layout_.bucket(bucket).begin}, stream);
}

void ExchangeSums::fetch(const Stream& stream) {
  if (!wanted_) return;
  copy(sent_, host_sent_.view(), stream), copy(arrived_, host_arrived_.view(), stream);
  copy(summed_, host_summed_.view(), stream), copy(reduced_, host_reduced_.view(), stream);
}

int64_t ExchangeSums::total_sent() const { return total(host_sent_); }
int64_t ExchangeSums::total_arrived() const { return total(host_arrived_); }
int64_t ExchangeSums::total_summed() const { return total(host_summed_); }
int64_t ExchangeSums::total_reduced() const { return total(host_reduced_); }

std::vector<ExchangeSums::Damaged> ExchangeSums::damaged(Communicator& comm, const Stream& stream) const {
  const int64_t buckets = layout_.buckets();
  // Row r: what this rank sent to rank r; then what rank r sent to this one.
  Tensor out = Tensor::beside(stream, {ranks_, buckets}, DType::i64), in = Tensor::beside(stream, {ranks_, buckets}, DType::i64);
  for (int64_t b = 0; b < buckets; ++b)
    for (int r = 0; r < ranks_; ++r) out.as<int64_t>()[r * buckets + b] = host_sent_.as<int64_t>()[b * ranks_ + r];
  comm.all_to_all(out.view(), in.view(), stream);
  std::string mine;
  for (int r = 0; r < ranks_; ++r)
    for (int64_t b = 0; b < buckets; ++b)
      if (in.as<int64_t>()[r * buckets + b] != host_arrived_.as<int64_t>()[b * ranks_ + r]) mine += fmt::format("{} {} ", b, r);
  std::vector<Damaged> all;
  const std::vector<std::string> texts = all_gather_text(comm, mine);
  for (int to = 0; to < ranks_; ++to) {
    const char* at = texts[size_t(to)].c_str();
    for (char* end = nullptr; *at; at = *end ? end + 1 : end) {
      const int bucket = int(std::strtol(at, &end, 10)), from = int(std::strtol(end, &end, 10));
      all.push_back({bucket, from, to});
    }
  }
  return all;
}

}  // namespace tw
