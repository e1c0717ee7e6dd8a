#pragma once

#include "qiao/capture/data_source.h"
#include "qiao/common/async/event.h"
#include "qiao/drivers/model/model_table.h"
#include "qiao/testing/manual_world.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

// A source database in memory with one table, a random history and the manners of a log: it
// forgets what was confirmed, beats, and loses connections.
namespace qiao::agent::testing {

using drivers::model_db::Row;
using qiao::testing::ManualWorld;

class LivingSource {
public:
    LivingSource(ManualWorld& world, std::string table, uint64_t seed);

    /// The same database as the processes of another world find it.
    std::unique_ptr<LivingSource> in(ManualWorld& world) const;

    const model::TableSchema& schema() const { return schema_; }

    drivers::TargetTable target_table() const;

    /// One transaction of some random changes; also before capture begins.
    void commit_random();
    /// One row with this key and value.
    void insert(int key, const std::string& value);

    /// Rows as a target must have them at a position, sorted.
    std::vector<Row> rows_at(const model::SourcePosition& position) const;

    std::vector<Row> rows() const { return rows_at(end()); }

    model::SourcePosition end() const { return position(log_.size()); }

    /// Somebody has thrown away what the source kept for its reader.
    void forget() { confirmed_ = end(); }

    /// What the source was told that it may forget.
    const model::SourcePosition& confirmed() const { return confirmed_; }

    /// Each pump fails with this chance, in a thousandth.
    uint32_t lost = 0;
    uint64_t sessions = 0;
    /// Until it says that it cannot go on.
    Duration hesitates{};
    Duration beat = std::chrono::seconds(10);

    std::unique_ptr<capture::DataSource> open();

private:
    friend class LivingStream;
    friend class LivingSnapshot;
    friend class LivingDataSource;

    struct Entry {
        bool heartbeat = false;
        WallTime at;
        std::vector<model::Change> changes;
        std::shared_ptr<std::deque<Bytes>> images;
        std::map<int, std::string> after;
    };

    static model::SourcePosition position(size_t number) {
        return number == 0 ? model::SourcePosition{}
                           : model::SourcePosition::lsn(7, 1, number * 100);
    }

    /// How many entries lie at or before a position.
    static size_t count_until(const model::SourcePosition& position);

    void begin();
    void put(model::Op op, int key, const std::string& value);
    void commit();
    void add_heartbeat();

    ManualWorld& world_;
    std::mt19937_64 random_;
    model::TableSchema schema_;
    std::map<int, std::string> now_;
    std::optional<Entry> open_;
    std::vector<Entry> log_;
    bool prepared_ = false;
    model::SourcePosition confirmed_;
    Event changed_;
};

}  // namespace qiao::agent::testing
