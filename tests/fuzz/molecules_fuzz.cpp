// Lines of SMILES or an SDF; what begins with "{" is a codebook.
#include <algorithm>
#include <vector>

#include "src/codec/molecule/molecule_codec.h"
#include "src/codec/molecule/smiles.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

struct Documents final : CodecSink {
  void ids(std::span<const int32_t> some) override { all.back().insert(all.back().end(), some.begin(), some.end()); }
  void end_document() override { all.emplace_back(); }
  void note(std::string text) override { expect(text.size() < 1000, "a note is a sentence"); }
  std::vector<std::vector<int32_t>> all = {{}};
};

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(molecules) {
  static const Folder folder;
  if (input.starts_with("{")) return use(kMoleculeCodec.load(folder.write("molecule.json", input)).get());
  const auto path = folder.write("molecules.smi", input);
  const auto codec = kMoleculeCodec.train({&path, 1}, {});
  const CodecContent content = kMoleculeCodec.inspect(input);
  Documents documents;
  codec->encode(input, documents);
  expect(int64_t(documents.all.size()) <= content.units, "no more molecules than there are");
  SmilesReader reader;
  for (const auto& ids : documents.all) {
    const std::string smiles = codec->decode(ids);
    expect(reader.read(std::string_view(smiles).substr(0, smiles.size() - 1)).empty(), "a molecule stays one");
    const Molecule& m = reader.molecule();
    for (const Molecule::Bond& b : m.bonds) expect(b.from >= 0 && b.to >= 0 && size_t(std::max(b.from, b.to)) < m.atoms.size(), "a bond is between two atoms");
    expect(m.rings() >= 0 && m.weight() >= 0, "numbers of a molecule");
    const uint64_t identity = m.identity();
    use(&identity);
    Documents again;
    codec->encode(smiles, again);
    expect(again.all.front() == ids, "a molecule comes back");
  }
}
