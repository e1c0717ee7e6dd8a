#include "qiao/capture/postgres/source_check.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace qiao::capture::postgres {
namespace {

using drivers::Finding;

SourceFacts healthy() {
    SourceFacts facts;
    facts.version = 150020;
    facts.wal_level = "logical";
    facts.slots_max = facts.senders_max = 10;
    facts.slot_keep_mb = 10'000;
    facts.sender_timeout_ms = 60'000;
    facts.encoding = "UTF8";
    facts.role = "app";
    facts.database = "db";
    facts.may_replicate = facts.may_create = true;
    return facts;
}

SourceTable table(model::Identity identity = model::Identity::PrimaryKey) {
    SourceTable table;
    table.schema.table = {"public", "t"};
    table.schema.identity = identity;
    table.owned = true;
    table.owner = "boss";
    return table;
}

std::vector<Finding> not_good(std::vector<Finding> findings) {
    std::erase_if(findings, [](const Finding& f) { return f.verdict == Finding::Verdict::Good; });
    return findings;
}

// Spec: R-28
TEST(SourceCheck, AHealthySourceHasNothingToMend) {
    EXPECT_TRUE(not_good(judge_source(healthy(), {table()})).empty());
}

TEST(SourceCheck, EachThingThatIsWrongIsFoundAloneWithWhatMendsIt) {
    struct Case {
        void (*spoil)(SourceFacts&, SourceTable&);
        const char* subject;
        const char* mend;
        Finding::Verdict verdict;
    };

    const auto bad = Finding::Verdict::Bad;
    const auto warning = Finding::Verdict::Warning;
    const std::vector<Case> cases{
        {[](SourceFacts& f, SourceTable&) { f.version = 130000; }, "version", "", bad},
        {[](SourceFacts& f, SourceTable&) { f.wal_level = "replica"; },
         "wal_level",
         "ALTER SYSTEM",
         bad},
        {[](SourceFacts& f, SourceTable&) { f.slots_used = 10; },
         "max_replication_slots",
         "= 12",
         bad},
        {[](SourceFacts& f, SourceTable&) { f.senders_used = 9; },
         "max_wal_senders",
         "= 11",
         warning},
        {[](SourceFacts& f, SourceTable&) { f.slot_keep_mb = -1; },
         "max_slot_wal_keep_size",
         "50GB",
         warning},
        {[](SourceFacts& f, SourceTable&) { f.sender_timeout_ms = 900; },
         "wal_sender_timeout",
         "60s",
         warning},
        {[](SourceFacts& f, SourceTable&) { f.encoding = "SQL_ASCII"; },
         "server_encoding",
         "",
         warning},
        {[](SourceFacts& f, SourceTable&) { f.may_replicate = false; },
         "REPLICATION",
         "ALTER ROLE \"app\" REPLICATION",
         bad},
        {[](SourceFacts& f, SourceTable&) { f.may_create = false; },
         "publications",
         "GRANT CREATE ON DATABASE \"db\"",
         bad},
        {[](SourceFacts&, SourceTable& t) { t.owned = false; },
         "public.t",
         "GRANT \"boss\" TO \"app\"",
         bad},
        {[](SourceFacts&, SourceTable& t) { t.schema.identity = model::Identity::None; },
         "public.t",
         "PRIMARY KEY",
         warning},
        {[](SourceFacts&, SourceTable& t) { t.refusal = Refusal{"en", "zh", "fix"}; },
         "public.t",
         "fix",
         bad},
    };
    for (const auto& one : cases) {
        auto facts = healthy();
        auto spoiled = table();
        one.spoil(facts, spoiled);
        const auto findings = not_good(judge_source(facts, {spoiled}));
        ASSERT_EQ(findings.size(), 1U) << one.subject;
        EXPECT_EQ(findings[0].subject, one.subject);
        EXPECT_EQ(findings[0].verdict, one.verdict) << one.subject;
        EXPECT_NE(findings[0].mend.find(one.mend), std::string::npos) << findings[0].mend;
        EXPECT_FALSE(findings[0].message_zh.empty());
    }
}

TEST(SourceCheck, OwnershipDoesNotMatterWhereTheOwnerHasMadeThePublications) {
    auto facts = healthy();
    auto foreign = table();
    foreign.owned = facts.may_create = false;
    facts.publications_right = true;
    EXPECT_TRUE(not_good(judge_source(facts, {foreign})).empty());
}

}  // namespace
}  // namespace qiao::capture::postgres
