#include "qiao/engine/carried_folder.h"

#include "qiao/crypto/golden_keys_test.h"
#include "qiao/engine/carried_writer.h"
#include "qiao/engine/first_load.h"
#include "qiao/testing/golden.h"
#include "qiao/testing/manual_world.h"
#include "qiao/testing/memory_storage.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

namespace qiao::engine {
namespace {

using qiao::testing::DiskOp;
using qiao::testing::ManualWorld;
using qiao::testing::MemoryStorage;

const std::string kFolder = "carried";
/// Stands in every table; sealed, it is nowhere in the folder.
constexpr std::string_view kSecret = "510107198803127539";

std::shared_ptr<const crypto::PrivateKey> golden_key() {
    const auto pem = crypto::golden::private_pem(crypto::KeyKind::Sm2);
    return *crypto::PrivateKey::from_pem(Secret(to_bytes(as_bytes(pem))));
}

model::TableSchema schema_of(const std::string& name) {
    return {
        {"public", name},
        model::Identity::PrimaryKey,
        {{.name = "id", .type = "pg_catalog.int8", .type_id = 20, .key = true, .not_null = true},
         {.name = "note", .type = "pg_catalog.text", .type_id = 25}}
    };
}

/// Rows of a part, chunk by chunk.
using Chunks = std::vector<std::string>;
/// By table, by part.
using Content = std::map<std::string, std::vector<Chunks>>;

/// A snapshot that gives what a test says.
class SaidSnapshot final : public capture::SnapshotSession {
public:
    explicit SaidSnapshot(Content content) : content_(std::move(content)) {
        for (const auto& [name, parts] : content_) {
            for (uint32_t number = 0; number < parts.size(); ++number) {
                capture::LoadPart part;
                part.schema = schema_of(name);
                part.number = number;
                part.parts = static_cast<uint32_t>(parts.size());
                parts_.push_back(std::move(part));
            }
        }
    }

    const model::SourcePosition& joined_at() const override { return joined_; }

    const std::vector<capture::LoadPart>& parts() const override { return parts_; }

    drivers::LoadFormat format(const capture::LoadPart& /*part*/) const override {
        return drivers::LoadFormat::PgCopyText;
    }

    Task<Result<std::unique_ptr<Reader>>> read(capture::LoadPart part, size_t /*bytes*/) override {
        co_return std::make_unique<Said>(content_.at(part.schema.table.name)[part.number]);
    }

private:
    class Said final : public Reader {
    public:
        explicit Said(Chunks chunks) : chunks_(std::move(chunks)) {}

        Task<Result<capture::LoadChunk>> next(StopSignal& /*stop*/) override {
            capture::LoadChunk chunk;
            chunk.rows = to_bytes(as_bytes(chunks_[at_]));
            chunk.row_count = static_cast<uint64_t>(std::ranges::count(chunks_[at_], '\n'));
            chunk.last = ++at_ == chunks_.size();
            co_return chunk;
        }

    private:
        Chunks chunks_;
        size_t at_ = 0;
    };

    Content content_;
    model::SourcePosition joined_ = model::SourcePosition::lsn(7, 1, 0x16B3748);
    std::vector<capture::LoadPart> parts_;
};

/// A target in memory: only what was finished is there.
class KeepingTarget final : public FlowTarget {
public:
    Task<Result<TargetState>> state() override { co_return TargetState{}; }

    Task<Result<drivers::CreateReport>> create(
        drivers::Structure /*structure*/, drivers::StructurePhase /*phase*/
    ) override {
        co_return drivers::CreateReport{};
    }

    Task<Status> announce_loads(std::vector<model::TableName> /*tables*/) override {
        co_return Status{};
    }

    Task<Status> begin_load(LoadSession session) override {
        sessions.push_back(std::move(session));
        co_return Status{};
    }

    Task<Result<std::unique_ptr<Part>>> open_part(
        capture::LoadPart part, drivers::LoadFormat /*format*/, LoadSession /*session*/
    ) override {
        co_return std::make_unique<Kept>(*this, std::move(part));
    }

    Task<Status> finish_load(LoadSession /*session*/) override { co_return Status{}; }

    Task<Status> start_apply() override { co_return Status{}; }

    /// By table, the rows of each part.
    std::map<std::string, std::map<uint32_t, std::string>> committed;
    std::vector<LoadSession> sessions;

private:
    class Kept final : public Part {
    public:
        Kept(KeepingTarget& all, capture::LoadPart part) : all_(all), part_(std::move(part)) {}

