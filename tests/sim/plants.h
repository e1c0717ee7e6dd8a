#pragma once

#include "qiao/common/plant.h"

#include <span>
#include <string_view>

namespace qiao::sim {

/// A bug that can be planted, for people.
struct PlantName {
    Plant plant;
    std::string_view name;
};

/// All of them.
std::span<const PlantName> plants();

}  // namespace qiao::sim
