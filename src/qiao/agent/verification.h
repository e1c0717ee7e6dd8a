#pragma once

#include "qiao/agent/comparison.h"
#include "qiao/agent/databases.h"
#include "qiao/agent/kept_different.h"
#include "qiao/agent/source_line.h"
#include "qiao/common/async/scope.h"
#include "qiao/common/storage.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qiao::agent {

/// What an operator asks an agent to compare.
struct VerifyRequest {
    std::string flow;
    std::vector<std::string> tables;  ///< patterns; empty, or a star alone: all of the flow
    /// Catch up and bring sequences first; equal and at rest, or an error.
    bool switchover = false;
    bool reopen = false;  ///< begin a new epoch first, if the flow cannot go on
    ComparisonOptions options;

    /// From the JSON object of a question on the status socket. Errors: common.config.
    static Result<VerifyRequest> parse(std::string_view json);
};

/// One comparison by the source's agent: its own database here, the other one through the link.
/// Spec: R-35
class Verification {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        Databases& databases;
        SourceLine& line;
    };

    Verification(Parts parts, VerifyRequest request, std::string id);
    ~Verification();

    /// Once, until done or stopped.
    Task<void> run(StopSignal& stop);

    void cancel() { stop_.request(); }

    bool cancelled() const { return stop_.requested(); }

    const std::string& id() const { return id_; }

    const VerifyRequest& request() const { return request_; }

    bool done() const { return outcome_.has_value(); }

    ComparisonProgress progress() const;

    /// Of a switchover: when the target last had everything; none: not yet.
    const std::optional<SourceLine::Settled>& settled() const { return settled_; }

    /// After done().
    const Result<ComparisonReport>& outcome() const { return *outcome_; }

    WallTime ended_at() const { return ended_at_; }

private:
    Task<Status> reopen();
    Task<Result<ComparisonReport>> compare();
    Task<Result<ComparisonReport>> switch_over();
    Task<Status> settle();
    Task<Status> settle_at_rest();
    Task<Result<std::vector<verify::TablePair>>> pairs();
    Task<Result<Bytes>> ask(std::string method, Bytes request, StopSignal& stop);

    Parts parts_;
    VerifyRequest request_;
    std::string id_;
    StopSignal stop_;
    std::unique_ptr<Comparison> comparison_;
    std::optional<SourceLine::Settled> settled_;
    std::optional<Result<ComparisonReport>> outcome_;
    WallTime ended_at_;
};

/// The comparisons of one node: one at a time for each flow, the last few kept to be asked for, and
/// every report in a file `reports/verify-<flow>-<time>.json` of the state folder.
class Verifications {
public:
    struct Parts {
        Executor& executor;
        Clock& clock;
        Rng& rng;
        Storage& storage;
        Databases& databases;
        std::string folder;  ///< of reports
        KeptDifferent& different;
    };

    explicit Verifications(Parts parts) : parts_(std::move(parts)), scope_(parts_.executor) {}

    /// Before all else: takes up what was found different before a restart. Errors: common.config
    /// for a damaged file, which tells how to go on.
    Task<Status> open();

    /// Starts one and gives its id. Errors: verify.busy.
    Result<std::string> start(SourceLine& line, VerifyRequest request);

    /// Null: there is none of this id.
    Verification* find(std::string_view id);

    /// Of a flow; null: none since the node was opened.
    const Verification* newest(std::string_view flow) const;

    /// Tables of a flow that were found different, and not equal in all their rows after that.
    /// Spec: R-36
    std::vector<model::TableName> different(const std::string& flow) const;

    /// Starts those that the flows' schedules name now, of flows that follow; one that is under way
    /// goes on instead. About once a second.
    void keep_calendar(const std::vector<std::unique_ptr<SourceLine>>& lines);

    /// Ends all; awaited before the lines go.
    Task<void> close();

private:
    Task<void> run(Verification& verification);
    void note(const Verification& verification);
    Task<Status> keep(const Verification& verification);

    Parts parts_;
    std::deque<std::unique_ptr<Verification>> all_;
    std::map<std::string, VerifyCalendar> calendars_;  ///< by flow
    TaskScope scope_;
};

/// How one stands, as the answer to a question: progress, or its report as object and as text in
/// both languages.
std::string to_json(const Verification& verification);

}  // namespace qiao::agent