        Task<Status> write(capture::LoadChunk chunk) override {
            rows_ += as_text(chunk.rows);
            co_return Status{};
        }

        Task<Status> finish() override {
            all_.committed[part_.schema.table.name][part_.number] = rows_;
            co_return Status{};
        }

    private:
        KeepingTarget& all_;
        capture::LoadPart part_;
        std::string rows_;
    };
};

class CarriedLoad : public ::testing::Test {
protected:
    explicit CarriedLoad(uint64_t seed = 1) : world(seed), disk(world, seed), random(seed) {}

    Content random_content() {
        Content content;
        const auto tables = 1 + random() % 4;
        for (size_t i = 0; i < tables; ++i) {
            std::vector<Chunks> parts(1 + random() % 3);
            for (auto& part : parts) {
                part.resize(1 + random() % 4);
                for (auto& chunk : part) {
                    for (auto rows = random() % 20; rows > 0; --rows) {
                        chunk += std::to_string(random()) + "\t" + std::string(kSecret) + "\n";
                    }
                }
            }
            content["table" + std::to_string(i)] = std::move(parts);
        }
        return content;
    }

    CarriedWriter::Parts parts() {
        return {
            world,
            world,
            disk,
            kFolder,
            stream,
            "postgresql://db/shop",
            "city",
            "0.0.0",
            *crypto::find_suite(suite),
            {key->public_key()}
        };
    }

    Status write(const Content& content) {
        CarriedWriter writer(parts());
        QIAO_CHECK(world.run(writer.open()));
        drivers::Structure structure;
        structure.tables = {{{"public", "table0"}, {"public", "table0"}}};
        (void)world.run(writer.create(structure, drivers::StructurePhase::BeforeLoad));
        SaidSnapshot snapshot(content);
        FirstLoad load(world, writer, {});
        StopSignal stop;
        QIAO_CHECK(world.run(load.run(snapshot, 42, stop)));
        digest = writer.digest();
        return {};
    }

    Result<std::unique_ptr<CarriedFolder>> open() {
        return world.run(CarriedFolder::open(disk, kFolder, {key}));
    }

    /// As an import does it: all is checked, then loaded.
    Status read(KeepingTarget& target) {
        QIAO_TRY(const auto folder, open());
        StopSignal stop;
        QIAO_CHECK(world.run(folder->check(stop)));
        return load(*folder, target);
    }

    Status load(CarriedFolder& folder, KeepingTarget& target) {
        FirstLoad load(world, target, {});
        const auto snapshot = folder.snapshot({});
        StopSignal stop;
        return world.run(load.run(*snapshot, folder.manifest().session.generation, stop));
    }

    std::vector<std::string> names() { return *world.run(disk.list(kFolder)); }

    Bytes content_of(const std::string& name) { return *disk.content(kFolder + "/" + name); }

    void put(const std::string& name, Bytes content) {
        disk.put(kFolder + "/" + name, std::move(content));
    }

    void remove(const std::string& name) {
        EXPECT_TRUE(world.run(disk.remove(kFolder + "/" + name)));
    }

    static std::string joined(const Chunks& chunks) {
        std::string all;
        for (const auto& chunk : chunks) {
            all += chunk;
        }
        return all;
    }

    static void expect_same(const Content& content, const KeepingTarget& target) {
        EXPECT_EQ(target.committed.size(), content.size());
        for (const auto& [table, parts] : content) {
            for (uint32_t i = 0; i < parts.size(); ++i) {
                EXPECT_EQ(target.committed.at(table).at(i), joined(parts[i])) << table << " " << i;
            }
        }
    }

    /// What was committed is whole and right, whatever else is not there.
    static void expect_part_of(const Content& content, const KeepingTarget& target) {
        for (const auto& [table, parts] : target.committed) {
            for (const auto& [number, rows] : parts) {
                EXPECT_EQ(rows, joined(content.at(table).at(number)));
            }
        }
    }

