#pragma once

#include "qiao/common/bytes.h"
#include "qiao/common/result.h"

#include <string_view>
#include <utility>

namespace qiao::verify::internal {

constexpr uint8_t kWireVersion = 2;

/// A message under way: the version, then its fields.
class Encoder {
public:
    Encoder() { out_.put(kWireVersion); }

    ByteWriter& writer() { return out_; }

    Bytes take() && { return std::move(out_).take(); }

private:
    ByteWriter out_;
};

/// Reads a message of the other end; what is wrong is remembered and told once, by finish().
class Decoder {
public:
    explicit Decoder(ByteView bytes) : in_(bytes), version_(in_.get<uint8_t>()) {}

    ByteReader& reader() { return in_; }

    bool ok() const { return in_.ok(); }

    void require(bool holds) {
        if (!holds) {
            in_.fail();
        }
    }

    /// A count, then so many elements, as long as there are bytes: a count that lies costs nothing.
    template <class Count, class Element>
    void list(Element&& read_one) {
        const auto count = in_.get<Count>();
        for (Count i = 0; i < count && in_.ok(); ++i) {
            read_one();
        }
    }

    template <class T>
    Result<T> finish(T message, std::string_view what) const {
        if (version_ != kWireVersion) {
            return Error(ErrorCode::VerifyTooNew, std::string(what));
        }
        if (!in_.ok() || !in_.at_end()) {
            return Error(ErrorCode::VerifyMalformed, std::string(what));
        }
        return message;
    }

private:
    ByteReader in_;
    uint8_t version_;
};

}  // namespace qiao::verify::internal
