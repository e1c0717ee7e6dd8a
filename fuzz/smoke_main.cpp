// Runs a fuzz target outside libFuzzer: over its corpus, then over mutations of it from a fixed
// seed. Keeps every target compiled and shown in every preset; finding new inputs is the fuzz
// preset's work.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;
constexpr int kMutations = 2000;

std::vector<Input> read_corpus(const char* folder) {
    std::vector<Input> inputs{{}};
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
        std::ifstream file(entry.path(), std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    std::ranges::sort(inputs);
    return inputs;
}

Input mutate(const std::vector<Input>& corpus, std::mt19937_64& random) {
    Input input = corpus[random() % corpus.size()];
    for (auto left = 1 + random() % 4; left > 0; --left) {
        const size_t at = input.empty() ? 0 : random() % input.size();
        switch (random() % 4) {
            case 0:
                if (!input.empty()) {
                    input[at] ^= static_cast<uint8_t>(1U << random() % 8);
                }
                break;
            case 1:
                input.resize(at);
                break;
            case 2:
                input.insert(
                    input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint8_t>(random())
                );
                break;
            default: {
                const auto& other = corpus[random() % corpus.size()];
                input.resize(at);
                input.insert(input.end(), other.begin(), other.end());
            }
        }
    }
    return input;
}

}  // namespace

int main(int argc, char** argv) {
    const auto corpus = read_corpus(argc > 1 ? argv[1] : "");
    for (const auto& input : corpus) {
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::mt19937_64 random(1);
    for (int i = 0; i < kMutations; ++i) {
        const auto input = mutate(corpus, random);
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
    std::printf("%zu inputs and %d mutations passed, 0 failed\n", corpus.size(), kMutations);
    return 0;
}