    ManualWorld world;
    MemoryStorage disk;
    std::mt19937_64 random;
    crypto::SuiteId suite = crypto::SuiteId::Gm;
    std::shared_ptr<const crypto::PrivateKey> key = golden_key();
    StreamId stream = StreamId::from(Bytes(16, std::byte{0x51}));
    Digest digest;
};

// Spec: R-11
TEST_F(CarriedLoad, BringsEveryRowOfEveryPartAndItsStructure) {
    for (int round = 0; round < 20; ++round) {
        suite = round % 2 == 0 ? crypto::SuiteId::Gm : crypto::SuiteId::Intl;
        key = suite == crypto::SuiteId::Gm ? golden_key()
                                           : crypto::PrivateKey::generate(crypto::KeyKind::P256);
        const auto content = random_content();
        ASSERT_TRUE(write(content));
        KeepingTarget target;
        const auto done = read(target);
        ASSERT_TRUE(done) << done.error().to_string();
        expect_same(content, target);
        const auto folder = *open();
        EXPECT_EQ(folder->digest(), digest);
        EXPECT_EQ(folder->manifest().stream, stream);
        EXPECT_EQ(folder->manifest().session.generation, 42U);
        EXPECT_EQ(target.sessions.front().joined_at, SaidSnapshot({}).joined_at());
        const auto structure = world.run(folder->structure());
        ASSERT_TRUE(structure && *structure);
        EXPECT_EQ((*structure)->tables.size(), 1U);
        for (const auto& name : names()) {
            remove(name);
        }
    }
}

TEST_F(CarriedLoad, SaysInPlainWhatItIsAndNoNameOfATableAndNoValue) {
    Content content{{"people", {{"1\t" + std::string(kSecret) + "\n"}}}};
    ASSERT_TRUE(write(content));
    const auto summary = content_of(kCarriedSummaryName);
    EXPECT_NE(as_text(summary).find(stream.to_string()), std::string::npos);
    EXPECT_NE(as_text(summary).find("0/16B3748"), std::string::npos);
    for (const auto& name : names()) {
        const auto bytes = content_of(name);
        EXPECT_EQ(as_text(bytes).find(kSecret), std::string::npos) << name;
        EXPECT_EQ(as_text(bytes).find("people"), std::string::npos) << name;
    }
}

TEST_F(CarriedLoad, LeavesOutTablesThatAreInAlready) {
    const Content content{{"a", {{"1\tx\n"}}}, {"b", {{"2\ty\n"}}}};
    ASSERT_TRUE(write(content));
    const auto folder = *open();
    const auto snapshot = folder->snapshot({{"public", "a"}});
    ASSERT_EQ(snapshot->parts().size(), 1U);
    EXPECT_EQ(snapshot->parts().front().schema.table.name, "b");
}

TEST_F(CarriedLoad, IsWrittenOnlyIntoAnEmptyFolder) {
    put("old", {});
    const auto refused = write(random_content());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::EngineCarriedNotEmpty);
    EXPECT_EQ(names(), std::vector<std::string>{"old"});
}

// Spec: R-74
TEST_F(CarriedLoad, OpensForNobodyElse) {
    ASSERT_TRUE(write(random_content()));
    key = crypto::PrivateKey::generate(crypto::KeyKind::Sm2);
    const auto opened = open();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), ErrorCode::CryptoWrongKey);
}

// Spec
TEST_F(CarriedLoad, NamesEveryFileThatIsFlippedCutMissingSwappedOrDoubled) {
    const auto content = random_content();
    ASSERT_TRUE(write(content));
    const auto all = names();
    for (const auto& name : all) {
        const auto whole = content_of(name);
        const auto refused = [&](ErrorCode code, const char* how) {
            KeepingTarget target;
            const auto done = read(target);
            ASSERT_FALSE(done) << name << " " << how;
            EXPECT_EQ(done.error().code(), code) << name << how << done.error().to_string();
            EXPECT_TRUE(target.sessions.empty() && target.committed.empty());
            if (code != ErrorCode::EngineCarriedIncomplete) {
                EXPECT_NE(done.error().detail().find(name), std::string::npos)
                    << how << done.error().to_string();
            }
        };
        for (int i = 0; i < 40; ++i) {
            const auto at = i == 0 ? 0 : random() % whole.size();
            auto flipped = whole;
            flipped[at] ^= static_cast<std::byte>(1U << (random() % 8));
            put(name, flipped);
            KeepingTarget target;
            const auto done = read(target);
            ASSERT_FALSE(done) << name << " at " << at;
            // A flip in the version is a newer release's; everything else is damage.
            EXPECT_TRUE(
                done.error().is(ErrorCode::EngineCarriedDamaged) ||
                done.error().is(ErrorCode::PacketTooNew)
            ) << done.error().to_string();
            EXPECT_NE(done.error().detail().find(name), std::string::npos);
            EXPECT_TRUE(target.sessions.empty());
        }
        for (int i = 0; i < 10; ++i) {
            auto cut = whole;
            cut.resize(i == 0 ? 0 : random() % whole.size());
            put(name, cut);
            refused(ErrorCode::EngineCarriedDamaged, " cut");
        }
        auto longer = whole;
        longer.push_back(std::byte{0});
        put(name, longer);
        refused(ErrorCode::EngineCarriedDamaged, " longer");
        put(name, whole);
        remove(name);
        refused(
            name == kCarriedManifestName ? ErrorCode::EngineCarriedIncomplete
                                         : ErrorCode::EngineCarriedMissing,
            " missing"
        );
        for (const auto& other : all) {
            if (other != name && content_of(other) != whole) {
                put(name, content_of(other));
                refused(ErrorCode::EngineCarriedDamaged, " swapped");
            }
        }
        put(name, whole);
        put("copy-of-" + name, whole);
        refused(ErrorCode::EngineCarriedForeign, " doubled");
        remove("copy-of-" + name);
    }
    KeepingTarget target;
    ASSERT_TRUE(read(target));
    expect_same(content, target);
}

