// Names in a token file (docs/token_file.md), shared by reader and writer.
#pragma once

namespace tw {

inline constexpr const char* kFormat = "tokenwerk token file";
inline constexpr int kVersion = 3;  // 1 has no kEodName, 3 alone kUntrainedName; written is the least that holds what there is

// Attributes of the file.
inline constexpr const char* kFormatName = "format";
inline constexpr const char* kVersionName = "version";
inline constexpr const char* kTokenizerName = "tokenizer";
inline constexpr const char* kVocabName = "vocab_size";
inline constexpr const char* kSourceBytesName = "source_bytes";
inline constexpr const char* kEodName = "eod";
inline constexpr const char* kSumName = "tokens_xxh3";
inline constexpr const char* kIndexSumName = "documents_xxh3";

// Datasets. The sum of the index goes over all but the first, in this order.
inline constexpr const char* kTokensName = "tokens";
inline constexpr const char* kEndName = "document_end";
inline constexpr const char* kBytesName = "document_bytes";
inline constexpr const char* kShaName = "document_sha256";
inline constexpr const char* kPathName = "document_path";
inline constexpr const char* kPathEndName = "document_path_end";
inline constexpr const char* kLicenceName = "document_licence";
inline constexpr const char* kLicenceEndName = "document_licence_end";
inline constexpr const char* kUntrainedName = "untrained_begin";
inline constexpr const char* kUntrainedEndName = "untrained_end";

}  // namespace tw
