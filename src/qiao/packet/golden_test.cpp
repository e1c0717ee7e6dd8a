#include "qiao/testing/golden.h"

#include "qiao/crypto/golden_keys_test.h"
#include "qiao/packet/bodies.h"
#include "qiao/packet/rows.h"
#include "qiao/packet/seal.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

/// golden/*.hex was written by format 1.0 and must stay readable for ever: headers, bodies, and two
/// packets of a stream, a key and rows that it opens. The worked example of
/// docs/reference/formats/packet.md is taken from there.
namespace qiao::packet {
namespace {

using model::SourcePosition;

Bytes from_hex(std::string_view text) {
    Bytes bytes;
    std::string digits;
    for (const char digit : text) {
        if (digit == ' ' || digit == '\n') {
            continue;
        }
        digits += digit;
        if (digits.size() == 2) {
            bytes.push_back(static_cast<std::byte>(std::stoi(digits, nullptr, 16)));
            digits.clear();
        }
    }
    EXPECT_TRUE(digits.empty());
    return bytes;
}

/// 32 bytes a line, as the golden files have it.
std::string to_lines(ByteView bytes) {
    constexpr size_t kBytesOfLine = 32;
    std::string text;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kBytesOfLine))) {
        text += to_hex(bytes.first(std::min(bytes.size(), kBytesOfLine))) + "\n";
    }
    return text;
}

Bytes read_golden(const std::string& name) {
    std::ifstream in(testing::golden_folder("packet") + "/" + name + ".hex");
    EXPECT_TRUE(in) << name;
    return from_hex(std::string((std::istreambuf_iterator<char>(in)), {}));
}

template <class Id>
Id filled(int byte) {
    Id id;
    id.bytes.fill(static_cast<std::byte>(byte));
    return id;
}

SourcePosition at(uint64_t lsn) { return SourcePosition::lsn(7'000'000'000'000'000'001, 1, lsn); }

model::TableSchema person() {
    return {
        {"public", "person"},
        model::Identity::PrimaryKey,
        {{.name = "id", .type = "pg_catalog.int8", .type_id = 20, .key = true, .not_null = true},
         {.name = "name",
          .type = "pg_catalog.varchar",
          .type_id = 1043,
          .modifier = 24,
          .collation = "pg_catalog.zh-x-icu"},
         {.name = "length", .type = "pg_catalog.int4", .type_id = 23, .generated = true}}
    };
}

Bytes row(std::string_view id, std::string_view name) {
    return std::move(model::TupleBuilder(3).text(id).text(name).null()).take();
}

model::Change change(model::Op op) {
    model::Change change;
    change.op = op;
    change.schema = person().id();
    return change;
}

