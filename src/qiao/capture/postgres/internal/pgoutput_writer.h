#pragma once

#include "qiao/capture/postgres/decoder.h"
#include "qiao/capture/postgres/internal/big_endian.h"

#include <string>
#include <vector>

namespace qiao::capture::postgres::internal {

/// Writes messages as a server does: the other half of the decoder, for tests and its fuzzer.
class PgoutputWriter {
public:
    explicit PgoutputWriter(char tag) { letter(tag); }

    PgoutputWriter& letter(char value) {
        bytes_.push_back(static_cast<std::byte>(value));
        return *this;
    }

    template <std::unsigned_integral T>
    PgoutputWriter& number(T value) {
        append_big_endian(bytes_, value);
        return *this;
    }

    PgoutputWriter& text(std::string_view value) {
        append(as_bytes(value));
        return letter('\0');
    }

    PgoutputWriter& append(ByteView view) {
        bytes_.insert(bytes_.end(), view.begin(), view.end());
        return *this;
    }

    Bytes take() { return std::move(bytes_); }

    struct Column {
        std::string name;
        uint32_t type = 25;
        bool key = false;
        int32_t modifier = -1;
    };

    static Bytes begin(Lsn commit, uint32_t xid) {
        return PgoutputWriter('B').number(commit).number(uint64_t{1'000'000}).number(xid).take();
    }

    static Bytes commit(Lsn commit, Lsn end) {
        PgoutputWriter out('C');
        return out.letter('\0').number(commit).number(end).number(uint64_t{1'000'000}).take();
    }

    static Bytes relation(
        uint32_t id,
        std::string_view name,
        char identity,
        const std::vector<Column>& columns,
        std::string_view schema = "public"
    ) {
        PgoutputWriter out('R');
        out.number(id).text(schema).text(name).letter(identity);
        out.number(static_cast<uint16_t>(columns.size()));
        for (const auto& column : columns) {
            out.letter(column.key ? '\1' : '\0').text(column.name).number(column.type);
            out.number(static_cast<uint32_t>(column.modifier));
        }
        return out.take();
    }

    static Bytes insert(uint32_t relation, ByteView row) {
        return PgoutputWriter('I').number(relation).letter('N').append(row).take();
    }

    /// `mark`: K or O; 0 without an old row.
    static Bytes update(uint32_t relation, char mark, ByteView old_row, ByteView row) {
        PgoutputWriter out('U');
        out.number(relation);
        if (mark != '\0') {
            out.letter(mark).append(old_row);
        }
        return out.letter('N').append(row).take();
    }

    static Bytes erase(uint32_t relation, char mark, ByteView old_row) {
        return PgoutputWriter('D').number(relation).letter(mark).append(old_row).take();
    }

    /// An insert inside a block.
    static Bytes insert_of(uint32_t xid, uint32_t relation, ByteView row) {
        PgoutputWriter out('I');
        return out.number(xid).number(relation).letter('N').append(row).take();
    }

    static Bytes stream_start(uint32_t xid, bool first) {
        return PgoutputWriter('S').number(xid).letter(first ? '\1' : '\0').take();
    }

    static Bytes stream_stop() { return PgoutputWriter('E').take(); }

    static Bytes stream_commit(uint32_t xid, Lsn commit, Lsn end) {
        PgoutputWriter out('c');
        out.number(xid).letter('\0').number(commit).number(end).number(uint64_t{1'000'000});
        return out.take();
    }

    static Bytes stream_abort(uint32_t xid, uint32_t sub_xid) {
        return PgoutputWriter('A').number(xid).number(sub_xid).take();
    }

    static Bytes truncate(const std::vector<uint32_t>& relations, char options) {
        PgoutputWriter out('T');
        out.number(static_cast<uint32_t>(relations.size())).letter(options);
        for (const auto relation : relations) {
            out.number(relation);
        }
        return out.take();
    }

    static Bytes logical(std::string_view prefix, std::string_view content, Lsn lsn = 1) {
        PgoutputWriter out('M');
        out.letter('\1').number(lsn).text(prefix).number(static_cast<uint32_t>(content.size()));
        return out.append(as_bytes(content)).take();
    }

private:
    Bytes bytes_;
};

}  // namespace qiao::capture::postgres::internal
