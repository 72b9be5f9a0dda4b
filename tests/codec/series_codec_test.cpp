#include <gmock/gmock.h>

#include <cmath>
#include <fmt/format.h>

#include "src/codec/kinds.h"
#include "src/codec/series/channel.h"
#include "src/codec/series/csv_rows.h"
#include "src/codec/series/series_codec.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/hdf5/h5.h"
#include "tests/codec/codec_fixture.h"
#include "tests/support/process.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Series : public CodecFiles {
 protected:
  std::unique_ptr<Codec> trained(const std::string& content, int32_t vocab = 4096) const {
    const fs::path path = file("train.csv", content);
    return kSeriesCodec.train({&path, 1}, {.vocab_size = vocab});
  }
  static std::string round_trip(const Codec& codec, const std::string& content) {
    const Encoded e(codec, content);
    EXPECT_EQ(e.documents.size(), 1u);
    return codec.decode(e.documents[0]);
  }
};

using Rows = std::vector<std::vector<std::string>>;
Rows rows_of(std::string_view bytes) {
  CsvRows rows(bytes, sniff_csv(bytes));
  std::vector<std::string_view> fields;
  Rows all;
  while (rows.next(fields)) all.emplace_back(fields.begin(), fields.end());
  return all;
}

TEST(Csv, DialectsAreRecognised) {
  const CsvDialect d = sniff_csv("RPM (), SPEED ()\n0.0, 1.5,\n2.0, 3.0,\n4.0, 1.0,\n");  // as loggers in cars write
  EXPECT_EQ(d.delimiter, ',');
  EXPECT_TRUE(d.header);
  EXPECT_TRUE(d.trailing);
  EXPECT_EQ(d.columns, 2u);
  const CsvDialect german = sniff_csv("Zeit;Druck\n1,5;2,25\n1,6;2,5\n");
  EXPECT_EQ(german.delimiter, ';');
  EXPECT_TRUE(german.decimal_comma);
  EXPECT_EQ(sniff_csv("1\t2\n3\t4\n").delimiter, '\t');
  EXPECT_FALSE(sniff_csv("1\t2\n3\t4\n").header);
  EXPECT_EQ(sniff_csv("a|b\n1|2\n").delimiter, '|');
  EXPECT_EQ(sniff_csv("v\n1\n2\n").columns, 1u);
  EXPECT_TRUE(sniff_csv("a,b,c\n1,,3\n,2,\n").header);
  EXPECT_THROW(sniff_csv(""), Error);
  EXPECT_THROW(sniff_csv(std::string("a,b\n1,\0\n", 8)), Error);
  EXPECT_THROW(sniff_csv(std::string(100000, '1')), Error) << "one endless row";
  std::string wide;
  for (int i = 0; i < 10000; ++i) wide += "1,";
  EXPECT_THROW(sniff_csv(wide + "\n" + wide + "\n"), Error);
}

TEST(Csv, QuotesWhiteSpaceAndEmptyRows) {
  EXPECT_EQ(rows_of("\xEF\xBB\xBF" "a,b\r\n1, \"x, \"\"y\"\"\nz\" ,\r\n\r\n 2 ,q\n"), (Rows{{"a", "b"}, {"1", "x, \"y\"\nz", ""}, {"2", "q"}}));
  EXPECT_EQ(rows_of("1,2\n3,4"), (Rows{{"1", "2"}, {"3", "4"}}));
  EXPECT_EQ(rows_of("1,2\n\"never ends,4\n5,6\n").size(), 2u);
}

TEST(Csv, NumbersAndTimes) {
  double v = 0;
  EXPECT_TRUE(csv_number("-1.5e3", false, v) && v == -1500);
  EXPECT_TRUE(csv_number("+2", false, v) && v == 2);
  EXPECT_TRUE(csv_number("1,5", true, v) && v == 1.5);
  for (const char* none : {"", "nan", "inf", "1e999", "1,5", "0x10", "1 2", "12 bar"}) EXPECT_FALSE(csv_number(none, false, v)) << none;
  EXPECT_EQ(clock_time("1970-01-02"), 86400.0);
  EXPECT_EQ(clock_time("2000-03-01 00:00:01"), 951868801.0);
  EXPECT_EQ(clock_time("2000-03-01T02:00:01.5+02:00"), 951868801.5);
  EXPECT_EQ(clock_time("2000-03-01T00:00:01Z"), 951868801.0);
  for (const char* none : {"2000-13-01", "2000-01-01 25:00:00", "01.02.2000", "2000-01-01x", "2000-01-01T1"}) EXPECT_FALSE(clock_time(none)) << none;
  const Channel c{.name = "t", .kind = Channel::Kind::clock, .values = {0}, .words = {}, .decimals = -1, .begin = 0};
  EXPECT_EQ(c.written(951868801.5), "2000-03-01 00:00:01.500");
  EXPECT_EQ(c.written(-1), "1969-12-31 23:59:59");
  EXPECT_NE(c.written(1e300), "");
}

