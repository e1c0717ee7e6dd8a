#include "qiao/apply/internal/plan.h"
#include "qiao/capture/postgres/internal/pgoutput_writer.h"
#include "qiao/capture/postgres/transaction_assembler.h"
#include "qiao/crypto/suite.h"
#include "qiao/drivers/postgres/internal/row_array.h"
#include "qiao/drivers/postgres/internal/set_statement.h"
#include "qiao/engine/packer.h"
#include "qiao/engine/unpacker.h"
#include "qiao/packet/seal.h"
#include "qiao/testing/manual_world.h"

#include "person.h"
#include <fmt/format.h>

#include <cstdlib>
#include <random>
#include <string_view>
#include <utility>

// What one change costs in each stage of its way, in instructions: run under callgrind, which
// counts what runs below the function of the stage. `hot_paths STAGE CHANGES`. The changes are
// those of the bench `apply`: inserts, half as many updates, a fifth as many deletes; in
// transactions of ten.
namespace qiao::hot {
namespace {

using capture::postgres::internal::PgoutputWriter;

constexpr uint32_t kRelation = 16'384;
constexpr size_t kChangesOfTransaction = 10;
constexpr size_t kChangesOfUnit = 1000;
constexpr uint64_t kFirstId = 1'000'000;

/// As the server sends it.
std::vector<Bytes> messages(size_t changes) {
    std::vector<Bytes> out;
    std::mt19937_64 random(1);
    uint64_t next = kFirstId;
    uint64_t oldest = kFirstId;
    uint32_t xid = 1000;
    capture::postgres::Lsn lsn = 1'000'000;
    for (size_t i = 0; i < changes; ++i) {
        if (i % kChangesOfTransaction == 0) {
            out.push_back(PgoutputWriter::begin(lsn + 1000, ++xid));
        }
        const auto kind = i % 17;
        if (kind < 10 || next - oldest < 100) {
            out.push_back(PgoutputWriter::insert(kRelation, person_row(next, 0)));
            ++next;
        } else if (kind < 15) {
            const auto id = oldest + random() % (next - oldest);
            out.push_back(PgoutputWriter::update(kRelation, '\0', {}, person_row(id, i)));
        } else {
            out.push_back(PgoutputWriter::erase(kRelation, 'K', person_key(oldest)));
            ++oldest;
        }
        if (i % kChangesOfTransaction + 1 == kChangesOfTransaction || i + 1 == changes) {
            out.push_back(PgoutputWriter::commit(lsn + 1000, lsn + 1100));
            lsn += 2000;
        }
    }
    return out;
}

/// What the assembler gives, for the stages behind it; its views point into the messages.
struct Delivered final : capture::CommittedSink {
    struct Step {
        enum class Kind : uint8_t { Begin, Change, Commit } kind;
        model::TransactionHead head;
        model::Change change;
    };

    void schema(const model::TableSchema& schema) override { definition = schema; }

    void begin(const model::TransactionHead& head) override { add({Step::Kind::Begin, head, {}}); }

    void change(const model::Change& change) override { add({Step::Kind::Change, {}, change}); }

    void commit(const model::TransactionHead& head) override {
        add({Step::Kind::Commit, head, {}});
    }

    void heartbeat(const capture::Heartbeat& /*heartbeat*/) override {}

    void progress(const model::SourcePosition& /*position*/) override {}

    bool full() const override { return false; }

    void add(Step step) {
        ++count;
        if (keeps) {
            steps.push_back(std::move(step));
        }
    }

