#include "shapes.h"

#include "model_source.h"

#include <algorithm>

namespace qiao::sim {
namespace {

const drivers::TargetTable& at_target(const World& world, size_t table) {
    const auto& name = world.server.tables()[table].name;
    return world.target_database.committed().tables.at(name)->target();
}

}  // namespace

std::vector<uint32_t> columns_at_target(const World& world, size_t table) {
    std::vector<uint32_t> numbers;
    for (const auto& column : at_target(world, table).columns) {
        numbers.push_back(world.server.column_number(table, column.name));
    }
    return numbers;
}

std::vector<uint32_t> numbers_of(const World& world, size_t table, const ServerTable& shape) {
    std::vector<uint32_t> numbers;
    for (const auto& column : shape.columns) {
        numbers.push_back(world.server.column_number(table, column));
    }
    return numbers;
}

Row only_columns(
    const Row& row, const std::vector<uint32_t>& numbers, const std::vector<uint32_t>& wanted
) {
    Row only;
    for (const auto number : wanted) {
        const auto place = std::ranges::find(numbers, number) - numbers.begin();
        only.push_back(row[static_cast<size_t>(place)]);
    }
    return only;
}

bool has_shape(const World& world, size_t table) {
    const auto should = target_table(world.server.tables()[table]);
    const auto same = [](const drivers::TargetColumn& one, const drivers::TargetColumn& other) {
        return one.name == other.name && one.type == other.type;
    };
    return std::ranges::equal(at_target(world, table).columns, should.columns, same);
}

bool follow_shape(World& world, size_t table) {
    const auto& before = at_target(world, table);
    const auto& shape = world.server.tables()[table];
    std::map<std::string, std::string> names;
    for (const auto& column : shape.columns) {
        for (const auto& old : before.columns) {
            if (world.server.column_number(table, old.name) ==
                world.server.column_number(table, column)) {
                names[column] = old.name;
            }
        }
    }
    auto altered = before;
    altered.columns = target_table(shape).columns;
    return world.target_database.foreign_alter(std::move(altered), names);
}

}  // namespace qiao::sim
