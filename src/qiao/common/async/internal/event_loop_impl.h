#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/event_loop.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include <deque>

namespace qiao {

namespace asio = boost::asio;

struct EventLoop::Impl {
    /// Two are enough: one trail sync and one resolver or state file at a time.
    static constexpr size_t kBlockingThreads = 2;

    asio::io_context io{1};
    asio::thread_pool blocking{kBlockingThreads};
    asio::executor_work_guard<asio::io_context::executor_type> guard{io.get_executor()};
    std::deque<std::coroutine_handle<>> ready;
    bool drain_posted = false;
    std::unique_ptr<asio::signal_set> signals;
    std::unique_ptr<Transport> transport;
};

std::unique_ptr<Transport> make_asio_transport(EventLoop& loop, asio::io_context& io);

}  // namespace qiao
