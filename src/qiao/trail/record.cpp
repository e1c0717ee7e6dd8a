#include "qiao/trail/record.h"

#include <fmt/format.h>

namespace qiao::trail {

std::string Damage::to_string() const {
    switch (kind) {
        case Kind::Record:
            return fmt::format("segment {} at {}: {} bytes are wrong", segment, offset, bytes);
        case Kind::Head:
            return fmt::format(
                "segment {}: the head is wrong, {} bytes cannot be read", segment, bytes
            );
        case Kind::Missing:
            return fmt::format(
                "segment {} at {}: {} bytes or its end are missing", segment, offset, bytes
            );
        case Kind::Hole:
            return fmt::format(
                "stream {}: records behind {}.{} up to {}.{} are lost",
                stream.to_string(),
                after.epoch.value,
                after.sequence.value,
                upto.epoch.value,
                upto.sequence.value
            );
        case Kind::Mark:
            return "the durable mark is unreadable";
        case Kind::Consumers:
            return "the consumers file is unreadable";
    }
    return {};
}

}  // namespace qiao::trail
