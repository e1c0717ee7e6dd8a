#include "qiao/verify/columns.h"

#include <algorithm>

namespace qiao::verify {
namespace {

using Form = drivers::CanonicalColumn::Form;
using Shape = drivers::TableReader::Shape;

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
}

bool has_key(const model::TableSchema& schema) {
    return schema.identity == model::Identity::PrimaryKey ||
           schema.identity == model::Identity::Index;
}

class Matcher {
public:
    Matcher(const TablePair& pair, const Shape& source, const Shape& target, bool skip_generated)
        : pair_(pair), source_(source), target_(target), skip_generated_(skip_generated) {}

    Plan match() {
        for (const auto& column : source_.schema.columns) {
            if (wanted(column)) {
                match(column);
            }
        }
        for (const auto& column : target_.schema.columns) {
            if (wanted(column) && !source_.schema.find_column(column.name)) {
                found(ColumnFinding::Kind::MissingAtSource, column.name, "", column.type);
            }
        }
        if (!key_complete_) {
            plan_.source.key.clear();
        }
        plan_.target.key = plan_.source.key;
        return std::move(plan_);
    }

private:
    bool wanted(const model::Column& column) const {
        const bool chosen = pair_.columns.empty() || contains(pair_.columns, column.name);
        return chosen && !(skip_generated_ && column.generated);
    }

    void match(const model::Column& column) {
        const bool key = column.key && has_key(source_.schema);
        const auto place = target_.schema.find_column(column.name);
        if (!place) {
            key_complete_ = key_complete_ && !key;
            found(ColumnFinding::Kind::MissingAtTarget, column.name, column.type, "");
            return;
        }
        const auto& other = target_.schema.columns[*place];
        if (other.type != column.type) {
            found(ColumnFinding::Kind::TypesDiffer, column.name, column.type, other.type);
        }
        const bool binary = !key && other.type == column.type &&
                            contains(source_.binary_safe, column.name) &&
                            contains(target_.binary_safe, column.name);
        if (key) {
            plan_.source.key.push_back(static_cast<uint16_t>(plan_.source.columns.size()));
        }
        const drivers::CanonicalColumn canonical{column.name, binary ? Form::Binary : Form::Text};
        plan_.source.columns.push_back(canonical);
        plan_.target.columns.push_back(canonical);
    }

    void found(
        ColumnFinding::Kind kind,
        const std::string& column,
        const std::string& source_type,
        const std::string& target_type
    ) {
        plan_.findings.push_back({kind, column, source_type, target_type});
    }

    const TablePair& pair_;
    const Shape& source_;
    const Shape& target_;
    bool skip_generated_;
    bool key_complete_ = true;
    Plan plan_;
};

}  // namespace

Result<Plan> match_columns(
    const TablePair& pair, const Shape& source, const Shape& target, const MatchOptions& options
) {
    auto plan = Matcher(pair, source, target, options.skip_generated).match();
    // A key column that was not chosen cannot name rows.
    const auto keys = source.schema.key_columns();
    if (plan.source.key.size() != keys.size()) {
        plan.source.key.clear();
        plan.target.key.clear();
    }
    if (plan.source.columns.empty()) {
        return Error(
            ErrorCode::VerifyNothingComparable,
            pair.source.to_string() + " and " + pair.target.to_string()
        );
    }
    plan.source.table = pair.source;
    plan.target.table = pair.target;
    plan.source.version_column = source.version_column;
    plan.target.version_column = target.version_column;
    plan.source.run_key = options.run_key;
    plan.target.run_key = options.run_key;
    plan.source_schema = source.schema;
    return plan;
}

}  // namespace qiao::verify
