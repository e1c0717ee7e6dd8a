#pragma once

#include "qiao/common/async/scope.h"
#include "qiao/verify/side.h"

#include <optional>
#include <utility>

namespace qiao::verify::internal {

template <class T>
Task<void> keep_answer(Task<Result<T>> task, std::optional<Result<T>>& answer, StopSignal& others) {
    answer.emplace(co_await std::move(task));
    if (!*answer) {
        others.request();
    }
}

/// The same call on both sides at once. When one fails the other is stopped.
template <class T, class Request>
Task<Result<std::pair<T, T>>> ask_both(
    Executor& executor,
    std::pair<Side&, Side&> sides,
    Task<Result<T>> (Side::*call)(Request, StopSignal&),
    std::pair<Request, Request> requests,
    StopSignal& stop
) {
    StopSignal either;
    const auto pass_on = [&either] { either.request(); };
    StopSignal::Hook hook(stop, pass_on);
    std::optional<Result<T>> first;
    std::optional<Result<T>> second;
    TaskScope scope(executor);
    auto ask_first = (sides.first.*call)(std::move(requests.first), either);
    auto ask_second = (sides.second.*call)(std::move(requests.second), either);
    scope.spawn(keep_answer(std::move(ask_first), first, either));
    scope.spawn(keep_answer(std::move(ask_second), second, either));
    co_await scope.join();
    // The cause, not the cancellation that it brought about.
    const bool second_is_cause = !*second && (*first || first->error().is(ErrorCode::Cancelled));
    if (second_is_cause) {
        co_return std::move(*second).error();
    }
    if (!*first) {
        co_return std::move(*first).error();
    }
    co_return std::pair<T, T>(**std::move(first), **std::move(second));
}

}  // namespace qiao::verify::internal
