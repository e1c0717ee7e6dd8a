#pragma once

#include "qiao/common/storage.h"
#include "qiao/model/table.h"

#include <map>
#include <string>

namespace qiao::capture::postgres {

using Digests = std::map<model::TableName, std::string>;  ///< of catalogue rows, by table

/// The catalogue digests that were told last, in a file, so that what happens to partitions and
/// columns while nothing runs is noticed at the next start. Source: rules 6
class KeptDigests {
public:
    KeptDigests(Storage& storage, std::string path) : storage_(storage), path_(std::move(path)) {}

    /// None when nothing was kept yet, or the file cannot be read any more: what is not known is
    /// not called changed.
    Task<Digests> load();

    /// Durable on return. Errors: common.storage_*.
    Task<Status> keep(const Digests& digests);

private:
    Storage& storage_;
    std::string path_;
};

}  // namespace qiao::capture::postgres
