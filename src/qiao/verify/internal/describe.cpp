#include "qiao/verify/internal/describe.h"

#include <algorithm>

namespace qiao::verify::internal {
namespace {

constexpr size_t kShortDigestBytes = 6;
/// Rows on one side only are paired up to here: the work grows with the square.
constexpr size_t kPairedMax = 500;

std::string short_digest(const RowDigest& digest) {
    return to_hex(digest.view().first(kShortDigestBytes));
}

std::vector<KeyPart> read_key(const Bytes& key, const TableSpec& spec) {
    std::vector<KeyPart> parts;
    const auto tuple = model::Tuple::parse(key);
    if (!tuple) {
        return parts;
    }
    tuple->for_each([&](size_t i, const model::Value& value) {
        KeyPart part{spec.columns[spec.key[i]].name, std::nullopt};
        if (value.kind != model::ValueKind::Null) {
            part.value = std::string(as_text(value.bytes));
        }
        parts.push_back(std::move(part));
    });
    return parts;
}

std::vector<std::string> differing(
    const std::vector<uint64_t>& one, const std::vector<uint64_t>& other, const TableSpec& spec
) {
    std::vector<std::string> names;
    if (one.size() == spec.columns.size() && other.size() == spec.columns.size()) {
        for (size_t i = 0; i < one.size(); ++i) {
            if (one[i] != other[i]) {
                names.push_back(spec.columns[i].name);
            }
        }
    }
    return names;
}

Difference describe(const Candidate& candidate, const TableSpec& spec) {
    Difference difference;
    const auto& source = candidate.source;
    const auto& target = candidate.target;
    difference.row = short_digest(candidate.digest);
    difference.key = candidate.key.empty() ? std::vector<KeyPart>() : read_key(candidate.key, spec);
    difference.source_copies = source.rows.count;
    difference.target_copies = target.rows.count;
    if (target.rows.count == 0) {
        difference.kind = Difference::Kind::MissingAtTarget;
    } else if (source.rows.count == 0) {
        difference.kind = Difference::Kind::ExtraAtTarget;
    } else if (source.rows.count != target.rows.count) {
        difference.kind = Difference::Kind::Copies;
    } else {
        difference.kind = Difference::Kind::Differs;
        difference.columns = differing(source.columns, target.columns, spec);
    }
    return difference;
}

/// Rows of a keyless table that are on one side only, to be paired.
class Pairs {
public:
    Pairs(const std::vector<Candidate>& confirmed, const TableSpec& spec) : spec_(spec) {
        for (const auto& candidate : confirmed) {
            const bool missing = candidate.target.rows.count == 0;
            const bool extra = candidate.source.rows.count == 0;
            if (missing && missing_.size() < kPairedMax) {
                missing_.push_back(&candidate);
            } else if (extra && extra_.size() < kPairedMax) {
                extra_.push_back(&candidate);
            }
        }
    }

    /// Nearest first: fewest differing columns.
    std::vector<std::pair<const Candidate*, const Candidate*>> nearest() {
        std::vector<std::pair<const Candidate*, const Candidate*>> pairs;
        for (size_t most = 1; 2 * most <= spec_.columns.size(); ++most) {
            for (const auto*& missing : missing_) {
                const auto close = [&](const Candidate* extra) {
                    return missing != nullptr && extra != nullptr && near(*missing, *extra, most);
                };
                const auto extra = std::ranges::find_if(extra_, close);
                if (extra != extra_.end()) {
                    pairs.emplace_back(std::exchange(missing, nullptr), *extra);
                    *extra = nullptr;
                }
            }
        }
        return pairs;
    }

private:
    bool near(const Candidate& missing, const Candidate& extra, size_t most) const {
        const auto count = differing(missing.source.columns, extra.target.columns, spec_).size();
        return count != 0 && count <= most && missing.source.rows.count == extra.target.rows.count;
    }

    const TableSpec& spec_;
    std::vector<const Candidate*> missing_;
    std::vector<const Candidate*> extra_;
};

}  // namespace

void describe_differences(
    const std::vector<Candidate>& confirmed,
    const Plan& plan,
    const VerifyOptions& options,
    TableReport& report
) {
    std::vector<const Candidate*> told;
    if (plan.source.keyless()) {
        for (const auto& [missing, extra] : Pairs(confirmed, plan.source).nearest()) {
            auto difference = describe(*missing, plan.source);
            difference.kind = Difference::Kind::Differs;
            difference.target_copies = extra->target.rows.count;
            difference.columns =
                differing(missing->source.columns, extra->target.columns, plan.source);
            report.differences.push_back(std::move(difference));
            --report.confirmed;
            told.push_back(missing);
            told.push_back(extra);
        }
    }
    std::ranges::sort(told);
    for (const auto& candidate : confirmed) {
        if (report.differences.size() >= options.differences_shown) {
            break;
        }
        if (!std::ranges::binary_search(told, &candidate)) {
            report.differences.push_back(describe(candidate, plan.source));
        }
    }
}

}  // namespace qiao::verify::internal
