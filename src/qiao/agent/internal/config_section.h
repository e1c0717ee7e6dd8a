#pragma once

#include "qiao/common/error.h"
#include "qiao/common/time.h"

#include <yaml-cpp/yaml.h>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace qiao::agent::internal {

/// What Section throws; caught by parse_config() and nowhere else.
struct Refused {
    Error error;
};

/// One mapping of the configuration file. Every key that is asked for becomes known; done() then
/// refuses the others with the nearest known name. All errors say file, line and key.
class Section {
public:
    /// `name` is empty at the top.
    Section(const YAML::Node& node, std::string file, std::string name);

    /// From now on messages speak of the section by this name.
    void call_it(std::string name) { name_ = std::move(name); }

    bool has(const char* key);
    std::string text(const char* key);
    std::string text_or(const char* key, std::string otherwise);
    /// Relative to the file's folder.
    std::string path(const char* key);
    std::string path_or(const char* key, std::string otherwise);
    /// One path or a list of them.
    std::vector<std::string> paths_or_none(const char* key);
    bool flag_or(const char* key, bool otherwise);
    uint64_t number_or(const char* key, uint64_t otherwise);
    /// `8GiB`, `64MiB`, `1000`.
    uint64_t size_or(const char* key, uint64_t otherwise);
    /// `500ms`, `10s`, `30m`, `24h`, `7d`; seconds without a unit.
    Duration duration_or(const char* key, Duration otherwise);
    std::string choice(const char* key, std::initializer_list<std::string_view> words);
    std::string choice_or(
        const char* key, std::initializer_list<std::string_view> words, std::string otherwise
    );
    std::vector<std::string> texts(const char* key);
    std::vector<std::pair<std::string, std::string>> pairs(const char* key);
    /// The keys that stand here, as written.
    std::vector<std::string> names() const;
    bool is_section(const char* key);
    Section section(const char* key);
    Section section_or_empty(const char* key);
    std::vector<Section> sections(const char* key);

    /// Refuses keys that nobody asked for.
    void done();

    Refused refuse(const std::string& key, const std::string& why) const;

private:
    YAML::Node find(const char* key);
    YAML::Node need(const char* key);
    std::string scalar(const char* key, const YAML::Node& node) const;
    Refused refuse_at(const YAML::Mark& mark, const std::string& key, const std::string& why) const;
    std::pair<uint64_t, std::string> quantity(const char* key, const YAML::Node& node) const;
    std::string beside_file(std::string path) const;
    std::string qualified(const std::string& key) const;

    YAML::Node node_;
    std::string file_;
    std::string name_;
    std::vector<std::string> known_;
};

}  // namespace qiao::agent::internal
