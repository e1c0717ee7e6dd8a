#include "performance.h"

#include <algorithm>
#include <array>

// What happens to a world.
namespace qiao::sim {
namespace {

bool is_disaster(ActKind kind) { return kind >= ActKind::RestoreDisk; }

/// An operation that changes nothing.
void fail_looking(testing::MemoryStorage& disk, uint64_t chance, uint64_t after) {
    using testing::DiskOp;
    constexpr auto kLooks = std::to_array({DiskOp::Open, DiskOp::Read, DiskOp::Read, DiskOp::List});
    disk.strike(kLooks[chance % kLooks.size()], after, testing::DiskFailure::Error);
}

}  // namespace

/// What is put back later is what it was so many acts before.
void Performance::keep_images() {
    for (size_t later = outcome_.at_act; later < play_.size(); ++later) {
        const auto& act = play_[later];
        const bool now = later - std::min<size_t>(later, act.a) == outcome_.at_act;
        if (now && act.kind == ActKind::RestoreDisk) {
            disks_[later] = side(act).disk->copy(act.b);
            slots_[later] = world_.server.slots;
        } else if (now && act.kind == ActKind::RestoreTarget) {
            targets_[later] = world_.target_database.committed();
            excused_then_[later] = referee_.excused();
        } else if (now && act.kind == ActKind::RestoreSource) {
            sources_[later] = world_.server.image();
        }
    }
}

void Performance::start_twin(World::Side& twin, const World::Side& of, uint64_t ms) {
    if (twin.running) {
        return;
    }
    world_.replace_disk(twin, of.disk->copy(ms));
    world_.start(twin);
    later(ms, [this, &twin] { world_.kill(twin); });
}

/// Those whose key begins with a digit.
void Performance::refuse_rows(const Act& act) {
    const auto& tables = world_.server.tables();
    const auto number = act.b % tables.size();
    const auto place = tables[number].key.front();
    const auto digit = static_cast<char>('0' + act.b / tables.size() % 10);
    auto& refusals = world_.target_database.refusals;
    refusals.push_back({tables[number].name, {}, ErrorCode::DbConstraint, [=](const Row& row) {
                            return row[place] && row[place]->front() == digit;
                        }});
    later(act.a, [&refusals] {
        if (!refusals.empty()) {
            refusals.erase(refusals.begin());
        }
    });
}

/// A row goes, comes, or has another value.
void Performance::write_at_target(uint64_t chance) {
    auto& target = world_.target_database;
    const auto& tables = world_.server.tables();
    const auto number = chance % tables.size();
    const auto& table = tables[number];
    const auto state = target.committed().table_states.find({world_.stream(), tables[number].name});
    if (state == target.committed().table_states.end() ||
        state->second.status != drivers::TableStatus::Live) {
        return;  // a load that finds rows refuses to begin
    }
    const auto rows = target.rows(table.name);
    Row gone, come;
    chance /= tables.size();
    if (chance % 3 == 0 || rows.empty()) {
        come = Row(target.committed().tables.at(table.name)->target().columns.size());
        for (const auto place : table.key) {
            come[place] = std::to_string(chance / 3 % 60);
        }
        if (table.unique) {
            come[*table.unique] = std::to_string(chance / 7 % 40);
        }
    } else {
        gone = rows[chance / 3 % rows.size()];
    }
    if (chance % 3 == 1) {
        come = gone;
        come[1] = "foreign";
    }
    if (target.foreign_change(table.name, gone, come)) {
        referee_.excuse(number, table.key_of(gone.empty() ? come : gone));
        if (!come.empty()) {
            referee_.excuse(number, table.key_of(come));
        }
    }
}

void Performance::compare(Operator::Wish wish) {
    if (!operator_.comparing()) {
        excused_before_ = referee_.excused();
        columns_before_ = referee_.doubtful_columns();
        touched_before_ = tables_touched_;
        clean_before_ =
            !disaster_ && is_alike() && excused_before_.empty() && referee_.laid_aside() == 0;
        operator_.compare(wish);
    }
}

void Performance::rot_trail(World::Side& side, uint64_t chance) {
    auto paths = side.disk->paths();
    std::erase_if(paths, [](const std::string& path) {
        return !path.starts_with("state/trail/") || path.ends_with("lock");
    });
    if (paths.empty()) {
        return;
    }
    const auto& path = paths[chance % paths.size()];
    const auto size = side.disk->content(path)->size();
    chance /= paths.size();
    const auto place = size == 0 ? 0 : chance / 5 % size;
    if (chance % 5 == 0) {
        side.disk->cut(path, place);
    } else if (size != 0) {
        // The first bytes of a file say what it is.
        side.disk->flip(path, chance % 5 == 1 ? place % 64 : place);
    }
}

void Performance::act_on_disk(const Act& act) {
    auto& node = side(act);
    if (act.kind == ActKind::RotTrail) {
        rot_trail(node, act.b);
        if (act.a % 2 == 0) {
            power_cut(node, milliseconds(act.a));  // what is read anew shows it
        }
        return;
    }
    const bool custodian = act.right && world_.custody() == engine::Custody::Hop;
    if (act.kind == ActKind::LoseDisk && custodian) {
        return;  // what it held and the target had not applied would be lost with it
    }
    lost_disk_ = true;
    auto disk = act.kind == ActKind::LoseDisk
                    ? std::make_unique<testing::MemoryStorage>(world_.clock, act.a)
                    : std::move(disks_[outcome_.at_act]);
    world_.replace_disk(node, std::move(disk));
    if (act.kind == ActKind::RestoreDisk && !act.right) {
        // The server lost its power too, and has not written its slots since.
        world_.server.crash();
        for (const auto& [name, slot] : slots_[outcome_.at_act]) {
            world_.server.slots[name].confirmed = slot.confirmed;
        }
    }
    world_.start(node);
}

void Performance::act(const Act& act) {
    disaster_ = disaster_ || is_disaster(act.kind);
    ++outcome_.acts[static_cast<size_t>(act.kind)];
    switch (act.kind) {
        case ActKind::Nothing:
            break;
        case ActKind::Load:
            world_.set_load(act.a);
            break;
        case ActKind::JumpClock:
            world_.clock.jump_wall(milliseconds(static_cast<int64_t>(act.a)));
            break;
        case ActKind::CutLink:
        case ActKind::CutAfterBytes:
        case ActKind::RefuseLink:
        case ActKind::SwallowLink:
        case ActKind::SlowLink:
            act_on_link(act);
            break;
        case ActKind::CutSource:
        case ActKind::CrashSource:
        case ActKind::FlakySource:
        case ActKind::FlakyTarget:
        case ActKind::UnknownCommit:
        case ActKind::RecreateSlot:
        case ActKind::RestoreTarget:
            act_on_databases(act);
            break;
        case ActKind::StartTwin:
            start_twin(world_.twin(), world_.right(), act.a);
            break;
        case ActKind::TwinSource:
            start_twin(world_.source_twin(), world_.left(), act.a);
            break;
        case ActKind::Stranger:
            stranger_.offer(static_cast<Stranger::Wish>(act.b % Stranger::kWishes));
            break;
        case ActKind::Compare:
            compare({.repair = act.b != 0});
            break;
        case ActKind::RefuseRows:
            refuse_rows(act);
            break;
        case ActKind::Replay:
            operator_.replay(false);
            break;
        case ActKind::ForeignWrite:
            write_at_target(act.b);
            break;
        case ActKind::AlterTable:
        case ActKind::FollowShape:
        case ActKind::PauseTable:
        case ActKind::ResyncTable:
            act_on_tables(act);
            break;
        case ActKind::Noise:
            make_noise(act);
            break;
        case ActKind::GarbleSource:
            world_.server.garbled = static_cast<uint32_t>(act.a);
            break;
        case ActKind::RestoreSource:
            restore_source(act);
            break;
        case ActKind::LoseDisk:
        case ActKind::RestoreDisk:
        case ActKind::RotTrail:
            act_on_disk(act);
            break;
        default:
            act_on_node(act);
            break;
    }
}

void Performance::act_on_link(const Act& act) {
    auto& network = world_.network;
    if (act.kind == ActKind::CutLink) {
        network.cut();
    } else if (act.kind == ActKind::CutAfterBytes) {
        network.cut_after(act.a);
    } else if (act.kind == ActKind::RefuseLink) {
        network.set_refusing(true);
        network.cut();
        later(act.a, [&network] { network.set_refusing(false); });
    } else if (act.kind == ActKind::SwallowLink) {
        network.swallow();
    } else {
        network.set_delay(milliseconds(act.a));
        network.set_chunk_bytes(act.b);
    }
}

void Performance::act_on_node(const Act& act) {
    auto& node = side(act);
    if (act.kind == ActKind::Kill) {
        power_cut(node, milliseconds(act.a));
    } else if (act.kind == ActKind::End) {
        world_.end(node);
        later(act.a, [this, &node] { world_.start(node); });
    } else if (act.kind == ActKind::FailChange && act.b % 3 == 0) {
        fail_looking(*node.disk, act.b / 3, act.a);
    } else if (act.kind == ActKind::FailChange) {
        node.disk->fail_change(act.a);
    } else if (act.kind == ActKind::CrashAtChange) {
        node.disk->crash_at_change(act.a);
    } else {
        node.disk->set_capacity(node.disk->used_bytes() + act.a % 1000);
        later(act.a, [&node] { node.disk->set_capacity(UINT64_MAX); });
    }
}

void Performance::act_on_databases(const Act& act) {
    auto& target = world_.target_database;
    if (act.kind == ActKind::CutSource) {
        world_.server.cut_sessions();
    } else if (act.kind == ActKind::CrashSource) {
        world_.server.crash();
    } else if (act.kind == ActKind::FlakySource) {
        world_.server.lost = static_cast<uint32_t>(act.a);
    } else if (act.kind == ActKind::FlakyTarget) {
        const auto much = static_cast<uint32_t>(act.a);
        target.faults = {
            .connect_refused = much,
            .lost = much / 4,
            .serialization = much / 2,
            .resource = much / 8,
            .commit_unknown = much
        };
    } else if (act.kind == ActKind::RecreateSlot) {
        world_.server.cut_sessions();
        for (auto& [name, slot] : world_.server.slots) {
            slot.confirmed = slot.on_disk = world_.server.end();
        }
    } else if (act.kind == ActKind::RestoreTarget) {
        target.restore(std::move(targets_[outcome_.at_act]));
        referee_.forget();
        for (const auto& [table, key] : excused_then_[outcome_.at_act]) {
            referee_.excuse(table, key);
        }
        excused_before_.clear();  // a comparison under way has not seen them
    } else {
        using Fate = drivers::model_db::ModelDatabase::CommitFate;
        target.next_commits.push_back(act.b != 0 ? Fate::UnknownCommitted : Fate::UnknownLost);
    }
}

}  // namespace qiao::sim
