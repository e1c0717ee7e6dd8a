#pragma once

#include "qiao/common/async/executor.h"
#include "qiao/common/async/stop.h"
#include "qiao/common/async/task.h"
#include "qiao/common/clock.h"
#include "qiao/common/poller.h"
#include "qiao/common/result.h"
#include "qiao/drivers/source_caps.h"
#include "qiao/drivers/url.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct pg_conn;
struct pg_result;

namespace qiao::drivers::postgres {

/// What a connection stands on. Everything outlives the connection.
struct Runtime {
    Executor& executor;
    Clock& clock;
    Poller& poller;
    SourceCaps* caps = nullptr;  ///< of the flow whose source this is; null: no bounds
};

struct ConnectOptions {
    bool replication = false;  ///< `replication=database`: simple queries only
    std::string application_name = "qiao";
    /// Session settings (rules 15); set at start-up, so they hold for COPY and decoding too.
    std::vector<std::pair<std::string, std::string>> settings;
    Duration connect_timeout = std::chrono::seconds(10);
};

/// The settings of rules 15 for a replication session, a target session and a reader.
std::vector<std::pair<std::string, std::string>> replication_settings();
std::vector<std::pair<std::string, std::string>> target_settings();
std::vector<std::pair<std::string, std::string>> reader_settings();

/// One parameter or result value.
struct Parameter {
    uint32_t type = 0;  ///< OID; 0: the server infers it
    bool null = false;
    bool binary = false;
    Bytes bytes;

    static Parameter of_text(std::string_view text);
    static Parameter of_bytes(ByteView bytes);  ///< bytea, binary
    static Parameter of_null();
};

/// Rows of a query, text format unless asked otherwise. Cheap to move; views live as long as it.
class Rows {
public:
    explicit Rows(pg_result* result);
    size_t size() const;
    size_t column_count() const;
    bool is_null(size_t row, size_t column) const;
    std::string_view text(size_t row, size_t column) const;
    uint64_t number(size_t row, size_t column) const;  ///< 0 for null
    bool flag(size_t row, size_t column) const;        ///< `t`
    /// Rows touched, of a command tag.
    uint64_t affected() const;
    /// The command tag: `COMMIT`, `UPDATE 3`.
    std::string_view command() const;

private:
    struct Clear {
        void operator()(pg_result* result) const;
    };

    std::unique_ptr<pg_result, Clear> result_;
};

enum class ResultForm : uint8_t { Text = 0, Binary = 1 };

/// One libpq connection without blocking. One operation at a time. Errors carry the catalogue code
/// that fits the SQLSTATE (see sqlstate.h), the server's message, and never a value of a row
/// (`detail` fields of the server are left out, because they quote rows).
///
/// Every wait ends with common.cancelled when the `stop` given to open() is requested. After that,
/// and after drivers.lost, the connection is dead: only its destructor makes sense.
class Connection {
public:
    /// Tries the addresses of the host in turn, each for the connect timeout. `stop` outlives the
    /// connection. Errors: drivers.connect, drivers.authentication, drivers.no_database,
    /// drivers.resource when the runtime's caps have no place left,
    /// common.config for an option that libpq does not know, common.cancelled.
    static Task<Result<std::unique_ptr<Connection>>> open(
        Runtime runtime, const DataSourceUrl& url, ConnectOptions options, StopSignal& stop
    );
    ~Connection();

    /// Several statements by the simple protocol, no result kept.
    Task<Status> execute(std::string sql);
    /// One statement with parameters by the extended protocol (simple on a replication connection,
    /// where parameters must be empty, and results are text).
    Task<Result<Rows>> query(
        std::string sql, std::vector<Parameter> parameters = {}, ResultForm form = ResultForm::Text
    );
    /// The same for a constant statement that is said often, such as a long question to the
    /// catalogue: this connection prepares it once. Not on a replication connection.
    Task<Result<Rows>> query_prepared(std::string_view sql, std::vector<Parameter> parameters);

    // COPY, in and out.
    Task<Status> begin_copy_in(std::string sql);
    /// Waits while the server does not take more.
    Task<Status> copy_in(ByteView bytes);
    Task<Result<uint64_t>> end_copy_in();
    Task<Status> begin_copy_out(std::string sql);
    /// The next message (a row, or a replication message), valid until the next call. Empty: end.
    Task<Result<std::optional<ByteView>>> copy_out();
    /// The same without waiting: an empty optional means that nothing is there now, `ended` is set
    /// at the end (then call end_copy_out). Lets a reader drain what has come with one wake-up.
    Result<std::optional<ByteView>> try_copy_out(bool& ended);
    /// The server's last word on a COPY that try_copy_out() has seen end; copy_out() calls it.
    Task<Status> end_copy_out();
    /// Waits until the socket may have more, for try_copy_out.
    Task<Status> wait_readable(Deadline deadline, StopSignal& stop);
    /// Sends a message of the copy-both protocol (a status reply) and flushes.
    Task<Status> put_copy_both(ByteView bytes);

    /// Ends what the server is doing for us, from another coroutine; the operation ends with an
    /// error. Comes too late without harm only when nothing follows: see cancel_and_wait().
    void cancel();
    /// The same, by the coroutine that owns the operation; when it returns the server has been
    /// told, so that no later statement is met.
    Task<void> cancel_and_wait();

    int server_version() const;  ///< 150020
    int backend_pid() const;
    bool alive() const;

    pg_conn* raw() { return connection_.get(); }  ///< for pipeline mode inside this folder only

    const Runtime& runtime() const { return runtime_; }

    /// Waits for and flushes output, for callers of raw().
    Task<Status> flush();
    /// Waits until PQgetResult would not block, flushing meanwhile (rules: never a deadlock).
    Task<Status> wait_result();

private:
    struct Finish {
        void operator()(pg_conn* connection) const;
    };

    Connection(Runtime runtime, StopSignal& stop) : runtime_(runtime), stop_(&stop) {}

    /// One address, until connected, refused or late.
    Task<Status> poll_until_connected(Deadline deadline);
    Task<Status> wait(Poller::Interest interest);
    /// The next result of the operation; null at its end.
    Task<Result<pg_result*>> next_result();
    /// Reads all results of a statement: the last one, or the first error.
    Task<Result<Rows>> finish_statement();
    Status sent(int ok);
    void note_statement() const;
    Error lost() const;
    std::function<void()> cancel_request() const;
    void free_copy_row();

    Runtime runtime_;
    StopSignal* stop_;
    SourceCaps::Place place_;
    MonoTime sent_at_{};  ///< of the statement that is under way
    std::unique_ptr<pg_conn, Finish> connection_;
    std::unique_ptr<Poller::Watch> watch_;                      ///< goes before the socket
    std::map<std::string, std::string, std::less<>> prepared_;  ///< names by their text
    char* copy_row_ = nullptr;
    bool replication_ = false;
    bool abandoned_ = false;  ///< stopped inside an operation: its results are still to come
};

/// `"name"` with quotes doubled, and `'text'`; for the few places where SQL takes no parameter.
std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);

}  // namespace qiao::drivers::postgres
