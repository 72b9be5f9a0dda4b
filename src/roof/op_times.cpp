#include "src/roof/op_times.h"

#include <algorithm>

#include "src/core/error.h"

namespace tw {

void OpTimes::begin(const Stream& stream) {
  if (stream.device().is_cpu()) {
    began_ = now_seconds();
    return;
  }
  if (timed_now_ == timed_.size()) timed_.push_back({gpu::Event(stream.device(), true), gpu::Event(stream.device(), true)});
  timed_[timed_now_].start.record(stream);
}

void OpTimes::end(const char* op, const OpWork& work, const Stream& stream) {
  const double seconds = stream.device().is_cpu() ? now_seconds() - began_ : 0;
  if (!in_step_) return;
  Entry& e = entry(op, work);
  e.now += seconds;
  e.row.calls += 1, e.row.flops += work.flops, e.row.bytes += work.bytes;
  e.streamed = work.streamed;
  if (roof_ && !work.streamed) e.row.floor += roof_->floor_seconds(work);
  if (stream.device().is_cpu()) return;
  timed_[timed_now_].end.record(stream);
  timed_[timed_now_++].entry = size_t(&e - entries_.data());
}

void OpTimes::collect() {
  for (size_t i = 0; i < timed_now_; ++i) {
    timed_[i].end.wait();
    entries_[timed_[i].entry].now += timed_[i].end.seconds_since(timed_[i].start);
  }
  timed_now_ = 0;
}

void OpTimes::add_exchange(const char* call, int calls, double bytes, double seconds) {
  if (!in_step_) return;
  Entry& e = entry(call, {});
  e.now += seconds;
  e.row.over_the_wire = true;
  e.row.calls += calls, e.row.bytes += bytes;
  if (roof_ && roof_->exchange_rate > 0) e.row.floor += bytes / roof_->exchange_rate;
}

void OpTimes::add_copy(const char* call, double bytes, double seconds) {
  if (!in_step_) return;
  Entry& e = entry(call, {});
  e.now += seconds;
  e.row.calls += 1, e.row.bytes += bytes;
  if (roof_) e.row.floor += roof_->floor_seconds({.bytes = bytes});
}

OpTimes::Entry& OpTimes::entry(const char* op, const OpWork& work) {
  for (Entry& e : entries_)
    if (e.row.shape == work.shape && e.row.dtype == work.dtype && e.row.op == op && e.row.form == work.form) return e;
  Entry e;
  e.row.op = op, e.row.form = work.form, e.row.shape = work.shape, e.row.dtype = work.dtype;
  e.seconds.assign(steps_.size(), 0);  // it was not called in the steps before
  entries_.push_back(std::move(e));
  return entries_.back();
}

void OpTimes::begin_step() {
  for (Entry& e : entries_) e.now = 0;
  in_step_ = true;
}

void OpTimes::end_step(double seconds) {
  TW_CHECK(in_step_, bug, "a step is ended that was not begun");
  in_step_ = false;
  collect();
  double ops = 0;
  for (Entry& e : entries_) {
    e.seconds.push_back(e.now);
    ops += e.now;
  }
  steps_.push_back(seconds);
  between_.push_back(seconds - ops);
}

StepTimes OpTimes::times() const {
  TW_CHECK(!steps_.empty(), bug, "no step was measured");
  const double steps = double(steps_.size());
  StepTimes t;
  t.step = spread_of(steps_);
  t.between = std::max(0.0, median_of(between_));
  for (const Entry& e : entries_) {
    OpRow row = e.row;
    row.calls /= steps, row.flops /= steps, row.bytes /= steps, row.floor /= steps;
    const Spread spread = spread_of(e.seconds);
    row.seconds = spread.median, row.best = spread.best;
    // What a step uses once lies in a cache only if all of it fits there.
    if (roof_ && e.streamed)
      row.floor = roof_->floor_seconds({.flops = row.flops, .bytes = row.bytes, .dtype = row.dtype});
    t.ops += row.seconds;
    t.floor += row.floor;
    t.rows.push_back(std::move(row));
  }
  std::stable_sort(t.rows.begin(), t.rows.end(), [&](const OpRow& a, const OpRow& b) {
    return roof_ ? a.lost() > b.lost() : a.seconds > b.seconds;
  });
  return t;
}

}  // namespace tw
