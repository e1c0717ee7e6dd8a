// Runs a fuzz target without a fuzzing engine: every file of the corpus folder, then mutations of
// them from a fixed seed. So that each target is compiled and shown to work in every preset.
//
//     <target> CORPUS-FOLDER     what the tests do; the folder may be empty or missing
//     <target> FILE…             these inputs only, for looking into a finding

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

// NOLINTNEXTLINE(readability-identifier-naming): the engine's name
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
/// Of targets that know the form of their input; what it makes is every second mutation.
extern "C" __attribute__((weak)) size_t
LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_most, unsigned int seed);

namespace {

using Input = std::vector<uint8_t>;

constexpr int kMutations = 2'000;
constexpr uint64_t kSeed = 20'261'122;
constexpr size_t kInputBytesMax = 1 << 20;
constexpr size_t kInsertedBytesMax = 32;
constexpr size_t kCustomBytesMax = 1 << 16;

// What runs now, for the handler of a crash: plain data, as a handler may touch nothing else.
const Input* running = nullptr;
int running_number = 0;

void say(const char* text, size_t size) {
    if (::write(STDERR_FILENO, text, size) < 0) {
        std::_Exit(2);
    }
}

void on_crash(int signal) {
    constexpr std::array kDigits{
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'
    };
    constexpr char kIntro[] = "\nfuzz: this input ended the process (hexadecimal):\n";
    say(kIntro, sizeof(kIntro) - 1);
    for (const auto byte : *running) {
        const std::array hex{kDigits[byte >> 4], kDigits[byte & 15]};
        say(hex.data(), hex.size());
    }
    say("\n", 1);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

Input read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The inputs that the arguments name, in an order that does not depend on the file system.
std::vector<Input> gather(const std::vector<std::string>& arguments) {
    std::vector<std::filesystem::path> paths;
    for (const auto& argument : arguments) {
        std::error_code missing;
        if (std::filesystem::is_directory(argument, missing)) {
            for (const auto& entry : std::filesystem::directory_iterator(argument)) {
                paths.push_back(entry.path());
            }
        } else if (std::filesystem::exists(argument, missing)) {
            paths.emplace_back(argument);
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<Input> inputs;
    inputs.reserve(paths.size());
    for (const auto& path : paths) {
        inputs.push_back(read_file(path));
    }
    return inputs;
}

class Mutator {
public:
    explicit Mutator(const std::vector<Input>& corpus) : corpus_(corpus) {}

    Input next() {
        auto input = pick();
        if (LLVMFuzzerCustomMutator != nullptr && below(2) == 0) {
            const auto size = input.size();
            input.resize(std::max(size, kCustomBytesMax));
            const auto seed = static_cast<unsigned int>(random_());
            input.resize(LLVMFuzzerCustomMutator(input.data(), size, input.size(), seed));
            return input;
        }
        change_some(input);
        return input;
    }

    void change_some(Input& input) {
        for (auto changes = 1 + below(4); changes > 0; --changes) {
            change(input);
        }
        input.resize(std::min(input.size(), kInputBytesMax));
    }

private:
    void change(Input& input) {
        switch (below(5)) {
            case 0:
                flip_bit(input);
                break;
            case 1:
                input.resize(below(input.size() + 1));
                break;
            case 2:
                insert(input);
                break;
            case 3:
                splice(input);
                break;
            default:
                set_byte(input);
                break;
        }
    }

    void flip_bit(Input& input) {
        if (!input.empty()) {
            input[below(input.size())] ^= static_cast<uint8_t>(1U << below(8));
        }
    }

    // Ends of ranges, where lengths and counts go wrong.
    void set_byte(Input& input) {
        constexpr std::array<uint8_t, 6> kEdges{0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF};
        if (!input.empty()) {
            input[below(input.size())] = kEdges[below(kEdges.size())];
        }
    }

    void insert(Input& input) {
        Input fresh(1 + below(kInsertedBytesMax));
        for (auto& byte : fresh) {
            byte = static_cast<uint8_t>(random_());
        }
        const auto at = static_cast<ptrdiff_t>(below(input.size() + 1));
        input.insert(input.begin() + at, fresh.begin(), fresh.end());
    }

    /// The beginning of one input and the end of another.
    void splice(Input& input) {
        const auto other = pick();
        input.resize(below(input.size() + 1));
        const auto from = static_cast<ptrdiff_t>(below(other.size() + 1));
        input.insert(input.end(), other.begin() + from, other.end());
    }

    Input pick() { return corpus_.empty() ? Input{} : corpus_[below(corpus_.size())]; }

    size_t below(size_t limit) { return random_() % limit; }

    const std::vector<Input>& corpus_;
    std::mt19937_64 random_{kSeed};
};

Mutator* mutating = nullptr;

/// libFuzzer's meaning: 0 and -1 (not worth keeping) are both fine.
bool passes(const Input& input) {
    running = &input;
    ++running_number;
    const auto outcome = LLVMFuzzerTestOneInput(input.data(), input.size());
    if (outcome == 0 || outcome == -1) {
        return true;
    }
    std::printf("input %d (%zu bytes) gave %d\n", running_number, input.size(), outcome);
    return false;
}

}  // namespace

/// As the engine's: changes bytes in place, for a target's own mutator.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_most) {
    Input input(data, data + size);
    mutating->change_some(input);
    input.resize(std::min(input.size(), size_most));
    std::copy(input.begin(), input.end(), data);
    return input.size();
}

int main(int argc, char** argv) {
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        std::signal(signal, on_crash);
    }
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto corpus = gather(arguments);
    const bool files_only = !arguments.empty() && std::filesystem::is_regular_file(arguments[0]);
    int failed = 0;
    for (const auto& input : corpus) {
        failed += passes(input) ? 0 : 1;
    }
    Mutator mutator(corpus);
    mutating = &mutator;
    const int mutations = files_only ? 0 : kMutations;
    for (int i = 0; i < mutations; ++i) {
        failed += passes(mutator.next()) ? 0 : 1;
    }
    std::printf(
        "%d passed, %d failed: %zu from the corpus, %d mutations\n",
        running_number - failed,
        failed,
        corpus.size(),
        mutations
    );
    return failed == 0 ? 0 : 1;
}
