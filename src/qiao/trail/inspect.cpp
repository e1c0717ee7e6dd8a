#include "qiao/trail/inspect.h"

#include "qiao/trail/internal/format.h"
#include "qiao/trail/internal/scan.h"
#include "qiao/trail/internal/survey.h"

#include <algorithm>

namespace qiao::trail {
namespace {

using internal::Run;
using internal::Stream;

/// An inspection wakes nobody: its streams have no waiters.
class NoExecutor final : public Executor {
public:
    void post(std::coroutine_handle<>) override { QIAO_ASSERT(false); }

    void run_blocking(std::function<void()>, std::function<void()>) override { QIAO_ASSERT(false); }
};

StreamView view_of(const Stream& stream, const internal::Consumers& consumers) {
    StreamView view;
    view.stream = stream.id;
    view.last = stream.tail;
    if (!stream.runs.empty()) {
        view.first = stream.runs.front().first;
    }
    for (const auto& run : stream.runs) {
        view.records += run.records;
    }
    if (const auto found = consumers.table().find(stream.id); found != consumers.table().end()) {
        view.consumers = found->second;
    }
    return view;
}

SegmentView view_of(const internal::SegmentFacts& facts, const internal::Index& index) {
    SegmentView view;
    view.number = facts.number;
    view.file = internal::segment_name(facts.number);
    view.bytes = facts.file_bytes;
    view.created = facts.created;
    view.release = facts.release;
    view.sealed = facts.sealed;
    for (const auto* stream : index.segments().at(facts.number).streams) {
        const auto run = std::ranges::find(stream->runs, facts.number, &Run::segment);
        if (run != stream->runs.end()) {
            view.streams.push_back(
                {stream->id, run->first, run->last, run->records, run->payload_bytes}
            );
        }
    }
    std::ranges::sort(view.streams, {}, &StreamRun::stream);
    return view;
}

}  // namespace

Task<Result<Inspection>> inspect(Storage& storage, std::string folder) {
    NoExecutor nobody;
    QIAO_CO_TRY(auto survey, co_await internal::survey_folder(storage, nobody, folder));
    Inspection found;
    if (survey.mark) {
        found.mark = {survey.mark->generation, survey.mark->segment, survey.mark->offset};
    }
    for (const auto& facts : survey.segments) {
        found.segments.push_back(view_of(facts, *survey.index));
    }
    for (const auto& [id, consumers] : survey.consumers.table()) {
        survey.index->stream(id);  // one that only has consumers yet is shown too
    }
    for (const auto& [id, stream] : survey.index->streams()) {
        found.streams.push_back(view_of(*stream, survey.consumers));
    }
    std::ranges::sort(found.streams, {}, &StreamView::stream);
    found.damage = std::move(survey.damage);
    found.torn_bytes = survey.torn_bytes;
    found.unmarked_records = survey.unmarked_records;
    co_return std::move(found);
}

Task<Status> visit_records(Storage& storage, std::string folder, VisitRecord visit) {
    QIAO_CO_TRY(const auto found, co_await inspect(storage, folder));
    Bytes record;
    for (const auto& segment : found.segments) {
        QIAO_CO_TRY(
            const auto file, co_await storage.open(folder + "/" + segment.file, OpenMode::Read)
        );
        // Whatever is wrong is passed over here: inspect() tells of it.
        QIAO_CO_TRY(const auto size, file->size());
        QIAO_CO_TRY(const auto scan, co_await internal::scan_segment(*file, segment.number, size));
        for (const auto& run : scan.runs) {
            for (const auto& entry : run.entries) {
                record.resize(entry.bytes);
                QIAO_CO_TRY(const auto got, co_await file->read_at(entry.offset, record));
                if (run.stream && got == entry.bytes) {
                    const auto payload = ByteView(record).subspan(internal::kRecordHeadBytes);
                    visit(*run.stream, entry.point, payload);
                }
            }
        }
    }
    co_return Status{};
}

}  // namespace qiao::trail
