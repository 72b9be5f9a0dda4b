// Molecules as SMILES: a token is an atom with its bracket, a bond, a branch or a ring number (smiles.h), so that a row of ids is a
// row of chemical signs. A model's molecules are judged as in MOSES (Polykovskiy et al. 2020, section 4.1): valid, unique among the valid,
// novel among those. Files: lines of SMILES, each followed by whatever stands behind white space (.smi, .smiles), and SDF with
// a field whose name holds SMILES. Each molecule is a document.
#pragma once
#include "src/codec/codec.h"

namespace tw {

extern const CodecKind kMoleculeCodec;

}  // namespace tw
