#include "qiao/testing/memory_transport.h"

#include "qiao/common/async/channel.h"
#include "qiao/common/async/sleep.h"

#include <algorithm>
#include <deque>

namespace qiao::testing {

/// One direction of a connection. Both ends hold it; closing it at either end wakes both.
class MemoryTransport::Pipe {
public:
    explicit Pipe(MemoryTransport& network) : network_(network), changed_(network.executor_) {}

    Task<Status> write(ByteView bytes) {
        while (!bytes.empty()) {
            while (used_ >= kPipeBytes && !closed_ && !finished_ && !swallowing_) {
                co_await changed_.wait();
            }
            if (closed_ || finished_) {
                co_return Error(ErrorCode::NetworkClosed, "cut");
            }
            if (swallowing_) {
                co_return co_await take_until_full(bytes);
            }
            const auto count = std::min({bytes.size(), kPipeBytes - used_, network_.chunk_bytes_});
            put(bytes.first(count));
            bytes = bytes.subspan(count);
        }
        co_return Status{};
    }

    Task<Result<size_t>> read(MutableByteView into) {
        while (true) {
            if (closed_) {
                co_return Error(ErrorCode::NetworkClosed, "cut");
            }
            const auto now = network_.clock_.now();
            if (pieces_.empty() && finished_ && !swallowing_) {
                co_return Error(ErrorCode::NetworkClosed, "end of stream");
            }
            if (pieces_.empty() || swallowing_) {
                co_await changed_.wait();
            } else if (pieces_.front().arrives > now) {
                co_await wait_until(pieces_.front().arrives);
            } else {
                co_return take(into);
            }
        }
    }

    void close() {
        closed_ = true;
        changed_.pulse();
    }

    /// The writer closed: what is on the way still arrives. A swallowing pipe does not tell it.
    void finish() {
        finished_ = true;
        changed_.pulse();
    }

    void swallow() {
        swallowing_ = true;
        changed_.pulse();
    }

private:
    struct Piece {
        Bytes bytes;
        size_t read = 0;
        MonoTime arrives;
    };

    void put(ByteView bytes) {
        auto& left = network_.bytes_left_;
        if (left != kNoCut) {
            const bool last = bytes.size() >= left;
            left -= std::min<uint64_t>(bytes.size(), left);
            if (last) {
                left = kNoCut;
                network_.cut();
                return;
            }
        }
        network_.bytes_carried_ += bytes.size();
        used_ += bytes.size();
        pieces_.push_back({to_bytes(bytes), 0, network_.clock_.now() + network_.delay_});
        changed_.pulse();
    }

    size_t take(MutableByteView into) {
        auto& piece = pieces_.front();
        const auto count = std::min(into.size(), piece.bytes.size() - piece.read);
        std::copy_n(piece.bytes.begin() + static_cast<ptrdiff_t>(piece.read), count, into.begin());
        piece.read += count;
        used_ -= count;
        ++network_.pieces_;
        if (piece.read == piece.bytes.size()) {
            pieces_.pop_front();
        }
        changed_.pulse();
        return count;
    }

    /// A dead peer's kernel still takes what fits into buffers; then the writer hangs.
    Task<Status> take_until_full(ByteView bytes) {
        while (used_ + bytes.size() > kPipeBytes && !closed_ && !finished_) {
            co_await changed_.wait();
        }
        if (closed_ || finished_) {
            co_return Error(ErrorCode::NetworkClosed, "cut");
        }
        used_ += bytes.size();
        co_return Status{};
    }

    Task<void> wait_until(MonoTime at) {
        const auto timer = network_.clock_.make_timer();
        const auto wake = [this] { changed_.pulse(); };
        timer->start(at, wake);
        co_await changed_.wait();
    }

    MemoryTransport& network_;
    std::deque<Piece> pieces_;
    size_t used_ = 0;
    bool closed_ = false;
    bool finished_ = false;
    bool swallowing_ = false;
    Event changed_;
};

class MemoryTransport::MemoryConnection final : public Connection {
public:
    MemoryConnection(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out, Endpoint peer)
        : in_(std::move(in)), out_(std::move(out)), peer_(std::move(peer)) {}

