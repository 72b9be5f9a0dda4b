#include "src/meter/tensorboard.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include <gtest/gtest.h>

#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/meter/metrics_log.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {

// A reader of its own, after the published formats: frames checked, messages decoded field by field.
struct Field {
  int number = 0;
  uint64_t value = 0;  // varint, or the bits of a fixed one
  std::string_view bytes;
};

uint64_t take_varint(std::string_view& in) {
  uint64_t value = 0;
  for (int shift = 0; !in.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    value |= uint64_t(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  ADD_FAILURE() << "a varint has no end";
  return 0;
}

std::vector<Field> fields_of(std::string_view in) {
  std::vector<Field> fields;
  while (!in.empty()) {
    const uint64_t key = take_varint(in);
    Field field{int(key >> 3)};
    const size_t fixed = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
    if ((key & 7) == 0) {
      field.value = take_varint(in);
    } else {
      const size_t size = fixed ? fixed : take_varint(in);
      EXPECT_LE(size, in.size());
      field.bytes = in.substr(0, size);
      if (fixed) std::memcpy(&field.value, field.bytes.data(), fixed);
      in.remove_prefix(std::min(size, in.size()));
    }
    fields.push_back(field);
  }
  return fields;
}

struct Event {
  double wall_time = 0;
  int64_t step = 0;
  std::string version;
  int session = -1;
  std::map<std::string, float> scalars;
};

uint32_t unmask(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

std::vector<Event> read_events(const std::string& file) {
  std::vector<Event> events;
  std::string_view rest = file;
  while (!rest.empty()) {
    if (rest.size() < 16) {
      ADD_FAILURE() << "half a frame";
      break;
    }
    uint64_t length;
    uint32_t length_crc, data_crc;
    std::memcpy(&length, rest.data(), 8);
    std::memcpy(&length_crc, rest.data() + 8, 4);
    EXPECT_EQ(unmask(length_crc), crc32c(rest.data(), 8));
    if (length > rest.size() - 16) {
      ADD_FAILURE() << "a frame of " << length << " bytes";
      break;
    }
    const std::string_view data = rest.substr(12, length);
    std::memcpy(&data_crc, rest.data() + 12 + length, 4);
    EXPECT_EQ(unmask(data_crc), crc32c(data.data(), data.size()));
    rest.remove_prefix(16 + length);

    Event event;
    for (const Field& f : fields_of(data)) {
      if (f.number == 1) std::memcpy(&event.wall_time, &f.value, 8);
      if (f.number == 2) event.step = int64_t(f.value);
      if (f.number == 3) event.version = f.bytes;
      if (f.number == 7) event.session = int(fields_of(f.bytes).at(0).value);
      if (f.number != 5) continue;
      for (const Field& v : fields_of(f.bytes)) {
        EXPECT_EQ(v.number, 1);
        std::string tag;
        float value = 0;
        for (const Field& part : fields_of(v.bytes)) {
          if (part.number == 1) tag = part.bytes;
          if (part.number == 2) std::memcpy(&value, &part.value, 4);
        }
        event.scalars[tag] = value;
      }
    }
    events.push_back(event);
  }
  return events;
}

TEST(TensorBoard, MaskedCrcIsThatOfTensorFlow) {
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);                                    // the check value of CRC-32C
  EXPECT_EQ(masked_crc32c(std::string_view("\x18\0\0\0\0\0\0\0", 8)), 0x224b7fa3u);  // as files of TensorFlow begin
}

TEST(TensorBoard, EventsReadBack) {
  ScratchFolder folder;
  std::filesystem::path path;
  {
    TensorBoardWriter writer(folder.path(), 0);
    path = writer.path();
    EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents."));
    writer.scalars(1, 1234.5, {{"loss", 3.25f}, {"lr", 1e-3f}});
    writer.scalars(int64_t(1) << 40, 1235, {{"loss", std::numeric_limits<float>::quiet_NaN()}});
    EXPECT_EQ(writer.lost_records(), 0);
  }
  const auto events = read_events(read_file(path));
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[1].session, 1);
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events[2].wall_time, 1234.5);
  EXPECT_EQ(events[2].step, 1);
  EXPECT_EQ(events[2].scalars.at("loss"), 3.25f);
  EXPECT_EQ(events[2].scalars.at("lr"), 1e-3f);
  EXPECT_EQ(events[3].step, int64_t(1) << 40);
  EXPECT_TRUE(std::isnan(events[3].scalars.at("loss")));
}

TEST(TensorBoard, AResumeTakesAFileOfItsOwnThatEndsTheOldSteps) {
  ScratchFolder folder;
  const TensorBoardWriter first(folder.path(), 0), second(folder.path(), 7);
  EXPECT_NE(first.path(), second.path());
  const auto events = read_events(read_file(second.path()));
  EXPECT_EQ(events.at(1).session, 1);
  EXPECT_EQ(events.at(1).step, 8);
}

TEST(TensorBoard, MetricsLogWritesBoth) {
  ScratchFolder folder;
  {
    MetricsLog log(folder.path(), {}, 0);
    log.log(StepMetrics{.step = 1, .loss = 2.5f, .joules_per_token = 0.25, .power_w = 10});
    log.log(StepMetrics{.step = 2, .loss = 2.25f});
    log.log(EvalMetrics{.step = 2, .loss = 2.75f, .perplexity = 15.6, .bits_per_byte = 1.5});
  }
  std::map<std::string, int> tags;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "tensorboard"))
    for (const Event& event : read_events(read_file(entry.path())))
      for (const auto& [tag, value] : event.scalars) ++tags[tag];
  EXPECT_EQ(tags.at("loss"), 2);
  EXPECT_EQ(tags.at("joules_per_token"), 1) << "nothing is written where there is no meter";
  EXPECT_EQ(tags.at("eval/loss"), 1);
  EXPECT_EQ(tags.at("eval/bits_per_byte"), 1);
}

}  // namespace
}  // namespace tw
