#include "qiao/engine/fragment_reader.h"

#include "qiao/engine/packer.h"

namespace qiao::engine {

using packet::RowsReader;

void FragmentReader::open(Bytes body) {
    kept_ = std::make_shared<Kept>();
    kept_->body = std::move(body);
    bytes_ = kept_->body.size();
    reader_.emplace(kept_->body);
}

Result<std::optional<FragmentReader::Record>> FragmentReader::next() {
    while (true) {
        QIAO_TRY(auto record, reader_->next());
        if (!record) {
            return std::nullopt;
        }
        if (const auto* piece = std::get_if<packet::PieceOfChange>(&*record)) {
            QIAO_TRY(auto change, add(*piece));
            if (change) {
                return Record(*std::move(change));
            }
            continue;
        }
        if (auto* begin = std::get_if<RowsReader::Begin>(&*record)) {
            if (begin->fragment == 0) {
                pieces_.clear();
                from_begin_ = true;
            }
            return Record(Begin{std::move(begin->head), begin->fragment});
        }
        if (!pieces_.empty()) {
            return Error(ErrorCode::PacketMalformed, "a change that is not whole");
        }
        if (auto* change = std::get_if<model::Change>(&*record)) {
            return Record(std::move(*change));
        }
        if (auto* ahead = std::get_if<packet::Ahead>(&*record)) {
            return Record(std::move(*ahead));
        }
        from_begin_ = false;
        return Record(Commit{std::move(std::get<RowsReader::Commit>(*record).head)});
    }
}

Result<std::optional<model::Change>> FragmentReader::add(const packet::PieceOfChange& piece) {
    if (!from_begin_) {
        return std::nullopt;
    }
    // Room for the records around the images.
    constexpr size_t kMost = kChangeBytesMost + (size_t{1} << 20U);
    if (pieces_.size() + piece.bytes.size() > kMost) {
        return Error(ErrorCode::PacketTooLarge, "a change in pieces");
    }
    pieces_.insert(pieces_.end(), piece.bytes.begin(), piece.bytes.end());
    if (!piece.last) {
        return std::nullopt;
    }
    kept_->large.push_back(std::exchange(pieces_, {}));
    bytes_ += kept_->large.back().size();
    QIAO_TRY(auto change, RowsReader::decode_alone(kept_->large.back()));
    return change;
}

}  // namespace qiao::engine
