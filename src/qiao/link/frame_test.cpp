#include "qiao/link/frame.h"

#include "qiao/link/two_nodes_test.h"

namespace qiao::link {
namespace {

using namespace testing;

RawFrame as_received(OutFrame frame) {
    frame.head.insert(frame.head.end(), frame.body.begin(), frame.body.end());
    ByteReader reader(frame.head);
    const auto length = reader.get<uint32_t>();
    RawFrame raw;
    raw.type = reader.get<uint8_t>();
    raw.fields = to_bytes(reader.take(field_bytes(raw.type)));
    raw.body = to_bytes(reader.rest());
    EXPECT_EQ(length, raw.fields.size() + raw.body.size());
    return raw;
}

std::string hex(const OutFrame& frame) { return to_hex(frame.head) + to_hex(frame.body); }

StreamId golden_stream() {
    StreamId id;
    for (size_t i = 0; i < id.bytes.size(); ++i) {
        id.bytes[i] = static_cast<std::byte>(0xA0 + i);
    }
    return id;
}

Digest golden_digest() {
    Digest digest;
    digest.bytes.fill(std::byte{0xDD});
    return digest;
}

LevelPoint golden_level() {
    return {AckLevel::Applied, "hub", {Epoch{1}, Sequence{7}}, golden_digest()};
}

const std::string kStream = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const std::string kPoint = "01000000000000000700000000000000";
const std::string kDigest = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
const std::string kLevel = "02" + kPoint + kDigest + "03000000" + "687562";

/// These bytes are for ever: the same as in docs/reference/formats/link.md.
TEST(LinkFormat, IsAsPublished) {
    HelloFrame hello{1, 0, 1, 6, {}, "node-a"};
    hello.incarnation.bytes.fill(std::byte{0x11});
    EXPECT_EQ(
        hex(encode(hello)),
        "3200000001"
        "51494c4b"
        "0100"
        "0000"
        "0100000000000000"
        "0600000000000000"
        "11111111111111111111111111111111"
        "06000000"
        "6e6f64652d61"
    );
    const OfferFrame offer{2, {golden_stream(), "orders", to_bytes(as_bytes("m"))}};
    EXPECT_EQ(
        hex(encode(offer)),
        "2300000002" + kStream +
            "02000000"
            "06000000"
            "6f7264657273"
            "01000000"
            "6d"
    );
    const StateFrame state{
        golden_stream(),
        2,
        0x800000,
        {{Epoch{1}, Sequence{7}}, golden_digest(), to_bytes(as_bytes("p")), 3, {golden_level()}}
    };
    EXPECT_EQ(
        hex(encode(state)),
        "8f00000003" + kStream +
            "02000000"
            "0000800000000000" +
            kPoint + kDigest +
            "03000000"
            "01000000"
            "70"
            "0100" +
            kLevel
    );
    const DataFrame data{golden_stream(), 2, {Epoch{1}, Sequence{7}}, to_bytes(as_bytes("packet"))};
    EXPECT_EQ(hex(encode(data)), "2a00000004" + kStream + "02000000" + kPoint + "7061636b6574");
    const AckFrame ack{golden_stream(), {golden_level(), to_bytes(as_bytes("s"))}};
    EXPECT_EQ(
        hex(encode(ack)),
        "4d00000005" + kStream + kLevel +
            "01000000"
            "73"
    );
    EXPECT_EQ(
        hex(encode(WindowFrame{golden_stream(), 2, 0x800000})),
        "1c00000006" + kStream +
            "02000000"
            "0000800000000000"
    );
    EXPECT_EQ(hex(encode(WithdrawFrame{golden_stream(), 2})), "1400000007" + kStream + "02000000");
    EXPECT_EQ(
        hex(encode(RefuseFrame{golden_stream(), 2, 506, "no"})),
        "1c00000008" + kStream +
            "02000000"
            "fa01"
            "02000000"
            "6e6f"
    );
    EXPECT_EQ(
        hex(encode(CallFrame{9, 0x100000, "status", to_bytes(as_bytes("x"))})),
        "1f00000009"
        "0900000000000000"
        "0000100000000000"
        "06000000"
        "737461747573"
        "01000000"
        "78"
    );
    EXPECT_EQ(
        hex(encode(ReplyFrame{9, true, 0, to_bytes(as_bytes("y"))})),
        "0c0000000a"
        "0900000000000000"
        "01"
        "0000"
        "79"
    );
    EXPECT_EQ(
        hex(encode(ReplyWindowFrame{9, 0x200000})),
        "100000000b"
        "0900000000000000"
        "0000200000000000"
    );
    EXPECT_EQ(
        hex(encode(CancelFrame{9})),
        "080000000c"
        "0900000000000000"
    );
    EXPECT_EQ(
        hex(encode(PingFrame{5})),
        "080000000d"
        "0500000000000000"
    );
    EXPECT_EQ(
        hex(encode(PongFrame{5})),
        "080000000e"
        "0500000000000000"
    );
    EXPECT_EQ(
        hex(encode(GoodbyeFrame{511, "bye"})),
        "090000000f"
        "ff01"
        "03000000"
        "627965"
    );
}

class RandomFrames {
public:
    explicit RandomFrames(uint64_t seed) : random_(seed) {}

