#include "qiao/trail/internal/survey.h"
#include "qiao/trail/internal/trail_impl.h"

#include <string>

namespace qiao::trail::internal {
namespace {

/// Makes a folder's entries agree with its survey: torn tails cut, what lies above the mark surely
/// on the disk, the mark at the end of it.
class Mender {
public:
    Mender(Storage& storage, std::string folder, const Survey& survey)
        : storage_(storage), folder_(std::move(folder)), survey_(survey) {}

    Task<Result<WriterStart>> run() {
        for (const auto number : survey_.torn) {
            QIAO_CO_CHECK(co_await storage_.remove(path(segment_name(number))));
        }
        if (!survey_.torn.empty()) {
            QIAO_CO_CHECK(co_await storage_.sync_folder(folder_));
        }
        for (const auto& facts : survey_.segments) {
            QIAO_CO_CHECK(co_await mend(facts));
        }
        if (!survey_.consumers.table().empty()) {
            auto content = encode(survey_.consumers.table());
            QIAO_CO_CHECK(
                co_await write_file_atomically(storage_, path(kConsumersFile), std::move(content))
            );
        }
        WriterStart start;
        QIAO_CO_CHECK(co_await write_mark(start));
        QIAO_CO_CHECK(co_await open_newest(start));
        co_return std::move(start);
    }

private:
    std::string path(std::string_view name) const { return folder_ + "/" + std::string(name); }

    Task<Status> mend(const SegmentFacts& facts) {
        if (!facts.readable || (facts.end <= facts.durable_end && facts.end == facts.file_bytes)) {
            co_return Status{};
        }
        const auto name = path(segment_name(facts.number));
        Bytes again(facts.end - facts.durable_end);
        std::unique_ptr<File> file;
        {
            QIAO_CO_TRY(file, co_await storage_.open(name, OpenMode::ReadWrite));
            QIAO_CO_TRY(const auto got, co_await file->read_at(facts.durable_end, again));
            if (got != again.size()) {
                co_return Error(ErrorCode::StorageIo, name + " changed its size");
            }
        }
        if (facts.durable_end == 0) {
            // Nor is its entry in the folder known to be on the disk.
            file.reset();
            QIAO_CO_CHECK(co_await storage_.remove(name));
            QIAO_CO_TRY(file, co_await storage_.open(name, OpenMode::Create));
            QIAO_CO_CHECK(co_await storage_.sync_folder(folder_));
        } else {
            QIAO_CO_CHECK(co_await file->truncate(facts.durable_end));
        }
        QIAO_CO_CHECK(co_await file->write_at(facts.durable_end, again));
        co_return co_await file->sync();
    }

    Task<Status> write_mark(WriterStart& start) {
        auto& mark = start.mark;
        mark = survey_.mark.value_or(Mark{});
        mark.generation += 1;
        if (!survey_.segments.empty() && survey_.segments.back().number >= mark.segment) {
            mark.segment = survey_.segments.back().number;
            mark.offset = survey_.segments.back().end;
        }
        auto content = encode_mark_file(mark);
        QIAO_CO_CHECK(co_await write_file_atomically(storage_, path(kMarkFile), std::move(content))
        );
        QIAO_CO_TRY(start.mark_file, co_await storage_.open(path(kMarkFile), OpenMode::ReadWrite));
        start.segment = mark.segment;
        start.offset = mark.offset;
        co_return Status{};
    }

    /// Goes on in the newest segment, unless it is sealed, damaged or missing.
    Task<Status> open_newest(WriterStart& start) {
        if (survey_.segments.empty()) {
            co_return Status{};
        }
        const auto& newest = survey_.segments.back();
        if (newest.number != start.segment || newest.sealed || newest.damaged || !newest.readable) {
            co_return Status{};
        }
        start.records = newest.records;
        const auto name = path(segment_name(newest.number));
        QIAO_CO_TRY(start.data, co_await storage_.open(name, OpenMode::ReadWrite));
        co_return Status{};
    }

    Storage& storage_;
    std::string folder_;
    const Survey& survey_;
};

Task<Result<Opened>> recover_folder(Storage& storage, Executor& executor, std::string folder) {
    QIAO_CO_CHECK(co_await storage.make_folder(folder));
    if (const auto slash = folder.rfind('/'); slash != std::string::npos && slash != 0) {
        QIAO_CO_CHECK(co_await storage.sync_folder(folder.substr(0, slash)));
    }
    Opened opened;
    QIAO_CO_TRY(opened.lock, co_await storage.lock(folder + "/" + std::string(kLockFile)));
    QIAO_CO_TRY(auto survey, co_await survey_folder(storage, executor, folder));
    Mender mender(storage, folder, survey);
    QIAO_CO_TRY(opened.start, co_await mender.run());
    opened.recovery.damage = std::move(survey.damage);
    opened.recovery.cut_bytes = survey.torn_bytes;
    opened.recovery.unmarked_records = survey.unmarked_records;
    opened.index = std::move(survey.index);
    opened.consumers = std::move(survey.consumers);
    opened.consumers_damaged = survey.consumers_damaged;
    co_return std::move(opened);
}

}  // namespace

Task<Result<Opened>> recover(Storage& storage, Executor& executor, TrailOptions options) {
    auto opened = co_await recover_folder(storage, executor, std::move(options.folder));
    if (!opened && opened.error().is(ErrorCode::StorageFull)) {
        co_return Error(ErrorCode::TrailDiskFull, opened.error().detail());
    }
    co_return opened;
}

}  // namespace qiao::trail::internal
