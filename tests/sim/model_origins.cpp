#include "model_server.h"

#include <algorithm>

// Transactions of the source that come from elsewhere, and values that are too long.
namespace qiao::sim {
namespace {

constexpr const char* kOriginPrefix = "qiao.origin";

}  // namespace

/// Behind nothing else of the transaction.
void ModelServer::say_origin(Transaction& transaction, std::string path) {
    auto& record = write(transaction, LogRecord::Kind::Message);
    record.prefix = kOriginPrefix;
    record.content = path;
    transaction.origin = std::move(path);
}

/// What the target has already, because it comes from there: a row becomes what it is.
void ModelServer::come_home() {
    auto& transaction = open_.emplace_back();
    transaction.xid = next_xid_++;
    transaction.overlay.resize(tables_.size());
    say_origin(transaction, below(2) == 0 ? home_ : "county," + home_);
    const auto table = below(tables_.size());
    for (auto rows = 1 + below(20); rows > 0; --rows) {
        const auto key = random_key(table);
        const auto row = see(transaction, table, key);
        if (row && lock(transaction, table, key)) {
            auto& record = write(transaction, LogRecord::Kind::Update);
            record.shape = shapes_[table];
            record.table = table;
            record.old_row = record.new_row = *row;
        }
    }
    commit(transaction);
}

void ModelServer::shorten(size_t most) {
    auto& transaction = open_.emplace_back();
    transaction.xid = next_xid_++;
    transaction.overlay.resize(tables_.size());
    for (size_t table = 0; table < tables_.size(); ++table) {
        for (const auto& [key, row] : committed_[table]) {
            const bool longer = std::ranges::any_of(row, [most](const Cell& cell) {
                return cell && cell->size() > most;
            });
            if (!longer) {
                continue;
            }
            auto& record = write(transaction, LogRecord::Kind::Update);
            record.shape = shapes_[table];
            record.table = table;
            record.old_row = record.new_row = row;
            for (auto& cell : record.new_row) {
                if (cell) {
                    cell->resize(std::min(cell->size(), most));
                }
            }
            transaction.overlay[table].rows[key] = record.new_row;
        }
    }
    commit(transaction);
}

}  // namespace qiao::sim