/// Between the check and the load somebody may write to the disk: nothing wrong is committed.
TEST_F(CarriedLoad, CommitsNoPartThatChangedAfterTheCheck) {
    for (int round = 0; round < 200; ++round) {
        const auto content = random_content();
        ASSERT_TRUE(write(content));
        const auto folder = *open();
        StopSignal stop;
        ASSERT_TRUE(world.run(folder->check(stop)));
        const auto files = folder->manifest().files();
        const auto& name = files[random() % (files.size() - 2)]->name;
        auto bytes = content_of(name);
        if (random() % 2 == 0) {
            bytes[random() % bytes.size()] ^= std::byte{0x10};
        } else {
            bytes.resize(random() % bytes.size());
        }
        put(name, bytes);
        KeepingTarget target;
        const auto done = load(*folder, target);
        ASSERT_FALSE(done);
        EXPECT_TRUE(
            done.error().is(ErrorCode::EngineCarriedDamaged) ||
            done.error().is(ErrorCode::PacketTooNew)
        ) << done.error().to_string();
        expect_part_of(content, target);
        for (const auto& one : names()) {
            remove(one);
        }
    }
}

// Spec: R-11
TEST_F(CarriedLoad, WhoseDiskFailsAtAnyOperationHasNoManifestOrIsWhole) {
    using qiao::testing::DiskFailure;
    const auto content = random_content();
    const auto play = [&](const qiao::testing::FaultPoint& point) -> std::optional<bool> {
        SCOPED_TRACE(point.to_string());
        disk.strike(point.op, point.n, point.failure);
        const auto written = write(content);
        const auto read_once = [&] {
            KeepingTarget target;
            const auto done = written ? read(target) : Status{};
            expect_part_of(content, target);
            return done;
        };
        const auto first = read_once();
        for (const auto& done : {written, first}) {
            EXPECT_TRUE(done || done.error().is(ErrorCode::StorageIo) || disk.full());
        }
        EXPECT_TRUE(!disk.struck() || !written || !first || point.op == DiskOp::Remove);
        if (disk.crashed()) {
            disk.restart();
        }
        disk.free_space();
        disk.spare();

        KeepingTarget target;
        const auto done = read(target);
        EXPECT_TRUE(done || !written) << done.error().to_string();
        if (done) {
            expect_same(content, target);
        } else {
            EXPECT_EQ(done.error().code(), ErrorCode::EngineCarriedIncomplete);
            EXPECT_TRUE(target.sessions.empty());
        }
        const auto found = world.run(disk.list(kFolder));
        for (const auto& name : found ? *found : std::vector<std::string>{}) {
            remove(name);
        }
        EXPECT_TRUE(world.run(disk.sync_folder(kFolder)));
        return HasFailure() ? std::nullopt : std::optional(disk.struck());
    };
    const auto count = qiao::testing::sweep_faults(
        {DiskFailure::Error, DiskFailure::Full, DiskFailure::Crash}, play
    );
    std::cout << count.to_string() << "\n";
    EXPECT_GT(count.of(DiskOp::Write), 20U);
    EXPECT_GT(count.of(DiskOp::Read), 5U);
}

// -- golden files --

