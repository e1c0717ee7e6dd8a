#pragma once

#include "qiao/common/storage.h"
#include "qiao/model/mapping.h"

#include <string>

namespace qiao::agent {

/// The names under which a sync's tables go to the target, as its state folder keeps them from the
/// first run on: a later run that leaves one out must not write into another table. Gives those of
/// before with those of `given`, and keeps what is new.
/// Errors: common.config when a table would get another name than before, common.storage_*.
/// Spec: R-25
Task<Result<model::Mapping>> keep_names(Storage& storage, std::string folder, model::Mapping given);

/// The same without keeping anything.
Task<Result<model::Mapping>> merge_names(
    Storage& storage, std::string folder, model::Mapping given
);

}  // namespace qiao::agent
