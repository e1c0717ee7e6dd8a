#include "qiao/drivers/adoption.h"

#include <algorithm>

namespace qiao::drivers {
namespace {

using model::Column;
using model::TableSchema;
using Kind = AdoptionStep::Kind;

const TargetColumn* find(const TargetTable& target, const std::string& name) {
    const auto met = std::ranges::find(target.columns, name, &TargetColumn::name);
    return met == target.columns.end() ? nullptr : &*met;
}

const Column* find(const TableSchema& schema, const std::string& name) {
    const auto met = std::ranges::find(schema.columns, name, &Column::name);
    return met == schema.columns.end() ? nullptr : &*met;
}

bool is_built_in(std::string_view type) { return type.starts_with("pg_catalog."); }

bool same_type(const auto& one, const auto& other) {
    return one.type == other.type && one.modifier == other.modifier;
}

std::vector<std::string> key_names(const TableSchema& schema) {
    std::vector<std::string> names;
    for (const auto place : schema.key_columns()) {
        names.push_back(schema.columns[place].name);
    }
    return names;
}

class Adoption {
public:
    Adoption(const TableSchema& before, const TableSchema& now, const TargetTable& target)
        : before_(before), now_(now), target_(target) {}

    std::vector<AdoptionStep> take() {
        columns_that_went();
        for (const auto& column : now_.columns) {
            const auto* was = find(before_, column.name);
            if (was == nullptr) {
                column_that_came(column);
            } else {
                column_that_stayed(*was, column);
            }
        }
        key();
        return std::move(steps_);
    }

private:
    /// A column under another name stands where it stood.
    void columns_that_went() {
        for (size_t i = 0; i < before_.columns.size(); ++i) {
            const auto& column = before_.columns[i];
            if (find(now_, column.name) != nullptr) {
                continue;
            }
            const bool renamed = before_.columns.size() == now_.columns.size() &&
                                 find(before_, now_.columns[i].name) == nullptr &&
                                 same_type(column, now_.columns[i]);
            if (renamed) {
                renamed_.emplace_back(column.name, now_.columns[i].name);
            }
            if (find(target_, column.name) == nullptr) {
                continue;
            }
            if (!renamed) {
                steps_.push_back({Kind::Drop, column.name, {}, {}});
            } else if (find(target_, now_.columns[i].name) == nullptr) {
                steps_.push_back({Kind::Rename, column.name, now_.columns[i], {}});
            }
        }
    }

    void column_that_came(const Column& column) {
        const bool by_rename = std::ranges::any_of(steps_, [&](const AdoptionStep& step) {
            return step.kind == Kind::Rename && step.to.name == column.name;
        });
        if (!by_rename && !column.generated && find(target_, column.name) == nullptr) {
            steps_.push_back({Kind::Add, column.name, column, {}});
        }
    }

    void column_that_stayed(const Column& was, const Column& is) {
        const auto* there = find(target_, is.name);
        if (there == nullptr || there->generated) {
            return;
        }
        // A log can call a domain by the type below it.
        const bool comparable = is_built_in(was.type) == is_built_in(is.type);
        if (comparable && !same_type(was, is) && same_type(was, *there)) {
            steps_.push_back({Kind::Type, is.name, is, {}});
        }
    }

    /// Before the key follows, its columns must.
    void key() {
        auto was = key_names(before_);
        for (auto& name : was) {
            for (const auto& [from, to] : renamed_) {
                name = name == from ? to : name;
            }
        }
        auto there = target_.primary_key;
        for (auto& name : there) {
            for (const auto& [from, to] : renamed_) {
                name = name == from ? to : name;
            }
        }
        const auto is = key_names(now_);
        if (now_.identity == model::Identity::PrimaryKey && is != was && there == was) {
            steps_.push_back({Kind::Key, {}, {}, is});
        }
    }

    const TableSchema& before_;
    const TableSchema& now_;
    const TargetTable& target_;
    std::vector<std::pair<std::string, std::string>> renamed_;
    std::vector<AdoptionStep> steps_;
};

}  // namespace

std::vector<AdoptionStep> adoption_steps(
    const TableSchema& before, const TableSchema& now, const TargetTable& target
) {
    return Adoption(before, now, target).take();
}

bool fits(const TableSchema& shape, const TargetTable& target) {
    return std::ranges::all_of(shape.columns, [&](const Column& column) {
        const auto* there = find(target, column.name);
        return column.generated || (there != nullptr && same_type(column, *there));
    });
}

}  // namespace qiao::drivers