CarriedManifest golden_manifest() {
    CarriedManifest manifest;
    manifest.stream = StreamId::from(Bytes(16, std::byte{0x51}));
    manifest.load = TraceId::from(Bytes(16, std::byte{0x77}));
    manifest.source = "postgresql://db/shop";
    manifest.node = "city";
    manifest.tool_version = "0.1.0";
    manifest.made_at = {1'767'225'600'000'000};
    manifest.suite = crypto::SuiteId::Gm;
    manifest.session.generation = 1'767'225'600;
    manifest.session.joined_at = model::SourcePosition::lsn(7, 1, 0x16B3748);
    manifest.session.tables = {{"public", "person"}};
    manifest.session.names.rename({"public", "person"}, {{"city", "person"}, {}});
    const CarriedFile part{"t00000-p00000.load", 1000, Digest::from(Bytes(32, std::byte{0xD1}))};
    manifest.tables = {{schema_of("person"), drivers::LoadFormat::PgCopyText, {{part, 3}}}};
    manifest.others = {{kCarriedSummaryName, 500, Digest::from(Bytes(32, std::byte{0xD2}))}};
    return manifest;
}

Bytes from_hex(std::string_view text) {
    Bytes bytes;
    std::string digits;
    for (const char digit : text) {
        if (digit == '\n') {
            continue;
        }
        digits += digit;
        if (digits.size() == 2) {
            bytes.push_back(static_cast<std::byte>(std::stoi(digits, nullptr, 16)));
            digits.clear();
        }
    }
    return bytes;
}

std::string to_lines(ByteView bytes) {
    constexpr size_t kBytesOfLine = 32;
    std::string text;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kBytesOfLine))) {
        text += to_hex(bytes.first(std::min(bytes.size(), kBytesOfLine))) + "\n";
    }
    return text;
}

std::string read_golden(const std::filesystem::path& path) {
    std::ifstream in(path);
    EXPECT_TRUE(in) << path;
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST(CarriedGolden, TheManifestIsStillWrittenAndReadTheSame) {
    const auto bytes = golden_manifest().encode();
    if (const auto* target = std::getenv("QIAO_WRITE_GOLDEN")) {
        std::ofstream(std::string(target) + "/carried_manifest.hex") << to_lines(bytes);
        return;
    }
    const auto golden =
        read_golden(qiao::testing::golden_folder("engine") + "/carried_manifest.hex");
    EXPECT_EQ(to_lines(bytes), golden);
    const auto again = CarriedManifest::decode(from_hex(golden));
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(again->encode(), bytes);
    EXPECT_EQ(again->session.names, golden_manifest().session.names);
}

TEST(CarriedGolden, ACutOrLyingManifestIsRefused) {
    const auto bytes = golden_manifest().encode();
    for (size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(CarriedManifest::decode(ByteView(bytes).first(size))) << size;
    }
    const auto lies = [](auto change) {
        auto manifest = golden_manifest();
        change(manifest);
        return !CarriedManifest::decode(manifest.encode());
    };
    EXPECT_TRUE(lies([](auto& it) { it.others[0].name = "../passwd"; }));
    EXPECT_TRUE(lies([](auto& it) { it.others[0].name = ".."; }));
    EXPECT_TRUE(lies([](auto& it) { it.others[0].name = ""; }));
    EXPECT_TRUE(lies([](auto& it) { it.others[0].name = kCarriedManifestName; }));
    EXPECT_TRUE(lies([](auto& it) { it.others.push_back(it.others[0]); }));
    EXPECT_TRUE(lies([](auto& it) { it.tables.push_back(it.tables[0]); }));
    EXPECT_TRUE(lies([](auto& it) { it.tables.clear(); }));
    EXPECT_TRUE(lies([](auto& it) { it.tables[0].parts.clear(); }));
}

/// golden/carried was written once; such folders must be readable for ever.
TEST_F(CarriedLoad, OfVersionOneIsReadable) {
    const Content content{
        {"house", {{"7\tStreet\n"}}}, {"person", {{"1\t张三\n", "2\t李四\n"}, {"3\t王五\n"}}}
    };
    const auto golden = std::filesystem::path(qiao::testing::golden_folder("engine")) / "carried";
    if (const auto* target = std::getenv("QIAO_WRITE_GOLDEN")) {
        ASSERT_TRUE(write(content));
        const auto folder = std::filesystem::path(target) / "carried";
        std::filesystem::create_directories(folder);
        for (const auto& name : names()) {
            std::ofstream(folder / (name + ".hex")) << to_lines(content_of(name));
        }
        return;
    }
    for (const auto& file : std::filesystem::directory_iterator(golden)) {
        put(file.path().stem(), from_hex(read_golden(file.path())));
    }
    KeepingTarget target;
    const auto done = read(target);
    ASSERT_TRUE(done) << done.error().to_string();
    expect_same(content, target);
}

}  // namespace
}  // namespace qiao::engine
