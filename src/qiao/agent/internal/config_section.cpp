#include "qiao/agent/internal/config_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>

namespace qiao::agent::internal {
namespace {

/// Insertions, deletions and replacements between two words.
size_t distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row[b.size()];
}

std::string list_of(std::initializer_list<std::string_view> words) {
    return fmt::format("one of: {}", fmt::join(words, ", "));
}

}  // namespace

Section::Section(const YAML::Node& node, std::string file, std::string name)
    : node_(node), file_(std::move(file)), name_(std::move(name)) {
    if (node_.IsNull() || !node_.IsDefined()) {
        return;
    }
    if (!node_.IsMap()) {
        throw refuse_at(node_.Mark(), "", "settings are written `key: value`");
    }
    std::set<std::string> seen;
    for (const auto& entry : node_) {
        const auto key = entry.first.IsScalar() ? entry.first.Scalar() : std::string();
        if (key.empty()) {
            throw refuse_at(entry.first.Mark(), "", "settings are written `key: value`");
        }
        if (!seen.insert(key).second) {
            throw refuse_at(entry.first.Mark(), key, "stands here twice");
        }
    }
}

std::string Section::qualified(const std::string& key) const {
    if (name_.empty() || key.empty()) {
        return name_.empty() ? key : name_;
    }
    return name_ + "." + key;
}

Refused Section::refuse_at(const YAML::Mark& mark, const std::string& key, const std::string& why)
    const {
    const auto line = mark.is_null() ? 1 : mark.line + 1;
    const auto whole = qualified(key);
    const auto about = whole.empty() ? std::string() : fmt::format("`{}`: ", whole);
    return {Error(ErrorCode::Config, fmt::format("{}:{}: {}{}", file_, line, about, why))};
}

Refused Section::refuse(const std::string& key, const std::string& why) const {
    if (node_.IsMap()) {
        for (const auto& entry : node_) {
            if (entry.first.Scalar() == key) {
                return refuse_at(entry.first.Mark(), key, why);
            }
        }
    }
    return refuse_at(node_.Mark(), key, why);
}

YAML::Node Section::find(const char* key) {
    if (std::ranges::find(known_, key) == known_.end()) {
        known_.emplace_back(key);
    }
    const YAML::Node& look = node_;
    const auto found = look.IsMap() ? look[key] : YAML::Node(YAML::NodeType::Undefined);
    return found.IsDefined() && !found.IsNull() ? found : YAML::Node(YAML::NodeType::Undefined);
}

YAML::Node Section::need(const char* key) {
    auto found = find(key);
    if (!found.IsDefined()) {
        throw refuse(key, "is missing");
    }
    return found;
}

std::string Section::scalar(const char* key, const YAML::Node& node) const {
    if (!node.IsScalar() || node.Scalar().empty()) {
        throw refuse(key, "one value is wanted");
    }
    return node.Scalar();
}

bool Section::has(const char* key) { return find(key).IsDefined(); }

std::string Section::text(const char* key) { return scalar(key, need(key)); }

std::string Section::text_or(const char* key, std::string otherwise) {
    return has(key) ? text(key) : std::move(otherwise);
}

std::string Section::beside_file(std::string path) const {
    const auto slash = file_.rfind('/');
    if (path.front() == '/' || slash == std::string::npos) {
        return path;
    }
    return file_.substr(0, slash + 1) + path;
}

std::string Section::path(const char* key) { return beside_file(text(key)); }

std::string Section::path_or(const char* key, std::string otherwise) {
    return has(key) ? path(key) : std::move(otherwise);
}

std::vector<std::string> Section::paths_or_none(const char* key) {
    if (!has(key)) {
        return {};
    }
    auto all = find(key).IsSequence() ? texts(key) : std::vector{text(key)};
    for (auto& one : all) {
        one = beside_file(std::move(one));
    }
    return all;
}

bool Section::flag_or(const char* key, bool otherwise) {
    const auto word = choice_or(key, {"true", "false"}, otherwise ? "true" : "false");
    return word == "true";
}

std::pair<uint64_t, std::string> Section::quantity(const char* key, const YAML::Node& node) const {
    const auto text = scalar(key, node);
    uint64_t number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc{}) {
        throw refuse(key, fmt::format("`{}` is not a number", text));
    }
    const auto used = static_cast<size_t>(read.ptr - text.data());
    const auto unit = text.find_first_not_of(' ', used);
    return {number, unit == std::string::npos ? "" : text.substr(unit)};
}

