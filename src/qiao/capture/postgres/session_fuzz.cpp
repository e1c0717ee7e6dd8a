#include "qiao/capture/postgres/internal/pgoutput_writer.h"
#include "qiao/capture/postgres/transaction_assembler.h"
#include "qiao/common/assert.h"

#include <set>

/// Whole sessions of a server that may lie. The input is a recipe: each step is one message with
/// right lengths, out of any order, with any number in it; some are altered when they are done. So
/// the fuzzer gets past the decoder, and the assembler must keep its word to the sink: changes only
/// within a transaction or a block, of tables that were told, and every begin before its end.
namespace {

using namespace qiao;
using namespace qiao::capture::postgres;
using Writer = capture::postgres::internal::PgoutputWriter;

constexpr uint16_t kColumns = 3;

class CheckingSink final : public capture::TransactionSink {
public:
    void schema(const model::TableSchema& schema) override { told_.insert(schema.id()); }

    void begin(const model::TransactionHead&) override {
        QIAO_ASSERT(!open_ && !block_);
        open_ = true;
    }

    void change(const model::Change& change) override {
        QIAO_ASSERT(open_ || block_);
        QIAO_ASSERT(told_.contains(change.schema));
        for (const auto* row : {&change.old_row, &change.new_row}) {
            if (!row->empty()) {
                row->for_each([this](size_t, const model::Value& value) {
                    for (const auto byte : value.bytes) {
                        sum_ += std::to_integer<unsigned>(byte);
                    }
                });
            }
        }
    }

    void commit(const model::TransactionHead&) override {
        QIAO_ASSERT(std::exchange(open_, false));
    }

    void begin_block(uint64_t) override {
        QIAO_ASSERT(!open_ && !block_);
        block_ = true;
    }

    void end_block() override { QIAO_ASSERT(std::exchange(block_, false)); }

    void undo_ahead(uint64_t, uint32_t) override { QIAO_ASSERT(!open_ && !block_); }

    void commit_ahead(const model::TransactionHead&) override { QIAO_ASSERT(!open_ && !block_); }

    void heartbeat(const capture::Heartbeat&) override {}

    void progress(const model::SourcePosition&) override {}

    bool full() const override { return false; }

private:
    std::set<model::SchemaId> told_;
    bool open_ = false, block_ = false;
    unsigned sum_ = 0;
};

class Recipe {
public:
    explicit Recipe(ByteView bytes) : in_(bytes) {}

    bool at_end() const { return !in_.ok() || in_.at_end(); }

    uint8_t byte() { return in_.get<uint8_t>(); }

    /// Mostly the next message of an honest server, and the numbers of few transactions.
    Bytes message() {
        const auto step = byte();
        const auto xid = uint32_t{1} + byte() % 4;
        const auto relation = uint32_t{1} + byte() % 3;
        const Lsn lsn = (clock_ += byte() % 3) * 0x100;
        auto bytes = written(step % 16, xid, relation, lsn);
        if (step >= 0xF0 && !bytes.empty()) {
            bytes[byte() % bytes.size()] ^= static_cast<std::byte>(byte());
        }
        return bytes;
    }

    Decoder::Streaming streaming() { return static_cast<Decoder::Streaming>(byte() % 3); }

private:
    Bytes written(int step, uint32_t xid, uint32_t relation, Lsn lsn) {
        switch (step) {
            case 0:
                return Writer::begin(lsn, xid);
            case 1:
                return Writer::commit(lsn, lsn + byte());
            case 2:
                return within(Writer::relation(relation, "t", "dnfi"[byte() % 4], columns()), xid);
            case 3:
            case 4:
                return within(Writer::insert(relation, row()), xid);
            case 5:
                return within(Writer::update(relation, "\0KO"[byte() % 3], row(), row()), xid);
            case 6:
                return within(Writer::erase(relation, "KO"[byte() % 2], row()), xid);
            case 7:
                return within(
                    Writer::truncate({relation, relation + 1}, static_cast<char>(byte())), xid
                );
            case 8:
                return start_block(xid);
            case 9:
                in_block_ = false;
                return Writer::stream_stop();
            case 10:
                return Writer::stream_commit(xid, lsn, lsn + byte());
            case 11:
                return Writer::stream_abort(xid, xid + byte() % 2);
            case 12:
                return within(Writer::logical("qiao.origin", "us>them"), xid);
            case 13:
                return within(Writer::logical("qiao.beat", "{}"), xid);
            case 14:
                return Writer('O').number(lsn).text("origin").take();
            default:
                return Writer('Y').number(uint32_t{90'000}).text("public").text("mood").take();
        }
    }

    Bytes start_block(uint32_t xid) {
        in_block_ = true;
        return Writer::stream_start(xid, byte() % 2 == 0);
    }

    /// Inside a block the number of the sub-transaction follows the letter.
    Bytes within(Bytes message, uint32_t xid) {
        if (in_block_) {
            Writer number('\0');
            const auto bytes = number.number(xid).take();
            message.insert(message.begin() + 1, bytes.begin() + 1, bytes.end());
        }
        return message;
    }

    std::vector<Writer::Column> columns() {
        std::vector<Writer::Column> columns(kColumns);
        for (size_t i = 0; i < columns.size(); ++i) {
            columns[i].name = std::string(1, static_cast<char>('a' + i));
            columns[i].key = i == 0;
            columns[i].type = byte();
        }
        return columns;
    }

    Bytes row() {
        // Also a row with more or fewer columns than its table has.
        const auto shape = byte();
        const auto count = static_cast<uint16_t>(shape >= 0xE0 ? shape % 7 : kColumns);
        model::TupleBuilder builder(count);
        for (uint16_t i = 0; i < count; ++i) {
            switch (byte() % 5) {
                case 0:
                    builder.null();
                    break;
                case 1:
                    builder.unchanged();
                    break;
                default:
                    builder.text(std::string(byte() % 150, 'v'));
                    break;
            }
        }
        return std::move(builder).take();
    }

    ByteReader in_;
    Lsn clock_ = 1;
    bool in_block_ = false;
};

std::optional<RelationPlan> plan_of(const RelationMessage& relation) {
    if (relation.id == 3) {
        return std::nullopt;  // a table that is not ours
    }
    RelationPlan plan;
    plan.schema.table = {std::string(relation.schema), std::string(relation.name)};
    plan.schema.identity =
        relation.replica_identity == 'f' ? model::Identity::Full : model::Identity::PrimaryKey;
    for (const auto& column : relation.columns) {
        plan.schema.columns.push_back({.name = std::string(column.name), .key = column.key});
    }
    plan.server_columns = relation.columns.size();
    return plan;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Recipe recipe(std::as_bytes(std::span(data, size)));
    AssemblerOptions options;
    options.identity = {7, 1};
    options.own_origins = {"us"};
    options.value_bytes_max = 100;
    options.wide_xid = (5ULL << 32U) + 10;
    Decoder decoder(recipe.streaming());
    TransactionAssembler assembler(options);
    CheckingSink sink;
    while (!recipe.at_end()) {
        const auto bytes = recipe.message();
        const auto message = decoder.decode(bytes);
        if (!message) {
            break;
        }
        if (const auto* relation = std::get_if<RelationMessage>(&*message)) {
            assembler.set_relation(relation->id, relation->xid, plan_of(*relation), sink);
        } else if (!std::holds_alternative<TypeMessage>(*message) &&
                   !assembler.take(*message, sink)) {
            break;  // a session ends with its first error
        }
    }
    return 0;
}
