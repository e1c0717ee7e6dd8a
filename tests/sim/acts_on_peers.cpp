#include "qiao/link/frame.h"

#include "performance.h"

#include <algorithm>

// Somebody who speaks to a node's port, and does not keep to the rules. With certificates nobody
// gets so far whose name the node does not expect.
namespace qiao::sim {
namespace {

constexpr uint16_t kPort = 7440;

Bytes joined(const link::OutFrame& frame) {
    auto bytes = frame.head;
    bytes.insert(bytes.end(), frame.body.begin(), frame.body.end());
    return bytes;
}

link::HelloFrame hello_of(std::string name, uint64_t chance) {
    link::HelloFrame hello;
    hello.node_name = std::move(name);
    hello.minor = static_cast<uint16_t>(chance % 2);
    return hello;
}

/// A frame that says nothing true: of any type, cut short or too long.
Bytes noise(std::mt19937_64& random) {
    ByteWriter out;
    const auto size = random() % 40;
    out.put(static_cast<uint32_t>(size));
    out.put(static_cast<uint8_t>(random() % 18));
    for (uint64_t i = 0; i < size; ++i) {
        out.put(static_cast<uint8_t>(random() % 4 == 0 ? random() : 0));
    }
    return to_bytes(out.view());
}

/// What comes in front of everything else.
Bytes greeting(const std::string& name, uint64_t kind, std::mt19937_64& random) {
    auto hello = hello_of(name, kind);
    if (kind == 0) {
        return noise(random);
    }
    if (kind == 1) {
        hello.major = 9;
    } else if (kind == 2) {
        hello.features_required = 1ULL << 60U;
    } else if (kind == 3) {
        hello.node_name = "somebody";
    } else if (kind == 4) {
        return joined(link::encode(link::GoodbyeFrame{}));
    }
    return joined(link::encode(hello));
}

void append(Bytes& bytes, const link::OutFrame& frame) {
    const auto more = joined(frame);
    bytes.insert(bytes.end(), more.begin(), more.end());
}

/// Calls of something that there is: more at once than are answered, or one twice.
Bytes many_calls(std::mt19937_64& random) {
    constexpr uint64_t kAnswered = 64;
    const bool twice = random() % 3 == 0;
    ByteWriter argument;
    argument.put_sized(World::flow_name());
    const auto about = to_bytes(argument.view());
    Bytes bytes;
    for (uint64_t i = 1; i <= kAnswered + 10; ++i) {
        const auto number = twice ? 1 : i;
        append(bytes, link::encode(link::CallFrame{number, 1, "flow.state", about}));
        append(bytes, link::encode(link::ReplyWindowFrame{number, random() % 1000}));
        if (i % 4 == 0) {
            append(bytes, link::encode(link::CancelFrame{number}));
        }
    }
    return bytes;
}

/// Streams of nobody, and packets that nobody has asked for.
Bytes many_offers(StreamId stream, std::mt19937_64& random) {
    Bytes bytes;
    for (uint32_t i = 1; i < 4; ++i) {
        link::StreamOffer offer;
        offer.stream = random() % 2 == 0 ? stream : StreamId{};
        offer.label = "nobody's";
        offer.metadata = Bytes(random() % 20);
        append(bytes, link::encode(link::OfferFrame{i, offer}));
        if (random() % 3 == 0) {
            append(bytes, link::encode(link::DataFrame{offer.stream, i, {}, Bytes(random() % 50)}));
        }
        if (random() % 3 == 0) {
            append(bytes, link::encode(link::WithdrawFrame{offer.stream, i}));
        }
    }
    return bytes;
}

/// Behind a greeting that was right.
Bytes speech(uint64_t kind, StreamId stream, std::mt19937_64& random) {
    switch (kind % 8) {
        case 0:
            return joined(link::encode(hello_of("city", 1)));
        case 1:
            return joined(link::encode(link::CallFrame{1, 100, "no.such.method", {}}));
        case 2:
            return joined(link::encode(link::CancelFrame{random() % 3}));
        case 3:
            return joined(link::encode(link::ReplyWindowFrame{random() % 3, 100}));
        case 4:
            return joined(link::encode(link::WindowFrame{{}, 1, 100}));
        case 5:
            return many_calls(random);
        case 6:
            return many_offers(stream, random);
        default:
            return noise(random);
    }
}

}  // namespace

Performance::~Performance() {
    while (speaking_ != 0 && world_.clock.step()) {
    }
}

void Performance::make_noise(const Act& act) {
    ++speaking_;
    noises_.spawn(make_noise(act.a, act.b));
}

Task<void> Performance::make_noise(uint64_t what, uint64_t chance) {
    co_await speak(what, chance);
    --speaking_;
}

Task<void> Performance::speak(uint64_t what, uint64_t chance) {
    std::mt19937_64 random(chance);
    StopSignal stop;
    const auto deadline = Deadline{world_.clock.now() + seconds(5)};
    auto connection = co_await world_.network.connect({"province", kPort}, deadline, stop);
    if (!connection) {
        co_return;
    }
    // Half of them have the name of a node that is expected.
    const std::string name = chance % 2 == 0 ? "city" : "stranger";
    link::PlainAuthenticator authenticator(world_.clock, name);
    auto known = co_await authenticator.authenticate(
        *std::move(connection), crypto::TlsRole::Client, deadline, stop
    );
    if (!known) {
        co_return;
    }
    auto& line = *known->connection;
    const auto timer = world_.clock.make_timer();
    timer->start(deadline.at, [&line] { line.close(); });
    auto done = co_await line.write_all(greeting(name, what % 12, random));
    for (auto words = chance / 2 % 8; done && words > 0; --words) {
        done = co_await line.write_all(speech(random(), world_.stream(), random));
    }
    Bytes heard(1000);
    while (done) {
        const auto got = co_await line.read_some(heard);
        done = got && *got > 0 ? Status{} : Status(Error(ErrorCode::NetworkClosed));
    }
    line.close();
}

}  // namespace qiao::sim
