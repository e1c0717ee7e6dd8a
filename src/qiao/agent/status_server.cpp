#include "qiao/agent/status_server.h"

#include "qiao/agent/internal/http_reply.h"
#include "qiao/common/async/sleep.h"

#include <nlohmann/json.hpp>

namespace qiao::agent {
namespace {

constexpr const char* kQuestions =
    "ask status, text en, text zh, reload, retry FLOW, verify {…}, verification ID or cancel ID";
constexpr Duration kTalkMost = std::chrono::seconds(5);
constexpr size_t kTalksMost = 32;
/// After a failed accept (no file descriptor left, say), so that the loop does not spin.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr size_t kQuestionBytesMost = 16384;
constexpr size_t kAnswerBytesMost = size_t{64} << 20U;
constexpr size_t kReadBytes = 4096;

std::string error_json(const Error& error) {
    const auto& info = error.info();
    const nlohmann::json object{
        {"error",
         {{"code", info.name},
          {"detail", error.detail()},
          {"cause", info.cause_en},
          {"next_step", info.next_en}}}
    };
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Task<void> StatusServer::serve_socket(Listener& listener, StopSignal& stop) {
    return accept(listener, &StatusServer::answer_line, stop);
}

Task<void> StatusServer::serve_http(Listener& listener, StopSignal& stop) {
    return accept(listener, &StatusServer::answer_http, stop);
}

Task<void> StatusServer::accept(Listener& listener, Answer answer, StopSignal& stop) {
    const auto close = [&listener] { listener.close(); };
    const StopSignal::Hook hook(stop, close);
    while (!stop.requested()) {
        auto connection = co_await listener.accept();
        if (!connection) {
            if (connection.error().is(ErrorCode::Cancelled)) {
                break;
            }
            (void)co_await sleep_for(executor_, clock_, kAcceptPause, stop);
            continue;
        }
        if (talking_ < kTalksMost) {
            ++talking_;
            scope_.spawn(talk(*std::move(connection), answer));
        }
    }
    co_await scope_.join();
}

Task<void> StatusServer::talk(std::unique_ptr<Connection> connection, Answer answer) {
    const auto timer = clock_.make_timer();
    const auto cut = [&connection] { connection->close(); };
    timer->start(clock_.now() + kTalkMost, cut);
    co_await (this->*answer)(*connection);
    timer->cancel();
    connection->close();
    --talking_;
}

Task<void> StatusServer::answer_line(Connection& connection) {
    std::string question;
    Bytes buffer(kReadBytes);
    while (question.find('\n') == std::string::npos) {
        const auto got = co_await connection.read_some(buffer);
        if (!got || question.size() > kQuestionBytesMost) {
            co_return;
        }
        question += as_text(ByteView(buffer).first(*got));
    }
    question.resize(question.find('\n'));
    const auto reply = co_await reply_to(question) + "\n";
    (void)co_await connection.write_all(as_bytes(reply));
}

std::string StatusServer::start_verification(std::string_view json) {
    auto request = VerifyRequest::parse(json);
    if (!request) {
        return error_json(request.error());
    }
    const auto id = agent_.verify(*std::move(request));
    return id ? nlohmann::json{{"run", *id}}.dump() : error_json(id.error());
}

Task<std::string> StatusServer::reply_to(std::string_view line) {
    constexpr std::string_view kRetry = "retry ";
    constexpr std::string_view kVerify = "verify ";
    constexpr std::string_view kVerification = "verification ";
    constexpr std::string_view kCancel = "cancel ";
    if (line == "status") {
        co_return to_json(agent_.status());
    }
    if (line == "text en" || line == "text zh") {
        const auto language = line == "text zh" ? Language::Chinese : Language::English;
        const nlohmann::json object{{"text", to_text(agent_.status(), language)}};
        co_return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    if (line == "reload") {
        const auto done = co_await agent_.reload();
        co_return done ? R"({"reloaded":true})" : error_json(done.error());
    }
    if (line.starts_with(kRetry)) {
        const auto done = agent_.retry(line.substr(kRetry.size()));
        co_return done ? R"({"retried":true})" : error_json(done.error());
    }
    if (line.starts_with(kVerify)) {
        co_return start_verification(line.substr(kVerify.size()));
    }
    if (line.starts_with(kVerification)) {
        const auto found = agent_.verification(line.substr(kVerification.size()));
        co_return found ? to_json(**found) : error_json(found.error());
    }
    if (line.starts_with(kCancel)) {
        const auto found = agent_.verification(line.substr(kCancel.size()));
        if (found) {
            (*found)->cancel();
        }
        co_return found ? to_json(**found) : error_json(found.error());
    }
    co_return error_json(Error(ErrorCode::Config, kQuestions));
}

Task<void> StatusServer::answer_http(Connection& connection) {
    std::string request;
    Bytes buffer(kReadBytes);
    while (request.size() <= kQuestionBytesMost) {
        const auto got = co_await connection.read_some(buffer);
        if (!got) {
            co_return;
        }
        request += as_text(ByteView(buffer).first(*got));
        if (request.find("\r\n\r\n") == std::string::npos) {
            continue;
        }
        const auto reply = internal::http_reply(request, to_prometheus(agent_.status()));
        if (reply) {
            (void)co_await connection.write_all(as_bytes(*reply));
            co_return;
        }
    }
}

Task<Result<std::string>> ask_agent(Connection& connection, std::string line) {
    line += '\n';
    const auto asked = co_await connection.write_all(as_bytes(line));
    if (!asked) {
        co_return Error(ErrorCode::AgentNotRunning, asked.error().detail());
    }
    std::string answer;
    Bytes buffer(kReadBytes * 16);
    while (answer.size() < kAnswerBytesMost) {
        const auto got = co_await connection.read_some(buffer);
        if (!got) {
            break;
        }
        answer += as_text(ByteView(buffer).first(*got));
    }
    if (!answer.ends_with('\n')) {
        co_return Error(ErrorCode::AgentNotRunning, "the answer broke off");
    }
    answer.pop_back();
    co_return answer;
}

}  // namespace qiao::agent
