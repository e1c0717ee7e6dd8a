#pragma once

#include "qiao/common/async/event.h"
#include "qiao/common/async/task.h"

#include <cstddef>
#include <deque>
#include <optional>

namespace qiao {

/// A bounded queue between two stages of one executor. A full channel suspends its sender: that is
/// back-pressure. The capacity is counted in `weight` units (items by default, bytes if the sender
/// says so); one item heavier than the whole capacity passes alone.
template <class T>
class Channel {
public:
    Channel(Executor& executor, size_t capacity)
        : capacity_(capacity), readable_(executor), writable_(executor) {}

    /// Waits for room. False: the channel was closed and the item is dropped.
    Task<bool> send(T item, size_t weight = 1) {
        while (!closed_ && used_ != 0 && used_ + weight > capacity_) {
            co_await writable_.wait();
        }
        if (closed_) {
            co_return false;
        }
        used_ += weight;
        items_.push_back({std::move(item), weight});
        readable_.pulse();
        co_return true;
    }

    /// Waits for an item. Empty: closed, and everything sent before has been received.
    Task<std::optional<T>> receive() {
        while (items_.empty() && !closed_) {
            co_await readable_.wait();
        }
        co_return try_receive();
    }

    /// The next item if one is there now.
    std::optional<T> try_receive() {
        if (items_.empty()) {
            return std::nullopt;
        }
        auto entry = std::move(items_.front());
        items_.pop_front();
        used_ -= entry.weight;
        writable_.pulse();
        return std::move(entry.item);
    }

    /// No more items are taken; those inside can still be received. May be called twice.
    void close() {
        closed_ = true;
        readable_.pulse();
        writable_.pulse();
    }

    bool closed() const { return closed_; }

    size_t size() const { return items_.size(); }

    size_t used() const { return used_; }

private:
    struct Entry {
        T item;
        size_t weight;
    };

    size_t capacity_;
    size_t used_ = 0;
    bool closed_ = false;
    std::deque<Entry> items_;
    Event readable_;
    Event writable_;
};

}  // namespace qiao
