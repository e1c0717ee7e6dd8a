#include "qiao/packet/rows.h"

#include "qiao/common/assert.h"

#include <algorithm>
#include <iterator>

namespace qiao::packet {
namespace {

enum class RecordMark : uint8_t {
    Table = 'S',
    Begin = 'B',
    Origin = 'O',
    Insert = 'I',
    Update = 'U',
    Delete = 'D',
    Truncate = 'T',
    Piece = 'L',
    Ahead = 'P',
    Commit = 'C',
};

constexpr uint8_t kOldImageBits = 3;
constexpr uint8_t kHasNewRow = 4;
constexpr uint8_t kTolerant = 8;
constexpr uint8_t kRestartIdentity = 1;
constexpr size_t kTablesMost = 0xFFFF;

RecordMark mark_of(model::Op op) {
    switch (op) {
        case model::Op::Insert:
            return RecordMark::Insert;
        case model::Op::Update:
            return RecordMark::Update;
        case model::Op::Delete:
            return RecordMark::Delete;
        case model::Op::Truncate:
            break;
    }
    return RecordMark::Truncate;
}

Error malformed(std::string_view what) { return {ErrorCode::PacketMalformed, std::string(what)}; }

void count(ChangeCounts& counts, model::Op op) {
    switch (op) {
        case model::Op::Insert:
            ++counts.inserts;
            break;
        case model::Op::Update:
            ++counts.updates;
            break;
        case model::Op::Delete:
            ++counts.deletes;
            break;
        case model::Op::Truncate:
            ++counts.truncates;
            break;
    }
}

}  // namespace

uint16_t RowsBuilder::table_index(const model::SchemaId& schema) {
    const auto [place, added] = tables_.try_emplace(schema, static_cast<uint16_t>(tables_.size()));
    if (added) {
        QIAO_ASSERT(tables_.size() <= kTablesMost);
        out_.put(static_cast<uint8_t>(RecordMark::Table));
        out_.append(schema.view());
    }
    return place->second;
}

void RowsBuilder::begin(const model::TransactionHead& head, uint32_t fragment) {
    open_ = Mark{out_.size(), counts_, tables_.size()};
    out_.put(static_cast<uint8_t>(RecordMark::Begin));
    out_.put(head.xid);
    head.commit.encode(out_);
    out_.put(static_cast<uint64_t>(head.commit_time.us));
    out_.put(fragment);
    if (!head.origin.empty()) {
        out_.put(static_cast<uint8_t>(RecordMark::Origin));
        out_.put_sized(std::string_view(head.origin).substr(0, model::kOriginBytesMost));
    }
}

void RowsBuilder::change(const model::Change& change) {
    count(counts_, change.op);
    const auto table = table_index(change.schema);
    std::vector<uint16_t> more;
    for (const auto& schema : change.more_tables) {
        more.push_back(table_index(schema));
    }
    out_.put(static_cast<uint8_t>(mark_of(change.op)));
    out_.put(table);
    out_.put(change.sub_xid);
    if (change.op == model::Op::Truncate) {
        out_.put(static_cast<uint8_t>(change.restart_identity ? kRestartIdentity : 0));
        out_.put(static_cast<uint16_t>(more.size()));
        for (const auto index : more) {
            out_.put(index);
        }
        return;
    }
    const auto flags = static_cast<uint8_t>(
        static_cast<uint8_t>(change.old_image) | (change.new_row.empty() ? 0 : kHasNewRow) |
        (change.tolerant ? kTolerant : 0)
    );
    out_.put(flags);
    out_.append(change.old_row.bytes());
    out_.append(change.new_row.bytes());
}

void RowsBuilder::piece(const PieceOfChange& piece, std::optional<model::Op> counted) {
    if (counted) {
        count(counts_, *counted);
    }
    out_.put(static_cast<uint8_t>(RecordMark::Piece));
    out_.put(static_cast<uint8_t>(piece.last ? 1 : 0));
    out_.put_sized(piece.bytes);
}

void RowsBuilder::ahead(const Ahead& ahead) {
    out_.put(static_cast<uint8_t>(RecordMark::Ahead));
    out_.put(static_cast<uint32_t>(ahead.packets.size()));
    for (const auto sequence : ahead.packets) {
        out_.put(sequence.value);
    }
    out_.put(static_cast<uint32_t>(ahead.undone.size()));
    for (const auto& range : ahead.undone) {
        out_.put(range.first);
        out_.put(range.last);
    }
}

Bytes RowsBuilder::encode_alone(const model::Change& change) {
    RowsBuilder builder;
    builder.change(change);
    return builder.take();
}

void RowsBuilder::commit(const model::TransactionHead& head) {
    ++counts_.transactions;
    out_.put(static_cast<uint8_t>(RecordMark::Commit));
    head.end.encode(out_);
    open_.reset();
}

void RowsBuilder::discard_open() {
    if (!open_) {
        return;
    }
    out_.truncate(open_->size);
    counts_ = open_->counts;
    std::erase_if(tables_, [most = open_->tables](const auto& table) {
        return table.second >= most;
    });
    open_.reset();
}

Bytes RowsBuilder::take() {
    counts_ = {};
    tables_.clear();
    open_.reset();
    return std::exchange(out_, {}).take();
}

bool Ahead::is_undone(uint32_t sub_xid) const {
    const auto after = std::ranges::upper_bound(undone, sub_xid, {}, &Range::first);
    return after != undone.begin() && std::prev(after)->last >= sub_xid;
}

Result<std::optional<RowsReader::Record>> RowsReader::next() {
    while (!in_.at_end()) {
        const auto mark = in_.get<uint8_t>();
        if (mark == static_cast<uint8_t>(RecordMark::Table)) {
            tables_.push_back(model::SchemaId::from(in_.take(model::SchemaId::kSize)));
            continue;
        }
        return read_record(mark);
    }
    if (!in_.ok()) {
        return malformed("rows body");
    }
    return std::nullopt;
}

Result<std::optional<RowsReader::Record>> RowsReader::read_record(uint8_t mark) {
    if (mark == static_cast<uint8_t>(RecordMark::Begin)) {
        return read_begin();
    }
    if (!open_) {
        return malformed("a record outside a transaction");
    }
    switch (static_cast<RecordMark>(mark)) {
        case RecordMark::Insert:
            return read_change(model::Op::Insert);
        case RecordMark::Update:
            return read_change(model::Op::Update);
        case RecordMark::Delete:
            return read_change(model::Op::Delete);
        case RecordMark::Truncate:
            return read_truncate();
        case RecordMark::Ahead:
            return read_ahead();
        case RecordMark::Piece: {
            PieceOfChange piece;
            piece.last = in_.get<uint8_t>() != 0;
            piece.bytes = in_.get_sized();
            return in_.ok() ? Result<std::optional<Record>>(piece) : malformed("piece of a change");
        }
        case RecordMark::Commit: {
            open_->end = model::SourcePosition::decode(in_);
            if (!in_.ok()) {
                return malformed("transaction commit");
            }
            return Record(Commit{*std::exchange(open_, std::nullopt)});
        }
        default:
            return malformed("record mark");
    }
}

Result<RowsReader::Record> RowsReader::read_begin() {
    Begin begin;
    begin.head.xid = in_.get<uint64_t>();
    begin.head.commit = model::SourcePosition::decode(in_);
    begin.head.commit_time = {static_cast<int64_t>(in_.get<uint64_t>())};
    begin.fragment = in_.get<uint32_t>();
    const auto rest = in_.rest();
    if (!rest.empty() && rest.front() == static_cast<std::byte>(RecordMark::Origin)) {
        in_.get<uint8_t>();
        begin.head.origin = in_.get_text();
    }
    if (!in_.ok() || open_ || begin.head.origin.size() > model::kOriginBytesMost) {
        return malformed("transaction begin");
    }
    open_ = begin.head;
    return begin;
}

Result<RowsReader::Record> RowsReader::read_ahead() {
    Ahead ahead;
    for (auto left = in_.get<uint32_t>(); left > 0 && in_.ok(); --left) {
        const Sequence sequence{in_.get<uint64_t>()};
        if (!ahead.packets.empty() && sequence <= ahead.packets.back()) {
            in_.fail();
        }
        ahead.packets.push_back(sequence);
    }
    for (auto left = in_.get<uint32_t>(); left > 0 && in_.ok(); --left) {
        const auto first = in_.get<uint32_t>();
        const auto last = in_.get<uint32_t>();
        if (last < first || (!ahead.undone.empty() && first <= ahead.undone.back().last)) {
            in_.fail();
        }
        ahead.undone.push_back({first, last});
    }
    if (!in_.ok()) {
        return malformed("what travelled ahead");
    }
    return ahead;
}

Result<model::Change> RowsReader::decode_alone(ByteView bytes) {
    RowsReader reader(bytes);
    reader.open_.emplace();
    QIAO_TRY(auto record, reader.next());
    auto* change = record ? std::get_if<model::Change>(&*record) : nullptr;
    if (change == nullptr || !reader.in_.at_end()) {
        return malformed("a large change");
    }
    return std::move(*change);
}

bool RowsReader::read_table(model::SchemaId& schema) {
    const auto index = in_.get<uint16_t>();
    if (!in_.ok() || index >= tables_.size()) {
        in_.fail();
        return false;
    }
    schema = tables_[index];
    return true;
}

Result<model::Change> RowsReader::read_truncate() {
    model::Change change;
    change.op = model::Op::Truncate;
    read_table(change.schema);
    change.sub_xid = in_.get<uint32_t>();
    change.restart_identity = (in_.get<uint8_t>() & kRestartIdentity) != 0;
    for (auto left = in_.get<uint16_t>(); left > 0 && in_.ok(); --left) {
        read_table(change.more_tables.emplace_back());
    }
    if (!in_.ok()) {
        return malformed("truncate");
    }
    return change;
}

Result<model::Change> RowsReader::read_change(model::Op op) {
    model::Change change;
    change.op = op;
    read_table(change.schema);
    change.sub_xid = in_.get<uint32_t>();
    const auto flags = in_.get<uint8_t>();
    const auto old_image = static_cast<uint8_t>(flags & kOldImageBits);
    const bool has_new = (flags & kHasNewRow) != 0;
    change.tolerant = (flags & kTolerant) != 0;
    if (!in_.ok() || old_image > static_cast<uint8_t>(model::OldImage::Full) ||
        has_new == (op == model::Op::Delete) || (op == model::Op::Delete && old_image == 0)) {
        return malformed("change");
    }
    change.old_image = static_cast<model::OldImage>(old_image);
    if (change.old_image != model::OldImage::Absent) {
        QIAO_TRY(change.old_row, model::Tuple::parse_front(in_));
    }
    if (has_new) {
        QIAO_TRY(change.new_row, model::Tuple::parse_front(in_));
    }
    return change;
}

}  // namespace qiao::packet
