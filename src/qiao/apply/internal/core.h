#pragma once

#include "qiao/apply/applier.h"
#include "qiao/apply/internal/catalogue.h"
#include "qiao/apply/internal/chains.h"
#include "qiao/apply/internal/table_states.h"
#include "qiao/apply/internal/turn.h"
#include "qiao/apply/internal/unit.h"
#include "qiao/apply/internal/writer.h"

#include <optional>
#include <variant>

namespace qiao::apply {

/// The applier's parts and state. Its work is spread over gather.cpp (what goes into a unit),
/// commit.cpp (one unit into one target transaction), applier.cpp (tries and failures) and
/// streamed.cpp (transactions too large to hold).
struct Applier::Core {
    Core(
        drivers::TargetDatabase& target,
        Executor& executor,
        Clock& time,
        Rng& chance,
        ApplierOptions settings,
        ApplyObserver& listener
    );

    /// Something may be missing between two epochs: no table is proven, and no load that is under
    /// way is of the newer one.
    struct Gap {
        model::SourcePosition start;    ///< of the newer one
        bool begins_elsewhere = false;  ///< loads are joined at `start` instead
    };

    /// The stream begins here. What a table was loaded up to before that lacks what lies between.
    struct Beginning {
        model::SourcePosition start;
    };

    /// A table is to stand in a status, whatever else is known of it.
    struct Stand {
        model::TableName table;
        drivers::TableStatus status = drivers::TableStatus::Paused;
        std::string note;
        model::SourcePosition doubted_at{};
    };

    /// What a table has become at the source, and the first commit that shows it.
    struct NewShape {
        model::SchemaId id;
        model::SourcePosition place;
    };

    using Marking = std::variant<drivers::TableState, Stand, model::TableNotice, Gap, Beginning>;

    drivers::TargetDatabase& database;
    Executor& executor;
    Clock& clock;
    Rng& rng;
    ApplierOptions options;
    ApplyObserver& observer;

    std::optional<Channel<Input>> input;    ///< a new one after rewind()
    std::optional<Input> held;              ///< taken, belongs to the next unit
    std::optional<Transaction> assembling;  ///< fragments of a transaction that is not whole yet
    std::optional<model::TransactionHead> passing;  ///< fragments of an applied one: passed over
    Unit unit;
    // Taken from the input, known, and to be saved with the next commit.
    std::vector<model::TableSchema> unsaved_schemas;
    std::vector<Marking> markings;                    ///< of tables' states
    std::vector<drivers::TableState> unsaved_states;  ///< what they come to, as far as is known
    std::vector<NewShape> new_shapes;                 ///< of known tables, not looked at yet

    std::unique_ptr<drivers::TargetSession> session;
    drivers::CheckpointRow checkpoint;  ///< committed
    Catalogue catalogue;
    ErrorChains chains;
    TableStates states;
    std::optional<uint64_t> interventions;  ///< after which states and chains were read
    Turn turn;
    ApplyStatus status;
    /// What the target holds, or whose it is, is not known until open().
    std::optional<Error> doubt;
    Backoff backoff;
    size_t rows_goal;

    // -- gather.cpp --

    /// Fills `unit` with what waits, at least one input unless a stop or the end comes first.
    /// False: the input has ended.
    Task<Result<bool>> gather(StopSignal& stop);
    Task<std::optional<Input>> next();

    enum class Taken : uint8_t {
        Yes,
        NextUnit,  ///< belongs to the unit after this one
        WaitLoad,  ///< needs a load that is under way
        TooLarge,  ///< `assembling` is over the bound: to be applied as it comes
    };

    Result<Taken> take(Input& input);
    Result<Taken> take_fragment(Fragment& fragment);
    Result<Taken> take_transaction();
    Result<Taken> take_epoch(EpochOpened& epoch);
    void take_progress(const Progress& progress);
    /// Whether a transaction is already applied. Errors: apply.other_history.
    Result<bool> is_applied(const model::TransactionHead& head) const;
    std::optional<std::string> awaited_load(const Transaction& transaction) const;
    Task<Status> wait_for_load(const Transaction& transaction, StopSignal& stop);
    Task<Status> take_waiting(StopSignal& stop);

    // -- markings.cpp --