uint64_t Section::number_or(const char* key, uint64_t otherwise) {
    const auto node = find(key);
    if (!node.IsDefined()) {
        return otherwise;
    }
    const auto [number, unit] = quantity(key, node);
    if (!unit.empty()) {
        throw refuse(key, "a whole number is wanted");
    }
    return number;
}

uint64_t Section::size_or(const char* key, uint64_t otherwise) {
    static const std::map<std::string, uint32_t> kShifts{
        {"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}
    };
    const auto node = find(key);
    if (!node.IsDefined()) {
        return otherwise;
    }
    const auto [number, unit] = quantity(key, node);
    const auto shift = kShifts.find(unit);
    if (shift == kShifts.end() || number > (UINT64_MAX >> shift->second)) {
        throw refuse(key, "a size is written 64MiB, 8GiB or in bytes");
    }
    return number << shift->second;
}

Duration Section::duration_or(const char* key, Duration otherwise) {
    using namespace std::chrono;
    static const std::map<std::string, Duration> kUnits{
        {"ms", milliseconds(1)},
        {"", seconds(1)},
        {"s", seconds(1)},
        {"m", minutes(1)},
        {"h", hours(1)},
        {"d", hours(24)},
    };
    const auto node = find(key);
    if (!node.IsDefined()) {
        return otherwise;
    }
    const auto [number, unit] = quantity(key, node);
    const auto known = kUnits.find(unit);
    constexpr auto kMost = duration_cast<Duration>(hours(24 * 365 * 10)).count();
    const bool good =
        known != kUnits.end() && number <= static_cast<uint64_t>(kMost / known->second.count());
    if (!good) {
        throw refuse(key, "a time is written 500ms, 10s, 30m, 24h or 7d");
    }
    return known->second * static_cast<int64_t>(number);
}

std::string Section::choice(const char* key, std::initializer_list<std::string_view> words) {
    const auto word = text(key);
    if (std::ranges::find(words, word) == words.end()) {
        throw refuse(key, fmt::format("`{}` is not {}", word, list_of(words)));
    }
    return word;
}

std::string Section::choice_or(
    const char* key, std::initializer_list<std::string_view> words, std::string otherwise
) {
    return has(key) ? choice(key, words) : std::move(otherwise);
}

std::vector<std::string> Section::texts(const char* key) {
    const auto node = need(key);
    if (!node.IsSequence()) {
        throw refuse(key, "a list is wanted");
    }
    std::vector<std::string> all;
    for (const auto& item : node) {
        all.push_back(scalar(key, item));
    }
    return all;
}

std::vector<std::pair<std::string, std::string>> Section::pairs(const char* key) {
    const auto node = find(key);
    if (!node.IsDefined()) {
        return {};
    }
    if (!node.IsMap()) {
        throw refuse(key, "pairs are wanted, like public.a: archive.b");
    }
    std::vector<std::pair<std::string, std::string>> all;
    for (const auto& entry : node) {
        all.emplace_back(scalar(key, entry.first), scalar(key, entry.second));
    }
    return all;
}

std::vector<std::string> Section::names() const {
    std::vector<std::string> all;
    if (node_.IsMap()) {
        for (const auto& entry : node_) {
            all.push_back(entry.first.Scalar());
        }
    }
    return all;
}

bool Section::is_section(const char* key) {
    const auto node = find(key);
    return node.IsDefined() && node.IsMap();
}

Section Section::section(const char* key) { return {need(key), file_, qualified(key)}; }

Section Section::section_or_empty(const char* key) {
    const auto node = find(key);
    return {node.IsDefined() ? node : YAML::Node(), file_, qualified(key)};
}

std::vector<Section> Section::sections(const char* key) {
    const auto node = find(key);
    if (!node.IsDefined()) {
        return {};
    }
    if (!node.IsSequence()) {
        throw refuse(key, "a list is wanted");
    }
    std::vector<Section> all;
    for (size_t i = 0; i < node.size(); ++i) {
        all.emplace_back(node[i], file_, fmt::format("{}[{}]", qualified(key), i));
    }
    return all;
}

void Section::done() {
    if (!node_.IsMap()) {
        return;
    }
    for (const auto& entry : node_) {
        const auto& key = entry.first.Scalar();
        if (std::ranges::find(known_, key) != known_.end()) {
            continue;
        }
        const auto nearer = [&key](const auto& a, const auto& b) {
            return distance(key, a) < distance(key, b);
        };
        const auto nearest = std::ranges::min_element(known_, nearer);
        throw refuse_at(
            entry.first.Mark(),
            key,
            fmt::format("there is no such setting; the nearest is `{}`", *nearest)
        );
    }
}

}  // namespace qiao::agent::internal