    ~MemoryConnection() override { MemoryConnection::close(); }

    Task<Result<size_t>> read_some(MutableByteView into) override {
        const auto pipe = in_;
        co_return co_await pipe->read(into);
    }

    Task<Status> write_all(ByteView bytes) override {
        const auto pipe = out_;
        co_return co_await pipe->write(bytes);
    }

    void close() override {
        in_->close();
        out_->finish();
    }

    Endpoint peer() const override { return peer_; }

private:
    std::shared_ptr<Pipe> in_;
    std::shared_ptr<Pipe> out_;
    Endpoint peer_;
};

class MemoryTransport::MemoryListener final : public Listener {
public:
    MemoryListener(MemoryTransport& network, uint16_t port)
        : network_(network), port_(port), waiting_(network.executor_, kBacklog) {}

    ~MemoryListener() override { MemoryListener::close(); }

    Task<Result<std::unique_ptr<Connection>>> accept() override {
        auto connection = co_await waiting_.receive();
        if (!connection) {
            co_return Error(ErrorCode::Cancelled);
        }
        co_return *std::move(connection);
    }

    void close() override {
        network_.listeners_.erase(port_);
        waiting_.close();
    }

    Endpoint local() const override { return {"memory", port_}; }

    Task<bool> offer(std::unique_ptr<Connection> connection) {
        return waiting_.send(std::move(connection));
    }

private:
    static constexpr size_t kBacklog = 1024;

    MemoryTransport& network_;
    uint16_t port_;
    Channel<std::unique_ptr<Connection>> waiting_;
};

MemoryTransport::MemoryTransport(Executor& executor, Clock& clock)
    : executor_(executor), clock_(clock) {}

MemoryTransport::~MemoryTransport() { QIAO_ASSERT(listeners_.empty()); }

Task<Result<std::unique_ptr<Connection>>> MemoryTransport::connect(
    Endpoint to, Deadline deadline, StopSignal& stop
) {
    if (delay_.count() != 0) {
        const auto arrives = std::min(deadline.at, clock_.now() + delay_);
        QIAO_CO_CHECK(co_await sleep_until(executor_, clock_, arrives, stop));
    }
    if (stop.requested()) {
        co_return Error(ErrorCode::Cancelled);
    }
    if (deadline.passed(clock_.now())) {
        co_return Error(ErrorCode::DeadlinePassed, "connecting to " + to.to_string());
    }
    const auto listener = listeners_.find(to.port);
    if (refusing_ || listener == listeners_.end()) {
        co_return Error(ErrorCode::NetworkUnreachable, to.to_string());
    }
    const auto there = std::make_shared<Pipe>(*this);
    const auto back = std::make_shared<Pipe>(*this);
    std::erase_if(pipes_, [](const auto& pipe) { return pipe.expired(); });
    pipes_.push_back(there);
    pipes_.push_back(back);
    ++connections_made_;
    const Endpoint from{"memory", static_cast<uint16_t>(connections_made_)};
    const bool taken =
        co_await listener->second->offer(std::make_unique<MemoryConnection>(there, back, from));
    if (!taken) {
        co_return Error(ErrorCode::NetworkUnreachable, to.to_string());
    }
    co_return std::make_unique<MemoryConnection>(back, there, to);
}

Result<std::unique_ptr<Listener>> MemoryTransport::listen(Endpoint at) {
    const auto port = at.port != 0 ? at.port : next_port_++;
    if (listeners_.contains(port)) {
        return Error(ErrorCode::Config, "cannot listen on " + at.to_string() + ": in use");
    }
    auto listener = std::make_unique<MemoryListener>(*this, port);
    listeners_[port] = listener.get();
    return listener;
}

void MemoryTransport::cut() {
    for (const auto& pipe : pipes_) {
        if (const auto alive = pipe.lock()) {
            alive->close();
        }
    }
}

void MemoryTransport::swallow() {
    for (const auto& pipe : pipes_) {
        if (const auto alive = pipe.lock()) {
            alive->swallow();
        }
    }
}

}  // namespace qiao::testing
