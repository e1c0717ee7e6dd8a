#pragma once

#include "qiao/drivers/postgres/connection.h"
#include "qiao/drivers/structure.h"

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace qiao::drivers::postgres::structure {

/// A row of a system catalogue: `pg_class`, 16384.
struct ObjectId {
    std::string catalogue;
    uint32_t oid = 0;
    auto operator<=>(const ObjectId&) const = default;
};

/// One thing that a table stands on, or a part of it that is made by a statement of its own.
struct Object {
    ObjectId id;
    std::string kind;      ///< as pg_identify_object tells: `table`, `type`, `default value`
    std::string identity;  ///< `public.person`; quoted where SQL wants it
    char sort = ' ';       ///< relkind, typtype, prokind, contype
    bool chosen = false;   ///< of tables: chosen, or a partition of a chosen one
    std::vector<ObjectId> needs;
    /// What stands in the way: itself, or something that it needs. Null: it can be brought.
    const Object* obstacle = nullptr;
};

/// Everything that chosen tables need, followed through the catalogue's own dependencies until
/// built-in objects and members of extensions are met. Tables that were not chosen are not
/// followed: what needs them cannot be brought.
class Closure {
public:
    Closure() = default;
    Closure(Closure&&) = default;
    Closure& operator=(Closure&&) = default;
    Closure(const Closure&) = delete;  // it points into itself
    Closure& operator=(const Closure&) = delete;
    ~Closure() = default;

    /// @param tables  OIDs of the chosen tables; partitions of theirs join by themselves.
    /// `connection` is in a transaction that sees the catalogue.
    static Task<Result<Closure>> read(Connection& connection, std::vector<uint32_t> tables);

    /// All objects that can be brought, those needed by others first.
    const std::vector<const Object*>& in_order() const { return order_; }

    /// OIDs of the objects of one catalogue that can be brought, as an array literal.
    std::string array_of(std::string_view catalogue) const;
    /// Tables that are made, as an array literal.
    std::string table_array() const;
    /// What the closure leaves out by itself.
    std::vector<LeftOut> left_out() const;

private:
    void find_obstacles();
    void sort();
    bool shows_elsewhere(const Object& object) const;
    void visit(const Object& object, std::map<ObjectId, int>& marks);

    std::map<ObjectId, Object> objects_;
    std::vector<const Object*> order_;
};

}  // namespace qiao::drivers::postgres::structure
