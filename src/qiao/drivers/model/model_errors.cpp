#include "qiao/drivers/model/model_session.h"

#include <algorithm>

// What is laid aside of a stream.
namespace qiao::drivers::model_db {

Task<Status> ModelSession::save_error(StreamId stream, ErrorRow row) {
    QIAO_CO_CHECK(enter(true));
    // As a sequence: a number that was rolled back does not come again.
    row.number = ++database_.last_error_;
    backend_->view.errors.insert(row.number);
    backend_->view.state.errors.emplace(row.number, std::pair(stream, std::move(row)));
    co_return Status{};
}

Task<Result<OpenErrors>> ModelSession::open_errors(StreamId stream) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    OpenErrors open;
    std::set<ErrorKey> keys;
    for (const auto& [number, error] : visible().errors) {
        if (error.first == stream) {
            ++open.rows[error.second.table];
            for (const auto& key : error.second.keys) {
                keys.insert({error.second.table, key});
            }
        }
    }
    open.keys.assign(keys.begin(), keys.end());
    co_return open;
}

Task<Result<std::vector<ErrorRow>>> ModelSession::read_errors(StreamId stream, ErrorRange range) {
    QIAO_CO_CHECK(enter(backend_ != nullptr));
    std::vector<ErrorRow> rows;
    size_t bytes = 0;
    const auto& errors = visible().errors;
    for (auto it = errors.upper_bound(range.after); it != errors.end(); ++it) {
        const auto& [owner, row] = it->second;
        if (owner != stream || (range.table && row.table != *range.table)) {
            continue;
        }
        if (rows.size() == range.rows_most || (!rows.empty() && bytes >= range.bytes_most)) {
            break;
        }
        bytes += row.sealed_change.size();
        rows.push_back(row);
        rows.back().keys.clear();
    }
    co_return rows;
}

Task<Status> ModelSession::drop_errors(StreamId stream, std::vector<uint64_t> numbers) {
    QIAO_CO_CHECK(enter(true));
    auto& errors = backend_->view.state.errors;
    for (const auto number : numbers) {
        const auto met = errors.find(number);
        if (met != errors.end() && met->second.first == stream) {
            errors.erase(met);
            backend_->view.errors.insert(number);
        }
    }
    co_return Status{};
}

Task<Result<std::vector<std::vector<std::string>>>> ModelSession::drop_errors(
    StreamId stream, model::TableName table, std::string key
) {
    std::vector<uint64_t> numbers;
    std::vector<std::vector<std::string>> dropped;
    for (const auto& [number, error] : visible().errors) {
        const auto& row = error.second;
        const bool has_key = key.empty() || std::ranges::find(row.keys, key) != row.keys.end();
        if (error.first == stream && row.table == table && has_key) {
            numbers.push_back(number);
            if (!key.empty()) {
                dropped.push_back(row.keys);
            }
        }
    }
    QIAO_CO_CHECK(co_await drop_errors(stream, std::move(numbers)));
    co_return dropped;
}

Task<Status> ModelSession::note_error(
    StreamId stream, uint64_t number, std::string code, std::string detail
) {
    QIAO_CO_CHECK(enter(true));
    const auto met = backend_->view.state.errors.find(number);
    if (met != backend_->view.state.errors.end() && met->second.first == stream) {
        met->second.second.code = std::move(code);
        met->second.second.detail = std::move(detail);
        backend_->view.errors.insert(number);
    }
    co_return Status{};
}

}  // namespace qiao::drivers::model_db