    bool keeps = true;
    size_t count = 0;
    model::TableSchema definition;
    std::vector<Step> steps;
};

[[gnu::noinline]] bool stage_assemble(const std::vector<Bytes>& messages, Delivered& sink) {
    capture::postgres::AssemblerOptions options;
    options.identity.timeline = 1;
    capture::postgres::TransactionAssembler assembler(options);
    capture::postgres::RelationPlan plan{.schema = person_schema()};
    plan.server_columns = plan.schema.columns.size();
    assembler.set_relation(kRelation, 0, std::move(plan), sink);
    capture::postgres::Decoder decoder;
    for (const auto& bytes : messages) {
        const auto message = decoder.decode(bytes);
        const auto taken = message ? assembler.take(*message, sink) : Status(message.error());
        if (!taken) {
            fmt::print(stderr, "{}\n", taken.error().to_string());
            return false;
        }
    }
    return true;
}

void deliver(const Delivered& what, engine::Packer& packer) {
    for (const auto& step : what.steps) {
        if (step.kind == Delivered::Step::Kind::Begin) {
            packer.begin(step.head);
        } else if (step.kind == Delivered::Step::Kind::Change) {
            packer.change(step.change);
        } else {
            packer.commit(step.head);
        }
    }
    packer.flush();
}

[[gnu::noinline]] std::vector<engine::OutPacket> stage_pack(
    const Delivered& what, engine::Packer& packer
) {
    packer.schema(what.definition);
    deliver(what, packer);
    return packer.take();
}

using Inputs = std::vector<std::variant<apply::Input, engine::Recall>>;

[[gnu::noinline]] Inputs stage_unpack(
    const std::vector<engine::OutPacket>& packets, packet::KeyRing& ring, engine::Unpacker& unpacker
) {
    Inputs all;
    for (const auto& packet : packets) {
        const auto view = packet::PacketView::parse(packet.wire);
        Bytes body;
        if (view->origin.kind == packet::Kind::Key) {
            (void)ring.add(*view);
        } else {
            body = *ring.open(*view);
        }
        auto inputs = unpacker.take(*view, std::move(body));
        std::ranges::move(*inputs, std::back_inserter(all));
    }
    return all;
}

std::vector<apply::Work> works(const Inputs& inputs, const apply::BoundTable& table) {
    std::vector<apply::Work> all;
    for (const auto& each : inputs) {
        const auto* input = std::get_if<apply::Input>(&each);
        const auto* fragment = input == nullptr ? nullptr : std::get_if<apply::Fragment>(input);
        if (fragment != nullptr) {
            for (const auto& change : fragment->changes) {
                all.push_back({.change = &change, .table = &table});
            }
        }
    }
    return all;
}

[[gnu::noinline]] void stage_plan(apply::Plan& plan, std::span<const apply::Work> works) {
    for (const auto& work : works) {
        plan.add(work);
    }
    (void)plan.finish();
}

/// As SetWrite has it.
[[gnu::noinline]] size_t stage_encode(
    const apply::Step& step, const drivers::postgres::internal::TargetRelation& relation
) {
    using namespace drivers::postgres::internal;
    const auto plan = make_plan(*step.table->written, relation, step.op);
    if (step.op != model::Op::Delete) {
        RowArray array(
            *plan, step.op == model::Op::Update ? step.changes.front()->new_row : model::Tuple()
        );
        for (const auto* change : step.changes) {
            if (!array.append(change->new_row)) {
                return 0;
            }
        }
        return array.finish().size();
    }
    std::vector<RowStatement> rows;
    rows.reserve(step.changes.size());
    for (const auto* change : step.changes) {
        rows.push_back(*make_row_statement(*plan, *change, step.op));
    }
    return make_set_statement(*plan, rows)->parameters.front().bytes.size();
}

/// Runs the stages up to the one that is counted.
int run(std::string_view stage, size_t changes) {
    const auto sent = messages(changes);
    Delivered delivered;
    delivered.keeps = stage != "assemble";
    if (!stage_assemble(sent, delivered)) {
        return 1;
    }
    if (stage == "assemble") {
        return 0;
    }
    testing::ManualWorld world(1);
    const auto& suite = *crypto::find_suite(crypto::SuiteId::Intl);
    const std::shared_ptr receiver = crypto::PrivateKey::generate(crypto::KeyKind::P256);
    auto key = crypto::SealingKey::make(suite, world);
    const auto wrapped = packet::wrap_for(key, {receiver->public_key()});
    engine::PackerOptions options{.source = "s", .path = {"a"}};
    options.pending_bytes = SIZE_MAX;
    engine::Packer packer(std::move(options), std::move(key), {}, world, world);
    packer.open(*wrapped, packet::EpochBody{.reason = "first"});
    const auto packets = stage_pack(delivered, packer);
    packet::KeyRing ring({receiver});
    engine::Unpacker unpacker({});
    const auto inputs = stage_unpack(packets, ring, unpacker);
    const auto table = person_bound();
    const auto all = works(inputs, table);
    if (all.size() != changes) {
        fmt::print(stderr, "{} of {} changes came\n", all.size(), changes);
        return 1;
    }
    const auto relation = person_relation();
    size_t sum = 0;
    for (size_t from = 0; from < all.size(); from += kChangesOfUnit) {
        apply::Plan plan({});
        const auto count = std::min(kChangesOfUnit, all.size() - from);
        stage_plan(plan, std::span(all).subspan(from, count));
        for (const auto& step : plan.finish()) {
            sum += stage_encode(step, relation);
        }
    }
    fmt::print("{} packets, {} values\n", packets.size(), sum);
    return 0;
}

}  // namespace
}  // namespace qiao::hot

int main(int argc, char** argv) {
    if (argc != 3) {
        fmt::print(stderr, "hot_paths STAGE CHANGES\n");
        return 2;
    }
    return qiao::hot::run(argv[1], std::strtoul(argv[2], nullptr, 10));
}
