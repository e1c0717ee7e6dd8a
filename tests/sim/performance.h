#pragma once

#include "operator.h"
#include "packet_watch.h"
#include "play.h"
#include "referee.h"
#include "stranger.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qiao::sim {

/// A play that is acted out: perform.cpp has its course from begin to peace, acts.cpp what happens.
class Performance {
public:
    Performance(uint64_t seed, const Play& play)
        : world_(seed),
          referee_(world_),
          operator_(world_),
          stranger_(world_),
          play_(play),
          noises_(world_.clock) {}

    ~Performance();

    Outcome run();

private:
    /// Something to be done later in the play.
    struct Later {
        MonoTime at;
        std::function<void()> what;
    };

    World::Side& side(const Act& act) { return act.right ? world_.right() : world_.left(); }

    void pass(Duration duration);
    void act(const Act& act);
    void act_on_link(const Act& act);
    void act_on_node(const Act& act);
    void act_on_databases(const Act& act);
    void act_on_disk(const Act& act);
    void act_on_target(const Act& act);
    void act_on_tables(const Act& act);
    void restore_source(const Act& act);
    void make_noise(const Act& act);
    Task<void> make_noise(uint64_t what, uint64_t chance);
    Task<void> speak(uint64_t what, uint64_t chance);
    void tend_tables();
    bool is_doubtful() const;
    bool is_alike() const;
    void refuse_rows(const Act& act);
    void write_at_target(uint64_t chance);
    void compare(Operator::Wish wish);
    void start_twin(World::Side& twin, const World::Side& of, uint64_t ms);
    void rot_trail(World::Side& side, uint64_t chance);
    void keep_images();
    void look_at_disks();
    void look_at_packets();
    void hear_what_is_said();
    void look_at_other_flow();
    void look_at_operator();
    bool settled();
    void mend();
    void see_it_stop();
    void see_it_mended();
    void see_it_rest();
    void power_cut(World::Side& side, Duration down);
    void later(uint64_t ms, std::function<void()> what);
    bool look();
    void make_peace();
    void see_it_arrive();
    std::string tell_flow();

    World world_;
    Referee referee_;
    Operator operator_;
    Stranger stranger_;
    PacketWatch packets_;
    const Play& play_;
    Outcome outcome_;
    std::vector<Later> later_;
    bool disaster_ = false;
    bool lost_disk_ = false;
    /// When the comparison under way began: rows that somebody had changed, and whether both ends
    /// had to be equal but for what was under way.
    Referee::Rows excused_before_;
    ColumnSet columns_before_;
    uint64_t tables_touched_ = 0;  ///< acts on tables
    uint64_t touched_before_ = 0;
    bool clean_before_ = false;
    int replays_ = 0;  ///< wished for since the faults have stopped
    /// By the number of the act that puts it back.
    std::map<size_t, std::unique_ptr<testing::MemoryStorage>> disks_;
    std::map<size_t, std::map<std::string, ServerSlot>> slots_;
    std::map<size_t, drivers::model_db::State> targets_;
    std::map<size_t, Referee::Rows> excused_then_;  ///< rows of somebody else in `targets_`
    std::map<size_t, ModelServer::Image> sources_;
    int speaking_ = 0;
    TaskScope noises_;
};

}  // namespace qiao::sim
