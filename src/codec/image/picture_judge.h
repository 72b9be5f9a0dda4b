// What a model's pictures are worth beside those it was trained on.
#pragma once
#include <span>

#include "src/codec/codec.h"

namespace tw {

// Compared as 16 x 16 pixels. Pictures with captions: how many have the caption of the training picture that is nearest to them (a classifier by the nearest
// neighbour; Cover, Hart 1967), beside the same of training pictures, each among the others.
SampleJudgement judge_pictures(std::span<const CaptionedDocument> samples, std::span<const CaptionedFile> training);

}  // namespace tw