    Frame next() {
        switch (random_() % 15) {
            case 0:
                return HelloFrame{
                    number<uint16_t>(),
                    number<uint16_t>(),
                    number<uint64_t>(),
                    number<uint64_t>(),
                    id<Incarnation>(),
                    text(256)
                };
            case 1:
                return OfferFrame{number<uint32_t>(), {id<StreamId>(), text(1024), bytes(5000)}};
            case 2:
                return StateFrame{id<StreamId>(), number<uint32_t>(), number<uint64_t>(), state()};
            case 3:
                return DataFrame{id<StreamId>(), number<uint32_t>(), place(), bytes(100'000)};
            case 4:
                return AckFrame{id<StreamId>(), {level(), bytes(1000)}};
            case 5:
                return WindowFrame{id<StreamId>(), number<uint32_t>(), number<uint64_t>()};
            case 6:
                return WithdrawFrame{id<StreamId>(), number<uint32_t>()};
            case 7:
                return RefuseFrame{
                    id<StreamId>(), number<uint32_t>(), number<uint16_t>(), text(2048)
                };
            case 8:
                return CallFrame{number<uint64_t>(), number<uint64_t>(), text(256), bytes(5000)};
            case 9:
                return ReplyFrame{number<uint64_t>(), random_() % 2 == 0, 0, bytes(5000)};
            case 10:
                return ReplyWindowFrame{number<uint64_t>(), number<uint64_t>()};
            case 11:
                return CancelFrame{number<uint64_t>()};
            case 12:
                return PingFrame{number<uint64_t>()};
            case 13:
                return PongFrame{number<uint64_t>()};
            default:
                return GoodbyeFrame{number<uint16_t>(), text(2048)};
        }
    }

    Bytes bytes(size_t most) { return random_bytes(random_, random_() % (most + 1)); }

    template <class T>
    T number() {
        return static_cast<T>(random_());
    }

private:
    std::string text(size_t most) { return std::string(random_() % (most + 1), 'x'); }

    template <class Id>
    Id id() {
        return Id::from(random_bytes(random_, Id::kSize));
    }

    StreamPoint place() { return {Epoch{number<uint64_t>()}, Sequence{number<uint64_t>()}}; }

    LevelPoint level() {
        const auto which = random_() % 2 == 0 ? AckLevel::Held : AckLevel::Applied;
        return {which, text(256), place(), id<Digest>()};
    }

    StreamState state() {
        StreamState state{place(), id<Digest>(), bytes(1000), number<uint32_t>(), {}};
        for (auto count = random_() % 5; count > 0; --count) {
            state.points.push_back(level());
        }
        return state;
    }

    std::mt19937_64 random_;
};

struct Encode {
    OutFrame operator()(const SkippedFrame& /*frame*/) const { return {}; }

    template <class AnyFrame>
    OutFrame operator()(const AnyFrame& frame) const {
        return encode(frame);
    }
};

struct Equal {
    template <class Left, class Right>
    bool operator()(const Left& /*left*/, const Right& /*right*/) const {
        return false;
    }

    template <class Same>
        requires std::equality_comparable<Same>
    bool operator()(const Same& left, const Same& right) const {
        return left == right;
    }
};

TEST(LinkFormat, ReadsBackWhatWasWritten) {
    RandomFrames frames(11);
    for (int i = 0; i < 2000; ++i) {
        const auto frame = frames.next();
        const auto again = decode(as_received(std::visit(Encode{}, frame)));
        ASSERT_TRUE(again) << again.error().to_string();
        ASSERT_TRUE(std::visit(Equal{}, frame, *again)) << "type index " << frame.index();
    }
}

TEST(LinkFormat, RefusesEveryTruncation) {
    RandomFrames frames(12);
    for (int i = 0; i < 300; ++i) {
        const auto frame = frames.next();
        auto raw = as_received(std::visit(Encode{}, frame));
        if (field_bytes(raw.type) != 0) {
            continue;  // the rest is opaque, of any length
        }
        raw.body.resize(frames.number<size_t>() % raw.body.size());
        ASSERT_FALSE(decode(raw)) << "type " << int{raw.type} << ", " << raw.body.size();
    }
}

TEST(LinkFormat, IgnoresFieldsThatALaterMinorVersionAdds) {
    auto raw = as_received(encode(PingFrame{5}));
    raw.body.push_back(std::byte{1});
    const auto frame = decode(std::move(raw));
    ASSERT_TRUE(frame);
    EXPECT_EQ(std::get<PingFrame>(*frame).sent_ns, 5U);
}

TEST(LinkFormat, CutsLongDetailsBetweenCharacters) {
    std::string detail;
    for (int i = 0; i < 1000; ++i) {
        detail += "桥";
    }
    const auto frame = decode(as_received(encode(GoodbyeFrame{500, detail})));
    ASSERT_TRUE(frame);
    const auto& heard = std::get<GoodbyeFrame>(*frame).detail;
    EXPECT_EQ(heard.size() % std::string("桥").size(), 0U);
    EXPECT_EQ(heard, detail.substr(0, heard.size()));
}

}  // namespace
}  // namespace qiao::link
