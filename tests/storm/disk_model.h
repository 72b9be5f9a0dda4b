// What may be on the disk after a power loss, given the calls that were made before it.
//
// The model (weaker than any journaling file system, so that what holds here holds on ext4, XFS, btrfs and NFS servers):
//  - A flush of a file that has returned makes all bytes and the size of the file last. It does not make its name last.
//  - A flush of a folder that has returned makes every earlier creation, rename, link and removal in it last. It does not make
//    the content of its files last, nor the name of the folder itself in the folder above.
//  - A rename is whole: after a power loss both its names have changed or neither, and a flush of either folder makes it last.
//  - Everything else is pending, and any choice of it may be on the disk, in any order: a name without its file's bytes, bytes
//    without the name, a later call without an earlier one. Pending bytes come in pages of 4 KiB; one that did not get there is
//    what the disk held before, zeros, or anything.
//  - What was flushed stays as it is: no bit rots (damage is the business of other tests), and the disk does not lie about flushes.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/storm/trace.h"

namespace tw::storm {

struct Content {
  explicit Content(std::string b);
  std::string bytes;
  uint64_t hash;
};
// Files below the root by path; a folder has no content.
using DiskState = std::map<std::string, std::shared_ptr<const Content>>;
uint64_t hash_of(const DiskState& state);

// How much of the bytes that no flush made last is there.
enum class Bytes { kept, lost, zero, noise, half, pages, some_files };

class DiskModel {
 public:
  // The root is empty before the first call.
  explicit DiskModel(uint64_t root_inode);
  // honoured = false: a flush that the disk did not do.
  void apply(const Record& record, bool honoured = true);

  // States after a power loss now: all names × bytes that are systematic (all pending names, none, each journal cut, each one
  // alone, each one missing; every choice where few are pending) and `draws` by chance. The first is "everything kept".
  void each_state(std::mt19937_64& random, int draws, const std::function<void(const DiskState&, const std::string& what)>& visit) const;
  DiskState everything_kept() const;
  size_t pending_names() const { return pending_.size(); }

 private:
  using Inode = uint64_t;  // ours: a file system gives numbers of removed files away again
  struct Effect { Inode folder; std::string name; Inode target; };  // target 0 = no entry
  struct NameCall { size_t index; std::vector<Effect> effects; };
  struct File {
    bool folder = false;
    std::shared_ptr<const Content> durable, live;
    std::vector<std::pair<int64_t, int64_t>> pending;  // ranges of live that no flush made last
  };
  struct Entry { Inode target; size_t index; };
  using Names = std::map<std::pair<Inode, std::string>, Entry>;

  Inode find(const std::string& path) const;
  std::pair<Inode, std::string> split(const std::string& path) const;
  static void set(Names& names, const NameCall& call);
  void name_call(std::vector<Effect> effects);
  Inode fresh(uint64_t real, bool folder);
  void change(Inode file, std::string bytes, int64_t begin, int64_t end);
  std::shared_ptr<const Content> content(Inode file, Bytes bytes, std::mt19937_64& random) const;
  DiskState build(const std::vector<bool>& kept, Bytes bytes, std::mt19937_64& random) const;

  size_t index_ = 0;
  Inode next_ = 2;
  std::map<uint64_t, Inode> by_real_;
  std::map<Inode, File> files_;
  Names live_, durable_;
  std::vector<NameCall> pending_;
  mutable std::map<std::pair<Inode, Bytes>, std::shared_ptr<const Content>> made_;  // since the last call
};

}  // namespace tw::storm
