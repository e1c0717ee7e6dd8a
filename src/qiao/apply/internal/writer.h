#pragma once

#include "qiao/apply/internal/chains.h"
#include "qiao/apply/internal/slices.h"
#include "qiao/apply/options.h"

namespace qiao::apply {

/// What helps against an error; decided by its code alone.
enum class Cure : uint8_t {
    Retry,   ///< time
    Mend,    ///< an operator, at the target; tried again meanwhile
    Policy,  ///< this row is the matter
    Never,   ///< fenced, broken stream: stop
};

Cure cure_of(const Error& error);
/// The session cannot be used any more.
bool is_lost(const Error& error);
/// The error with the table and the row that it met.
Error named(const Error& error, const Work& work);

/// Writes the changes of one target transaction, which its owner begins and commits.
class Writer {
public:
    Writer(drivers::TargetSession& session, ErrorChains& chains, const ApplierOptions& options)
        : session_(session), chains_(chains), options_(options) {}

    /// Where a change stands in the stream, for the error table.
    struct Place {
        StreamPoint point;
        model::SourcePosition position;
        const model::TransactionHead* head = nullptr;
    };

    /// Folded and as sets where that is the same. Whatever the error, nothing is to be kept.
    Task<Status> write(std::vector<Work> works, std::vector<Place> places);

    /// In the source's order, row by row, down to the row that is the matter, which is treated by
    /// policy: an error of Cure::Policy names it; or it is laid aside and the rest is written.
    Task<Status> write_carefully(std::vector<Work> works, std::vector<Place> places);

    /// Laid aside since the start, in order; belong to the open transaction.
    const std::vector<drivers::ErrorRow>& laid_aside() const { return laid_aside_; }

    size_t rows() const { return rows_; }

    size_t divergences() const { return divergences_; }

private:
    /// What one step met; the transaction is aborted when there is an error.
    struct Finding {
        std::optional<size_t> index;  ///< which change of the step
        Error error;
    };

    Task<Result<std::optional<Finding>>> run(const Step& step);
    Task<Result<std::optional<Finding>>> upsert(const Step& step);
    static bool can_name(const Step& step);
    drivers::TableWrite as_write(const Step& step) const;
    std::optional<Finding> finding_of(const Step& step, const drivers::WriteResult& result) const;
    static size_t sets_ahead(std::span<const Step> steps);
    Task<Status> run_sets(Slices& slices);
    Task<Status> truncate(const Step& step);
    Task<Status> delete_all(std::vector<const BoundTable*> tables);
    Task<Status> divert_all(std::vector<Work>& works, const std::vector<Place>& places);
    bool diverts(const Work& work) const;
    Task<Status> divert_behind(const Work& work, Place place);
    Task<Status> divert(const Work& work, Place place, Error cause);
    Task<Status> lay_aside(const BoundTable& table, const Work& work, Place place, Error cause);
    /// What was laid aside of tables that are empty now does not matter any more.
    Task<Status> drop_truncated(const Work& work);

    /// A whole row in the place of whatever the target has under its key: of a repair, or of a
    /// source without a log.
    static bool is_whole_row(const Work& work);
    /// How many works from there on are such rows, of one table and one transaction, none twice.
    static size_t whole_rows(const std::vector<Work>& works, size_t from);
    Task<Status> put_whole_rows(
        const std::vector<Work>& works, size_t from, size_t count, Place place
    );

    /// One that was refused, and why.
    struct Refused {
        size_t at;
        Error error;
    };

    /// Those that go in together, with room made for them, are taken out of `refused`.
    Task<Status> put_together(
        const std::vector<Work>& works, std::vector<Refused>& refused, Place place
    );
    Task<Result<std::optional<Finding>>> try_together(
        const std::vector<Work>& works, const std::vector<Refused>& refused
    );
    /// It went in, so the row is right, and what waits behind it goes.
    Task<Status> went_in(const Work& work, Place place);
    /// With a chain went a change of another row, too, of which nothing is known any more.
    Task<Status> doubt(model::TableName table, model::SourcePosition place);
    /// Writes works [from, from + count) behind a savepoint. The index of the finding is among
    /// them.
    Task<Result<std::optional<Finding>>> try_run(
        const std::vector<Work>& works, size_t from, size_t count
    );
    /// Behind a savepoint. The index of the finding counts the changes of all steps.
    Task<Result<std::optional<Finding>>> try_steps(std::span<const Step> steps);
    size_t run_length(const std::vector<Work>& works, size_t from) const;

    drivers::TargetSession& session_;
    ErrorChains& chains_;
    const ApplierOptions& options_;
    std::vector<drivers::ErrorRow> laid_aside_;
    size_t rows_ = 0;
    size_t divergences_ = 0;
};

}  // namespace qiao::apply
