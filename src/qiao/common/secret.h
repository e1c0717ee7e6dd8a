#pragma once

#include "qiao/common/bytes.h"

#include <string>
#include <utility>

namespace qiao {

/// Overwrites memory in a way that the compiler may not leave out.
void wipe(MutableByteView bytes);

/// A password or key in memory. Cannot be printed, is wiped when it goes, and is only read through
/// reveal(), so that every use is easy to find.
class Secret {
public:
    Secret() = default;

    explicit Secret(Bytes bytes) : bytes_(std::move(bytes)) {}

    explicit Secret(std::string_view text) : bytes_(to_bytes(as_bytes(text))) {}

    Secret(const Secret&) = default;
    Secret(Secret&&) noexcept = default;

    Secret& operator=(const Secret& other) {
        Secret copy(other);
        std::swap(bytes_, copy.bytes_);
        return *this;
    }

    Secret& operator=(Secret&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }

    ~Secret() { wipe(bytes_); }

    ByteView reveal() const { return bytes_; }

    std::string_view reveal_text() const { return as_text(bytes_); }

    bool empty() const { return bytes_.empty(); }

private:
    Bytes bytes_;
};

}  // namespace qiao
