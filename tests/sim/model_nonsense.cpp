#include "qiao/capture/postgres/internal/pgoutput_writer.h"

#include "model_replication.h"

// What a server sends that has lost its way: it has no place there, or no meaning.
namespace qiao::sim {
namespace {

using capture::postgres::internal::PgoutputWriter;

constexpr uint32_t kNobody = 17002;

/// As in a block of a streamed transaction, or not.
PgoutputWriter head(char tag, bool in_block) {
    PgoutputWriter out(tag);
    if (in_block) {
        out.number(kNobody);
    }
    return out;
}

Bytes one_column() {
    model::TupleBuilder builder(1);
    builder.text("1");
    return std::move(builder).take();
}

Bytes insert(bool in_block, uint32_t relation) {
    return head('I', in_block).number(relation).letter('N').append(one_column()).take();
}

Bytes truncate(bool in_block) {
    return head('T', in_block).number(uint32_t{1}).letter('\0').number(kNobody).take();
}

/// What may not come before a transaction has begun.
Bytes out_of_transaction(uint64_t chance, uint32_t table) {
    switch (chance % 5) {
        case 0:
            return insert(false, table);
        case 1:
            return truncate(false);
        case 2:
            return PgoutputWriter::commit(1, 2);
        case 3:
            return PgoutputWriter::stream_commit(kNobody, 1, 2);
        default:
            return PgoutputWriter::stream_stop();
    }
}

/// What may not come in a transaction.
Bytes in_transaction(uint64_t chance, bool in_block) {
    switch (chance % 6) {
        case 0:
            return insert(in_block, kNobody);
        case 1:
            return truncate(in_block);
        case 2:
            return PgoutputWriter::stream_abort(kNobody, kNobody);
        case 3:
            return PgoutputWriter::stream_commit(kNobody, 1, 2);
        case 4:
            return in_block ? PgoutputWriter::commit(1, 2) : PgoutputWriter::begin(1, 1);
        default:
            return PgoutputWriter::stream_start(kNobody, true);
    }
}

/// A letter in front of a row that stands for none.
bool mark_wrongly(Bytes& body, bool in_block) {
    const auto tag = static_cast<char>(body.front());
    const size_t place = 1 + sizeof(uint32_t) + (in_block ? sizeof(uint32_t) : 0);
    const bool has_row = tag == 'I' || tag == 'U' || tag == 'D';
    if (has_row) {
        body[place] = std::byte{'X'};
    }
    return has_row;
}

}  // namespace

/// In the place of the next message, or before it.
void ModelReplication::garble() {
    auto& next = queue_.front();
    if (next.keepalive) {
        return;
    }
    --server_.garbled;
    const auto tag = static_cast<char>(next.body.front());
    const bool begins = tag == 'B' || tag == 'S' || tag == 'c' || tag == 'A';
    const auto chance = server_.chance();
    const auto before = [&](Bytes body) { queue_.push_front({next.lsn, std::move(body), false}); };
    switch (chance % 6) {
        case 0:
            before(PgoutputWriter('z').number(next.lsn).take());
            break;
        case 1:
            next.body.pop_back();
            break;
        case 2:
            next.body.push_back({});
            break;
        case 3:
            if (!mark_wrongly(next.body, in_block_)) {
                next.body.clear();
            }
            break;
        default:
            before(
                begins ? out_of_transaction(chance / 6, server_.tables().front().oid)
                       : in_transaction(chance / 6, in_block_)
            );
            break;
    }
    senseless_since_ = server_.world().now();
    server_.say_nonsense();
}

}  // namespace qiao::sim