TEST_F(Series, FewDifferentValuesComeBackExactly) {
  const std::string csv = "speed,gear,state,noise\n0.5,1,on,\n0.5,1,on,3\n12.25,2,off,3\n-4,2,on,NA\n-4,2,\"a,b\",3\n";
  const auto codec = trained(csv);
  EXPECT_EQ(round_trip(*codec, csv), "speed,gear,state,noise\n0.5,1,on,\n0.5,1,on,3\n12.25,2,off,3\n-4,2,on,\n-4,2,\"a,b\",3\n");
  // What does not change costs nothing: 4 columns, 4 values of the first row, then changes and ends of rows.
  EXPECT_EQ(Encoded(*codec, csv).documents[0].size(), 4u + (3 + 1) + (1 + 1) + (3 + 1) + (3 + 1) + (2 + 1));
}

TEST_F(Series, ManyDifferentValuesComeBackNearly) {
  std::string csv = "t,x\n";
  for (int i = 0; i < 5000; ++i) csv += std::to_string(i) + "," + std::to_string(std::sin(i * 0.1) * 100) + "\n";
  const auto codec = trained(csv);
  const Rows want = rows_of(csv), got = rows_of(round_trip(*codec, csv));
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t r = 1; r < want.size(); ++r) {
    EXPECT_EQ(got[r][0], want[r][0]) << "a clock";
    worst = std::max(worst, std::abs(std::stod(got[r][1]) - std::stod(want[r][1])));
  }
  EXPECT_LT(worst, 1.5) << "of a range of 200";
  const fs::path held = file("held.csv", csv);
  const CodecQuality q = codec->quality({&held, 1}).at(0);
  EXPECT_GT(q.value, 0);
  EXPECT_LE(q.value, q.baseline);
}

TEST_F(Series, ClocksKeepTheirStepsAndGaps) {
  std::string csv = "time,v\n";
  for (int i = 0; i < 700; ++i) csv += fmt::format("2024-05-{:02} {:02}:{:02}:00,{}\n", 1 + i / 1440, (i + (i > 300 ? 25 : 0)) / 60 % 24, (i + (i > 300 ? 25 : 0)) % 60, i % 3);
  const auto codec = trained(csv);
  EXPECT_EQ(round_trip(*codec, csv), csv);
  std::string counter = "n,v\n";
  for (int i = 0; i < 3000; ++i) counter += std::to_string(i * 5 + (i > 1000 ? 100 : 0)) + ",1\n";
  EXPECT_EQ(round_trip(*trained(counter), counter), counter);
}

TEST_F(Series, TheBudgetOfIdsIsKept) {
  std::string csv;
  for (int c = 0; c < 30; ++c) csv += (c ? ",c" : "c") + std::to_string(c);
  csv += "\n";
  for (int r = 0; r < 500; ++r)
    for (int c = 0; c < 30; ++c) csv += std::to_string((r * 7919 + c * 104729) % 100003) + (c == 29 ? "\n" : ",");
  for (const int32_t vocab : {300, 1000, 4096, 100000}) {
    const auto codec = trained(csv, vocab);
    EXPECT_LE(codec->vocab_size(), vocab);
    EXPECT_FALSE(round_trip(*codec, csv).empty());
  }
}

TEST_F(Series, ACodebookIsKeptAndDecidesTheHash) {
  const std::string csv = "time,a,w\n2024-01-01,1.5,x\n2024-01-02,2.5,y\n2024-01-03,,x\n";
  const auto codec = trained(csv);
  codec->save(folder_.path() / "series.json");
  const auto loaded = kSeriesCodec.load(folder_.path() / "series.json");
  EXPECT_EQ(loaded->hash(), codec->hash());
  EXPECT_EQ(loaded->opening(), codec->opening());
  std::vector<int32_t> row = loaded->opening();
  row.push_back(0);
  EXPECT_EQ(loaded->decode(row), "time,a,w\n,,\n") << "what a model goes on from are the columns";
  EXPECT_EQ(round_trip(*loaded, csv), round_trip(*codec, csv));
  EXPECT_NE(trained("a\n1\n2\n")->hash(), codec->hash());
}

