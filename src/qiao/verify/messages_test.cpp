#include "qiao/verify/messages.h"

#include "qiao/testing/manual_world.h"
#include "qiao/verify/side_service.h"
#include "qiao/verify/two_sides_test.h"

#include <gtest/gtest.h>

namespace qiao::verify {
namespace {

Bytes taken(model::TupleBuilder& builder) { return std::move(builder).take(); }

TableSpec some_spec() {
    TableSpec spec;
    spec.table = {"public", "t"};
    spec.columns = {
        {"id", drivers::CanonicalColumn::Form::Text}, {"x", drivers::CanonicalColumn::Form::Binary}
    };
    spec.key = {0};
    spec.version_column = "xmin";
    testing::ManualWorld world;
    spec.run_key = world.make_id<RunKey>();
    return spec;
}

drivers::TablePart some_part() {
    drivers::TablePart part;
    part.sample = {500, 7, {"id"}};
    part.range = {"at", "2026-11-22", std::nullopt};
    return part;
}

Bytes some_look() {
    LookRequest request;
    request.spec = some_spec();
    RowDigest digest;
    digest.bytes[3] = std::byte{7};
    request.rows.push_back({digest, taken(model::TupleBuilder(1).text("5"))});
    request.rows.push_back({digest, {}});
    return encode(request);
}

Bytes some_answer() {
    Looked looked;
    looked.position = model::SourcePosition::lsn(1, 2, 3);
    looked.rows.push_back({Fold{1, 2, 3}, 9, {4, 5, 6}});
    looked.rows.emplace_back();
    return encode(looked);
}

TEST(VerifyMessages, ComeBackAsTheyWere) {
    const auto look = some_look();
    EXPECT_EQ(encode(decode_look_request(look).value()), look);
    const auto looked = some_answer();
    EXPECT_EQ(encode(decode_looked(looked).value()), looked);
    const auto sum = encode(SumRequest{some_spec(), 12, 4, {1, 3, 15}});
    EXPECT_EQ(encode(decode_sum_request(sum).value()), sum);
    const auto list = encode(ListRequest{some_spec(), 4, {0, 15}, 77});
    EXPECT_EQ(encode(decode_list_request(list).value()), list);
    const auto shape = encode(ModelShape().shape({"public", "t"}));
    EXPECT_EQ(encode(decode_shape(shape).value()), shape);
    auto spec = some_spec();
    spec.part = some_part();
    const auto part = encode(SumRequest{spec, 12, 4, {1, 3, 15}});
    EXPECT_EQ(decode_sum_request(part)->spec.part, some_part());
    EXPECT_EQ(encode(decode_sum_request(part).value()), part);
}

TEST(VerifyMessages, CarryThePartThatIsMeant) {
    const auto count = encode(CountRequest{{"public", "t"}, some_part()});
    EXPECT_EQ(decode_count_request(count)->part, some_part());
    drivers::RangeWanted wanted{{"at", std::nullopt, "9"}, std::nullopt};
    for (int pass = 0; pass < 2; ++pass) {
        const auto settle = encode(SettleRequest{{"public", "t"}, wanted});
        EXPECT_EQ(decode_settle_request(settle)->wanted, wanted);
        wanted = {{"at", std::nullopt, std::nullopt}, std::chrono::hours(48)};
    }
    const auto range = encode(*some_part().range);
    EXPECT_EQ(decode_range(range).value(), *some_part().range);
    for (size_t size = 0; size < count.size(); ++size) {
        EXPECT_FALSE(decode_count_request(ByteView(count).first(size)).has_value());
    }
    auto beyond = some_part();
    beyond.sample->share = drivers::RowSample::kAll + 1;
    EXPECT_FALSE(decode_count_request(encode(CountRequest{{"public", "t"}, beyond})).has_value());
}

TEST(VerifyMessages, AreRefusedWhenCutShort) {
    const auto look = some_look();
    for (size_t size = 0; size < look.size(); ++size) {
        EXPECT_FALSE(decode_look_request(ByteView(look).first(size)).has_value());
    }
    const auto looked = some_answer();
    for (size_t size = 0; size < looked.size(); ++size) {
        EXPECT_FALSE(decode_looked(ByteView(looked).first(size)).has_value());
    }
}

// What the scanning side relies on is checked where foreign bytes come in.
TEST(VerifyMessages, RefuseRequestsBeyondTheBounds) {
    const auto refused = [](const SumRequest& request) {
        return !decode_sum_request(encode(request)).has_value();
    };
    EXPECT_FALSE(refused({some_spec(), 16, 0, {0}}));
    EXPECT_TRUE(refused({some_spec(), 17, 0, {0}}));     // too many buckets
    EXPECT_TRUE(refused({some_spec(), 4, 8, {0}}));      // coarser than what it lies in
    EXPECT_TRUE(refused({some_spec(), 8, 4, {16}}));     // no such bucket
    EXPECT_TRUE(refused({some_spec(), 8, 4, {3, 3}}));   // not ascending
    EXPECT_TRUE(refused({some_spec(), 49, 40, {0}}));    // finer than a bucket gets
    EXPECT_TRUE(refused({some_spec(), 20, 4, {0, 1}}));  // too many together
    auto spec = some_spec();
    spec.key = {0, 2};  // no such column
    EXPECT_TRUE(refused({spec, 4, 0, {0}}));
    EXPECT_FALSE(decode_list_request(encode(ListRequest{some_spec(), 4, {16}, 1})).has_value());
}

TEST(VerifyMessages, SayWhenTheOtherEndIsNewer) {
    auto look = some_look();
    look[0] = std::byte{3};
    EXPECT_EQ(decode_look_request(look).error().code(), ErrorCode::VerifyTooNew);
}

// Digests of what a party may not read never reach it.
TEST(SideService, AnswersOnlyForWhatIsAllowed) {
    TwoSides sides(1);
    LocalSide side({sides.world, sides.world, sides.source_reader});
    const SideService::Allowed only_a = [](const auto& table, const auto& columns) {
        const auto is_a = [](const auto& column) { return column.name == "a"; };
        return table.name == "t" && std::ranges::all_of(columns, is_a);
    };
    SideService service(side, only_a);
    const auto ask = [&](std::string_view method, Bytes request) {
        return sides.world.run(service.answer(std::string(method), std::move(request), sides.stop));
    };
    EXPECT_TRUE(ask(method::kCount, encode(CountRequest{{"public", "t"}, {}})).has_value());
    const auto other = ask(method::kCount, encode(CountRequest{{"public", "salary"}, {}}));
    ASSERT_FALSE(other.has_value());
    EXPECT_EQ(other.error().code(), ErrorCode::VerifyNotAllowed);
    TableSpec spec = some_spec();
    spec.key = {};
    spec.columns = {{"a", {}}};
    spec.version_column.clear();
    EXPECT_TRUE(ask(method::kSum, encode(SumRequest{spec})).has_value());
    spec.columns.push_back({"b", {}});
    for (const auto method : {method::kSum, method::kList, method::kLook}) {
        const auto request = method == method::kSum    ? encode(SumRequest{spec})
                             : method == method::kList ? encode(ListRequest{spec, 0, {0}, 5})
                                                       : encode(LookRequest{spec, {}});
        const auto answer = ask(method, request);
        ASSERT_FALSE(answer.has_value());
        EXPECT_EQ(answer.error().code(), ErrorCode::VerifyNotAllowed);
    }
    EXPECT_FALSE(ask("verify.unheard_of", {}).has_value());
    EXPECT_EQ(
        ask(method::kMore, encode(MoreRequest{999, 0})).error().code(), ErrorCode::VerifyAnswerLost
    );
}

// Which rows lie in a range tells of the column's values as well as a digest would.
// Spec: R-36
TEST(SideService, RefusesRangesAndSamplesByColumnsThatAreNotAllowed) {
    TwoSides sides(1);
    LocalSide side({sides.world, sides.world, sides.source_reader});
    const SideService::Allowed not_b = [](const auto& /*table*/, const auto& columns) {
        return std::ranges::none_of(columns, [](const auto& column) { return column.name == "b"; });
    };
    SideService service(side, not_b);
    const auto refused = [&](std::string_view method, Bytes request) {
        auto asking = service.answer(std::string(method), std::move(request), sides.stop);
        const auto answer = sides.world.run(std::move(asking));
        return !answer && answer.error().is(ErrorCode::VerifyNotAllowed);
    };
    for (const std::string column : {"a", "b"}) {
        const bool denied = column == "b";
        drivers::TablePart by_range;
        by_range.range = {column, "1", std::nullopt};
        drivers::TablePart by_sample;
        by_sample.sample = {500, 7, {column}};
        for (const auto& part : {by_range, by_sample}) {
            TableSpec spec = some_spec();
            spec.key = {};
            spec.columns = {{"a", {}}};
            spec.version_column.clear();
            spec.part = part;
            EXPECT_EQ(refused(method::kSum, encode(SumRequest{spec})), denied);
            EXPECT_EQ(refused(method::kList, encode(ListRequest{spec, 0, {0}, 5})), denied);
            EXPECT_EQ(refused(method::kLook, encode(LookRequest{spec, {}})), denied);
            EXPECT_EQ(refused(method::kCount, encode(CountRequest{spec.table, part})), denied);
        }
        const drivers::RangeWanted wanted{*by_range.range, std::nullopt};
        const auto settle = encode(SettleRequest{{"public", "t"}, wanted});
        EXPECT_EQ(refused(method::kSettle, settle), denied);
    }
}

// Foreign bytes from the answering end: pages that do not follow are an error, not a loop.
TEST(RemoteSide, RefusesPagesThatDoNotFollow) {
    testing::ManualWorld world;
    StopSignal stop;
    int calls = 0;
    const auto answer = [&](Page page) -> RemoteSide::Call {
        struct Carry {
            static Task<Result<Bytes>> carry(Bytes bytes) { co_return bytes; }
        };
        return [&calls, page](std::string, Bytes, StopSignal&) {
            ++calls;
            return Carry::carry(encode(page));
        };
    };
    for (const auto& page :
         {Page{1, 10, {}}, Page{1, uint64_t{1} << 60U, {std::byte{1}}}, Page{1, 0, {}}}) {
        RemoteSide side(answer(page));
        EXPECT_FALSE(world.run(side.position(stop)).has_value());
    }
    EXPECT_LE(calls, 4);
}

}  // namespace
}  // namespace qiao::verify