    /// To be saved with the next commit.
    void mark(Marking marking);
    void take(const Marking& marking);
    void take(const Gap& gap);
    void take(const Beginning& beginning);
    void set_unsaved(drivers::TableState state);
    /// Once more, on states that were read anew.
    void take_markings();
    Task<Status> save_states();

    // -- commit.cpp --

    enum class Mode : uint8_t { Sets, Careful };

    struct Attempt {
        enum class Kind : uint8_t { Committed, Careful, WaitLoad, Failed } kind = Kind::Committed;
        std::optional<Error> error;
    };

    /// One try of one unit.
    Task<Attempt> attempt(Unit& what, Mode mode, StopSignal& stop);
    /// `passed`: see model::TransactionHead::origin.
    Task<Status> begin_unit(std::string passed);
    void ask_again_for_lost(const std::vector<drivers::TableState>& known);
    Task<Status> finish_unit();
    /// Moves the checkpoint too.
    Task<Attempt> commit(drivers::CheckpointRow after, StopSignal& stop);
    /// After a lost COMMIT: whether it took effect. Errors: apply.fenced, common.cancelled.
    Task<Result<bool>> settle(drivers::CheckpointRow after, StopSignal& stop);
    Task<Result<bool>> stands_at(drivers::CheckpointRow row);
    Task<Status> connect();
    /// Rolls back, or gives the session up.
    Task<void> abandon(Error error);
    Task<Status> bind(const Transaction& transaction);
    Task<Status> bind(model::SchemaId id, model::SourcePosition place);
    /// What a table has become at the source may be what the target cannot take: then it stands,
    /// alone, until its target has followed. Spec: R-48
    Task<Status> look_at_shapes();
    Task<Result<std::vector<std::string>>> missing_at_target(model::TableSchema now);
    void pause_table(
        const model::TableName& table, std::string note, const model::SourcePosition& place
    );
    void add_schema(model::TableSchema schema);
    /// The changes that are due, with their tables; marks tables that leave step.
    Result<std::vector<Work>> due_works(
        const std::vector<Fragment>& parts,
        const model::TransactionHead& head,
        size_t number,
        std::vector<drivers::TableState>& leaving
    );
    enum class Fate : uint8_t { Apply, Park, Pass };
    Result<Fate> fate_of(
        const BoundTable& table,
        const model::TransactionHead& head,
        std::vector<drivers::TableState>& leaving
    );
    Status add_row(
        const model::Change& change,
        const model::TransactionHead& head,
        size_t number,
        std::vector<Work>& works,
        std::vector<drivers::TableState>& leaving
    );
    /// One work for the tables that flow, one for each that is paused.
    Status add_truncation(
        const model::Change& change,
        const model::TransactionHead& head,
        size_t number,
        std::vector<Work>& works,
        std::vector<drivers::TableState>& leaving
    );
    Task<Status> save_leaving(const std::vector<drivers::TableState>& leaving);
    Task<Status> write_unit(Writer& writer, Unit& what, Mode mode);
    void note_committed(const Unit& what, const Writer& writer, Duration elapsed);
    void report(
        const drivers::CheckpointRow& after, size_t transactions, size_t rows, WallTime newest
    );

    // -- applier.cpp --

    /// Ends what run() does as soon as it can.
    void doubt_all(Error why);
    Task<Status> load_beside();
    Task<Status> load_states();
    Task<Status> apply_unit(StopSignal& stop);
    /// Tries until committed. False: only careful work can tell the row that is the matter.
    Task<Result<bool>> persist(Unit& what, Mode mode, StopSignal& stop);
    /// After a failure: shows it and waits. An error: not to be tried again.
    Task<Status> pause_after(Error error, StopSignal& stop);

    // -- streamed.cpp --

    enum class Streamed : uint8_t {
        Committed,
        Dropped,   ///< its sender gave it up; what came instead is in `held`
        Ended,     ///< the input ended within it
        WaitLoad,  ///< a fragment, now in `assembling`, needs a load that is under way
    };

    /// Applies `assembling` and its fragments to come in one target transaction.
    /// Errors: apply.rewind: its fragments are gone and must come again.
    Task<Status> apply_streamed(StopSignal& stop);
    Task<Result<Streamed>> stream_transaction(StopSignal& stop);
    Task<Status> write_fragments(Writer& writer, Transaction& transaction);
    /// Puts the next fragment into the transaction; else what became of it.
    Task<std::optional<Streamed>> next_fragment(Transaction& transaction);
};

}  // namespace qiao::apply
