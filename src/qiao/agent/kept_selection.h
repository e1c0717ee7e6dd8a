#pragma once

#include "qiao/common/storage.h"
#include "qiao/model/selection.h"

#include <string>

namespace qiao::agent {

/// What of its tables a sync carries, as its state folder keeps it: a later run that does not say
/// it again must not send more than before. Columns and condition that are `given` take the place
/// of those that are kept; the column `*` and the condition `true` mean the whole table again.
/// Errors: common.config when the file is damaged, common.storage_*. Spec: R-12. Source: rules 25
Task<Result<model::Selection>> merge_selection(
    Storage& storage, std::string folder, model::Selection given
);

/// The same, and keeps it.
Task<Result<model::Selection>> keep_selection(
    Storage& storage, std::string folder, model::Selection given
);

}  // namespace qiao::agent
