#include "qiao/trail/internal/survey.h"

#include "qiao/common/plant.h"

#include <algorithm>

namespace qiao::trail::internal {
namespace {

/// Both files are small; more than this is not ours.
constexpr size_t kMarkFileBytesMax = 64U << 10U;
constexpr size_t kConsumersBytesMax = 256U << 20U;

class Surveyor {
public:
    Surveyor(Storage& storage, Executor& executor, std::string folder)
        : storage_(storage), folder_(std::move(folder)) {
        survey_.index = std::make_unique<Index>(executor);
    }

    Task<Result<Survey>> run() {
        QIAO_CO_TRY(const auto names, co_await storage_.list(folder_));
        std::vector<uint64_t> numbers;
        for (const auto& name : names) {
            if (const auto number = segment_number(name)) {
                numbers.push_back(*number);
            }
        }
        std::ranges::sort(numbers);
        QIAO_CO_CHECK(co_await read_mark(numbers));
        QIAO_CO_CHECK(co_await read_consumers());
        for (const auto number : numbers) {
            QIAO_CO_CHECK(co_await read_segment(number, number == numbers.back()));
        }
        collect_holes();
        co_return std::move(survey_);
    }

private:
    std::string path(std::string_view name) const { return folder_ + "/" + std::string(name); }

    Task<Status> read_mark(const std::vector<uint64_t>& numbers) {
        const auto content = co_await read_file(storage_, path(kMarkFile), kMarkFileBytesMax);
        if (!content && !content.error().is(ErrorCode::StorageMissing)) {
            co_return content.error();
        }
        if (!content && numbers.empty()) {
            survey_.fresh = true;
            co_return Status{};
        }
        auto mark =
            content ? decode_mark_file(*content) : Result<Mark>(Error(ErrorCode::TrailDamaged));
        if (!mark && mark.error().is(ErrorCode::TrailNewerFormat)) {
            co_return mark.error();
        }
        if (!mark) {
            survey_.damage.push_back({Damage::Kind::Mark, 0, 0, 0, {}, {}, {}});
            co_return Status{};
        }
        survey_.mark = *mark;
        if (mark->segment != 0 && !std::ranges::binary_search(numbers, mark->segment)) {
            survey_.damage.push_back(
                {Damage::Kind::Missing, mark->segment, 0, mark->offset, {}, {}, {}}
            );
        }
        co_return Status{};
    }

    Task<Status> read_consumers() {
        const auto content = co_await read_file(storage_, path(kConsumersFile), kConsumersBytesMax);
        if (!content) {
            co_return content.error().is(ErrorCode::StorageMissing) ? Status{}
                                                                    : Status(content.error());
        }
        auto table = decode_consumers(*content);
        if (table) {
            survey_.consumers = Consumers(*std::move(table));
            co_return Status{};
        }
        if (table.error().is(ErrorCode::TrailNewerFormat)) {
            co_return table.error();
        }
        survey_.consumers_damaged = true;
        survey_.damage.push_back({Damage::Kind::Consumers, 0, 0, 0, {}, {}, {}});
        co_return Status{};
    }

    /// Without a mark everything counts as durable: rather call too much damaged than cut too much.
    uint64_t durable_end(uint64_t number) const {
        if (is_planted(Plant::RotCutAsTornTail)) {
            return 0;
        }
        if (!survey_.mark || number < survey_.mark->segment) {
            return UINT64_MAX;
        }
        return number == survey_.mark->segment ? survey_.mark->offset : 0;
    }

    Task<Status> read_segment(uint64_t number, bool newest) {
        QIAO_CO_TRY(
            const auto file, co_await storage_.open(path(segment_name(number)), OpenMode::Read)
        );
        QIAO_CO_TRY(const auto size, file->size());
        if (tail_torn_) {
            drop(number, size);
            co_return Status{};
        }
        const auto covered = durable_end(number);
        QIAO_CO_TRY(auto scan, co_await scan_segment(*file, number, covered));
        if (covered == 0 && !scan.head) {
            tail_torn_ = true;
            drop(number, size);
            co_return Status{};
        }
        SegmentFacts facts;
        facts.number = number;
        facts.file_bytes = scan.file_bytes;
        facts.readable = scan.head.has_value();
        facts.created = scan.head ? scan.head->created : WallTime{};
        facts.release = scan.head ? scan.head->release : "";
        facts.sealed = scan.sealed;
        facts.durable_end = std::min(covered, scan.file_bytes);
        facts.end = scan.head ? std::max(scan.end, facts.durable_end) : scan.file_bytes;
        facts.records = scan.records;
        if (is_planted(Plant::TornTailKept)) {
            facts.end = scan.file_bytes;
        }
        const bool cut_off = !scan.sealed && scan.head && scan.damage.empty() && !newest;
        if (cut_off && covered == UINT64_MAX) {
            scan.damage.push_back({Damage::Kind::Missing, number, scan.file_bytes, 0, {}, {}, {}});
        }
        facts.damaged = !scan.damage.empty();
        tail_torn_ = facts.end < facts.file_bytes;
        survey_.torn_bytes += facts.file_bytes - facts.end;
        survey_.unmarked_records += scan.unmarked_records;
        survey_.damage.insert(survey_.damage.end(), scan.damage.begin(), scan.damage.end());
        survey_.segments.push_back(facts);
        scan.file_bytes = facts.end;
        survey_.index->add(scan);
        co_return Status{};
    }

    void drop(uint64_t number, uint64_t bytes) {
        survey_.torn.push_back(number);
        survey_.torn_bytes += bytes;
    }

    void collect_holes() {
        std::vector<Stream*> streams;
        for (const auto& [id, stream] : survey_.index->streams()) {
            streams.push_back(stream.get());
        }
        std::ranges::sort(streams, {}, &Stream::id);
        for (auto* stream : streams) {
            if (const auto released = survey_.consumers.released_by_all(stream->id)) {
                survey_.index->forgive(*stream, *released);
            }
            for (const auto& hole : stream->holes) {
                survey_.damage.push_back(
                    {Damage::Kind::Hole, hole.segment, 0, 0, stream->id, hole.after, hole.upto}
                );
            }
        }
    }

    Storage& storage_;
    std::string folder_;
    Survey survey_;
    bool tail_torn_ = false;
};

}  // namespace

Task<Result<Survey>> survey_folder(Storage& storage, Executor& executor, std::string folder) {
    Surveyor surveyor(storage, executor, std::move(folder));
    co_return co_await surveyor.run();
}

}  // namespace qiao::trail::internal
