// Files of codecs' kinds that stand in documents: the picture of a page, the sound of a report.
#pragma once
#include <string>
#include <string_view>

#include "src/data/scan.h"

namespace tw {

// Where a link of a document leads within the folder; both paths are relative to it. "" = out of it, to an address, or nowhere.
std::string linked_path(const std::string& document, std::string_view target);

// Used files that a link of a used document leads to become parts of it: of several documents the first. They are no documents of their own then.
void place_embeds(Inventory& inventory);

}  // namespace tw