TEST_F(Series, WrongRowsStrangeValuesAndColumnsAreNamed) {
  const auto codec = trained("a,b,w\n1,2,x\n3,4,y\n5,6,x\n");
  const Encoded e(*codec, "a,b,new\n1,2,7\n3\n1e308,nan,8\n3,oops,1\n1,2,3,4,5\n-70,1234,5\n");
  ASSERT_EQ(e.notes.size(), 3u);
  EXPECT_EQ(e.notes[0], "2 of 6 rows are left out: of 3 columns, line 3 has 1 fields, line 6 has 5 fields");
  EXPECT_EQ(e.notes[1], "1 columns are not in the codebook: new");
  EXPECT_THAT(e.notes[2], HasSubstr("2 fields are taken as missing"));
  EXPECT_EQ(codec->decode(e.documents[0]), "a,b\n1,2\n,\n3,\n-70,1234\n") << "numbers beyond the codebook are spelled out";
  EXPECT_THROW(Encoded(*codec, "x,y\n1,2\n3,4\n"), Error) << "no column is known";
  EXPECT_THROW(Encoded(*codec, "a,b,w\n"), Error);
  EXPECT_THROW(codec->decode(std::vector<int32_t>{codec->vocab_size()}), Error);
}

TEST_F(Series, WhatAModelMakesIsATableWhateverItIs) {
  const auto codec = trained("time,a,w\n2024-01-01,1.5,x\n2024-01-02,2.5,y\n2024-01-03,,x\n");
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 2000; ++i) ids.push_back((i * 7919 + i / 13) % codec->vocab_size());
  const Rows rows = rows_of(codec->decode(ids));
  ASSERT_GT(rows.size(), 2u);
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
  EXPECT_EQ(codec->decode({}), "");
}

TEST_F(Series, WordsOfAnyBytesAreKeptAsUtf8) {
  // What is no UTF-8 is what spreadsheets write on Windows.
  const std::string csv = "K\xFChlung \xB0" "C,w\n1,\xCE x\n2,\x80\n3," + std::string(300, 'y') + "\n";
  const auto codec = trained(csv);
  EXPECT_EQ(round_trip(*codec, csv), "Kühlung °C,w\n1,Î x\n2,€\n3," + std::string(200, 'y') + "\n");
  const std::string utf8 = "Größe,w\n1,ä\n2,ö\n3,ü\n";
  EXPECT_EQ(round_trip(*trained(utf8), utf8), utf8);
}

TEST_F(Series, TablesOfWordsStayText) {
  EXPECT_EQ(codec_kind_of(file("a.csv", "question,answer\nwhy,because\nwho,me\nwhat,3\n")), nullptr);
  EXPECT_EQ(codec_kind_of(file("b.csv", "t,v\n1,2\n2,3\n3,4\n")), &kSeriesCodec);
  EXPECT_EQ(codec_kind_of(file("c.csv", "")), nullptr);
  EXPECT_EQ(codec_kind_of(file("d.csv", std::string(100, '\0'))), nullptr);
  EXPECT_EQ(codec_kind_of(file("e.txt", "t,v\n1,2\n2,3\n3,4\n")), nullptr);
  EXPECT_EQ(codec_kind_of(folder_.path() / "absent.csv"), nullptr);
}

// Columns of numbers by path.
void write_hdf5(const fs::path& path, const std::vector<std::pair<std::string, std::vector<double>>>& columns) {
  using namespace h5;
  const PropertyList links = make_property_list(H5P_LINK_CREATE);
  check(H5Pset_create_intermediate_group(links.get(), 1), "groups");
  const File hdf5(check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), path.string()));
  for (const auto& [name, values] : columns) {
    const hsize_t n = values.size();
    const Dataspace space(check(H5Screate_simple(1, &n, nullptr), name));
    const Dataset dataset(check(H5Dcreate2(hdf5.get(), name.c_str(), H5T_IEEE_F64LE, space.get(), links.get(), H5P_DEFAULT, H5P_DEFAULT), name));
    check(H5Dwrite(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), name);
  }
}

