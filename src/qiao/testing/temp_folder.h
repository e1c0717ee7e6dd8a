#pragma once

#include <filesystem>
#include <string>

namespace qiao::testing {

/// A folder of its own for one test, gone with everything inside at its end.
class TempFolder {
public:
    TempFolder() {
        auto pattern = (std::filesystem::temp_directory_path() / "qiao-test-XXXXXX").string();
        path_ = ::mkdtemp(pattern.data());
    }

    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    ~TempFolder() { std::filesystem::remove_all(path_); }

    const std::string& path() const { return path_; }

    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

}  // namespace qiao::testing