/// Two transactions: one of each kind of change, and a TRUNCATE of two tables.
Bytes rows_body() {
    RowsBuilder builder;
    model::TransactionHead head{742, at(0x16B3748), at(0x16B3778), {1'767'225'600'000'000}};
    builder.begin(head, 0);
    const auto first = row("1", "张三");
    auto insert = change(model::Op::Insert);
    insert.new_row = *model::Tuple::parse(first);
    builder.change(insert);
    const auto second = std::move(model::TupleBuilder(3).text("2").unchanged().null()).take();
    auto update = change(model::Op::Update);
    update.sub_xid = 743;
    update.old_image = model::OldImage::Key;
    update.old_row = *model::Tuple::parse(first);
    update.new_row = *model::Tuple::parse(second);
    builder.change(update);
    auto erase = change(model::Op::Delete);
    erase.old_image = model::OldImage::Full;
    erase.old_row = *model::Tuple::parse(first);
    builder.change(erase);
    builder.commit(head);

    head = {744, at(0x16B3800), at(0x16B3830), {1'767'225'600'000'500}};
    builder.begin(head, 0);
    auto truncate = change(model::Op::Truncate);
    truncate.more_tables = {filled<model::SchemaId>(0x5C)};
    truncate.restart_identity = true;
    builder.change(truncate);
    builder.commit(head);
    return builder.take();
}

/// One transaction with one insert: the body of the worked example.
Bytes small_rows_body() {
    RowsBuilder builder;
    const model::TransactionHead head{742, at(0x16B3748), at(0x16B3778), {1'767'225'600'000'000}};
    builder.begin(head, 0);
    const auto first = row("1", "张三");
    auto insert = change(model::Op::Insert);
    insert.new_row = *model::Tuple::parse(first);
    builder.change(insert);
    builder.commit(head);
    return builder.take();
}

SchemaBody schema_body() { return {{person()}}; }

HeartbeatBody heartbeat_body() {
    using Kind = model::TableNotice::Kind;
    const auto position = at(0x16B3900);
    return {
        {1'767'225'601'000'000},
        position,
        {{Kind::CatalogueChanged, {"public", "t"}, position},
         {Kind::Proven, {"public", "u"}, at(0x16B3800)}}
    };
}

EpochBody epoch_body() {
    return {
        "state_lost",
        "7000000000000000001/1",
        {{1}, {9}},
        filled<Digest>(0xD9),
        at(0x16B3748),
        Gap::Possible
    };
}

LoadChunkBody load_chunk_body() {
    LoadChunkBody body;
    body.schema = person().id();
    body.part = 1;
    body.parts = 4;
    body.chunk = 2;
    body.last = true;
    body.format = 2;
    body.row_count = 1;
    body.joined_at = at(0x16B3700);
    body.rows = as_bytes("1\t张三\n");
    return body;
}

/// Every field has a value of its own.
OriginHeader full_origin() {
    OriginHeader origin;
    origin.optional_features = uint64_t{1} << 63U;
    origin.kind = Kind::Rows;
    origin.stream = filled<StreamId>(0x51);
    origin.source = "7000000000000000001/1 shop";
    origin.epoch = {2};
    origin.sequence = {42};
    origin.previous_sequence = {41};
    origin.previous_digest = filled<Digest>(0xD4);
    origin.first = at(0x16B3700);
    origin.last = at(0x16B3800);
    origin.transaction_flags = kBeginsInside | kEndsInside;
    origin.fragment_xid = 742;
    origin.fragment = 3;
    origin.counts = {1, 2, 3, 4, 5};
    origin.event_first = {1'767'225'600'000'000};
    origin.event_last = {1'767'225'600'000'500};
    origin.captured = {1'767'225'600'001'000};
    origin.trace = filled<TraceId>(0x77);
    origin.path = {"unit-a", "hub"};
    origin.hop_limit = 7;
    origin.generation = 6;
    origin.addressee = "centre";
    return origin;
}

HopHeader full_hop() {
    HopHeader hop;
    hop.route = filled<decltype(hop.route)>(0x60);
    hop.projection = filled<decltype(hop.projection)>(0x61);
    hop.suite = crypto::SuiteId::Intl;
    hop.key = crypto::golden::key_id();
    hop.nonce.fill(std::byte{0x0E});
    hop.compression = Compression::Zstd;
    hop.raw_bytes = 1000;
    hop.sealed_bytes = 600;
    hop.received = {1'767'225'600'002'000};
    hop.sent = {1'767'225'600'003'000};
    return hop;
}

OriginHeader example_origin(Kind kind, uint64_t sequence) {
    OriginHeader origin;
    origin.kind = kind;
    origin.stream = filled<StreamId>(0x51);
    origin.source = "shop";
    origin.epoch = {1};
    origin.sequence = {sequence};
    origin.previous_sequence = {sequence - 1};
    origin.captured = {1'767'225'600'001'000};
    origin.trace = filled<TraceId>(0x77);
    origin.path = {"unit-a"};
    return origin;
}

std::shared_ptr<const crypto::PrivateKey> receiver() {
    const auto pem = crypto::golden::private_pem(crypto::KeyKind::Sm2);
    const auto key = crypto::PrivateKey::from_pem(Secret(to_bytes(as_bytes(pem))));
    EXPECT_TRUE(key);
    return *key;
}

/// The golden data key, wrapped once for the golden receiver.
SealedPacket key_packet() {
    const auto pem = receiver()->public_key()->to_pem();
    const auto name = crypto::find_suite(crypto::SuiteId::Intl)->digest({as_bytes(pem)});
    ByteWriter body;
    body.append(crypto::golden::key_id().view());
    body.put(uint16_t{1});
    body.append(name.view().first(16));
    body.put_sized(ByteView(from_hex(crypto::golden::kSm2Wrapped)));
    const auto& suite = *crypto::find_suite(crypto::SuiteId::Gm);
    return frame_key_packet(example_origin(Kind::Key, 1), suite, std::move(body).take());
}

/// What seal() does, with the golden key and a nonce that stands still.
Bytes rows_packet() {
    auto origin = example_origin(Kind::Rows, 2);
    origin.previous_digest = key_packet().digest;
    origin.last = at(0x16B3748);
    origin.counts.inserts = origin.counts.transactions = 1;
    origin.event_first = origin.event_last = {1'767'225'600'000'000};
    auto body = small_rows_body();
    HopHeader hop;
    hop.suite = crypto::SuiteId::Gm;
    hop.key = crypto::golden::key_id();
    hop.nonce.fill(std::byte{0x0E});
    hop.raw_bytes = hop.sealed_bytes = static_cast<uint32_t>(body.size());
    const auto header = encode_header(origin, hop);
    const auto& suite = *crypto::find_suite(crypto::SuiteId::Gm);
    const Secret key(from_hex("000102030405060708090a0b0c0d0e0f"));
    const auto aead = suite.make_aead(key);
    const auto tag = aead->seal(hop.nonce, ByteView(header.bytes).first(header.sealed_size), body);
    ByteWriter wire;
    wire.append(header.bytes);
    wire.append(body);
    wire.append(tag);
    return std::move(wire).take();
}

std::map<std::string, Bytes> written_now() {
    return {
        {"header", encode_header(full_origin(), full_hop()).bytes},
        {"rows_body", rows_body()},
        {"schema_body", schema_body().encode()},
        {"heartbeat_body", heartbeat_body().encode()},
        {"epoch_body", epoch_body().encode()},
        {"load_chunk_body", load_chunk_body().encode()},
        {"key_packet", key_packet().wire},
        {"rows_packet", rows_packet()},
    };
}

// Spec: R-20
TEST(PacketGolden, TheWriterStillWritesTheSameBytes) {
    for (const auto& [name, bytes] : written_now()) {
        if (const auto* target = std::getenv("QIAO_WRITE_GOLDEN")) {
            std::ofstream(std::string(target) + "/" + name + ".hex") << to_lines(bytes);
            continue;
        }
        EXPECT_EQ(to_lines(bytes), to_lines(read_golden(name))) << name;
    }
}

TEST(PacketGolden, AHeaderOfVersionOneIsReadable) {
    auto wire = read_golden("header");
    wire.resize(wire.size() + full_hop().sealed_bytes + crypto::kTagBytes);
    const auto view = PacketView::parse(wire);
    ASSERT_TRUE(view) << view.error().to_string();
    EXPECT_EQ(view->origin, full_origin());
    EXPECT_EQ(view->hop, full_hop());
}

TEST(PacketGolden, BodiesOfVersionOneAreReadable) {
    EXPECT_EQ(*SchemaBody::decode(read_golden("schema_body")), schema_body());
    EXPECT_EQ(*HeartbeatBody::decode(read_golden("heartbeat_body")), heartbeat_body());
    EXPECT_EQ(*EpochBody::decode(read_golden("epoch_body")), epoch_body());
    const auto bytes = read_golden("load_chunk_body");
    const auto chunk = LoadChunkBody::decode(bytes);
    ASSERT_TRUE(chunk) << chunk.error().to_string();
    EXPECT_EQ(chunk->encode(), load_chunk_body().encode());
}

TEST(PacketGolden, RowsOfVersionOneAreReadable) {
    const auto body = read_golden("rows_body");
    RowsReader reader(body);
    std::vector<model::Change> changes;
    std::vector<uint64_t> commits;
    for (auto record = reader.next();; record = reader.next()) {
        ASSERT_TRUE(record) << record.error().to_string();
        if (!*record) {
            break;
        }
        if (auto* one = std::get_if<model::Change>(&**record)) {
            changes.push_back(std::move(*one));
        } else if (const auto* commit = std::get_if<RowsReader::Commit>(&**record)) {
            commits.push_back(commit->head.xid);
        }
    }
    EXPECT_EQ(commits, (std::vector<uint64_t>{742, 744}));
    ASSERT_EQ(changes.size(), 4U);
    EXPECT_EQ(as_text(changes[0].new_row.values()[1].bytes), "张三");
    EXPECT_EQ(changes[1].sub_xid, 743U);
    EXPECT_EQ(changes[1].old_image, model::OldImage::Key);
    EXPECT_EQ(changes[1].new_row.values()[1].kind, model::ValueKind::Unchanged);
    EXPECT_EQ(changes[2].old_image, model::OldImage::Full);
    EXPECT_TRUE(changes[3].restart_identity);
    EXPECT_EQ(changes[3].more_tables, std::vector{filled<model::SchemaId>(0x5C)});
}

// Spec
TEST(PacketGolden, ASealedPacketOfVersionOneIsOpenedByItsKeyPacket) {
    KeyRing ring({receiver()});
    const auto key_wire = read_golden("key_packet");
    const auto key = PacketView::parse(key_wire);
    ASSERT_TRUE(key) << key.error().to_string();
    const auto added = ring.add(*key);
    ASSERT_TRUE(added) << added.error().to_string();
    const auto wire = read_golden("rows_packet");
    const auto packet = PacketView::parse(wire);
    ASSERT_TRUE(packet) << packet.error().to_string();
    EXPECT_EQ(packet->origin.previous_digest, *key->digest());
    const auto body = ring.open(*packet);
    ASSERT_TRUE(body) << body.error().to_string();
    EXPECT_EQ(to_hex(*body), to_hex(small_rows_body()));
}

}  // namespace
}  // namespace qiao::packet