TEST_F(Series, EachTableOfAnHdf5FileIsADocument) {
  const fs::path path = folder_.path() / "log.h5";
  write_hdf5(path, {{"drive1/gear", {1, 1, 2}}, {"drive1/speed", {0.5, 12.25, NAN}}, {"drive2/gear", {2, 1, 1, 1}}, {"drive2/speed", {-4, 0.5, 0.5, 1e308}}, {"drive2/few", {1, 2}}});
  EXPECT_EQ(codec_kind_of(path), &kSeriesCodec);
  const std::string bytes = read_file(path);
  const CodecContent content = kSeriesCodec.inspect({bytes, path});
  EXPECT_EQ(content.said, "2 tables of 7 rows in all, of 2 columns at most");
  EXPECT_EQ(content.note, "1 dataset is left out: /drive2/few: 2 rows, fewer than 3");
  EXPECT_EQ(content.units, 13);
  const auto codec = kSeriesCodec.train({&path, 1}, {});
  const Encoded e(*codec, {bytes, path});
  ASSERT_EQ(e.documents.size(), 2u);
  EXPECT_EQ(codec->decode(e.documents[0]), "gear,speed\n1,0.5\n1,12.25\n2,\n");
  EXPECT_EQ(codec->decode(e.documents[1]), "gear,speed\n2,-4\n1,0.5\n1,0.5\n1,\n");
  ASSERT_EQ(e.notes.size(), 2u);
  EXPECT_THAT(e.notes[1], HasSubstr("1 fields are taken as missing"));
  EXPECT_TRUE(codec->quality({&path, 1}).at(0).lossless);
  // A codebook does not care where a table comes from.
  EXPECT_EQ(round_trip(*codec, "gear,speed\n1,0.5\n1,12.25\n2,\n"), codec->decode(e.documents[0]));
  const std::string text = "t,v\n1,2\n2,3\n3,4\n";
  EXPECT_THROW(kSeriesCodec.inspect({text, "text.h5"}), Error);
  EXPECT_THROW(kSeriesCodec.inspect({std::string_view(bytes).substr(0, 600), path}), Error);
}

TEST_F(Series, DamagedCodebooksAreNamed) {
  const std::string head = R"({"format": "tokenwerk series codec 2", "channels": [)";
  for (const std::string bad : {"", "{}", "[]"}) EXPECT_THROW(kSeriesCodec.load(file("bad.json", bad)), Error) << bad;
  for (const char* channel : {"", "1", "{}", R"({"name": "a", "kind": "number"})", R"({"name": "a", "kind": "number", "values": []})", R"({"name": "a", "kind": "number", "values": [2, 1], "decimals": 1})",
                              R"({"name": "a", "kind": "number", "values": [1], "decimals": 99})", R"({"name": "a", "kind": "clock", "values": [1], "decimals": 1})",
                              R"({"name": "a", "kind": "word", "words": ["b", "a"]})", R"({"name": "a", "kind": "other", "values": [1], "decimals": 1})"})
    EXPECT_THROW(kSeriesCodec.load(file("bad.json", head + channel + "]}")), Error) << channel;
}

// Four drives of a car, 27 channels: three to make the codebook, one held out.
TEST_F(Series, ARealLogComesBack) {
  const auto found = test_data("sensors");
  if (!found) GTEST_SKIP() << "the logs are not here";
  const fs::path folder = *found;
  const std::vector<fs::path> train = {folder / "carobd-drive1.csv", folder / "carobd-live1.csv", folder / "carobd-ufpe1.csv"};
  const fs::path held = folder / "carobd-drive8.csv";
  const auto codec = kSeriesCodec.train(train, {});
  EXPECT_LE(codec->vocab_size(), 4096);
  const std::string bytes = read_file(held, 1 << 24);
  const Encoded e(*codec, bytes);
  const Rows want = rows_of(bytes), got = rows_of(codec->decode(e.documents[0]));
  ASSERT_EQ(got.size(), want.size());
  EXPECT_EQ(got[0], want[0]);
  const CodecQuality q = codec->quality({&held, 1}).at(0);
  EXPECT_LT(q.value, 0.05);
  EXPECT_LT(q.value, q.baseline);
}

}  // namespace
}  // namespace tw
