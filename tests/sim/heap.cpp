#include "heap.h"

#if __has_feature(thread_sanitizer)

// It has allocation functions of its own, and counts as they do.
#include <sanitizer/allocator_interface.h>

size_t qiao::sim::heap_bytes() { return __sanitizer_get_current_allocated_bytes(); }

#else

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace qiao::sim {
namespace {

size_t in_use = 0;  // one thread

void* allocate(size_t bytes, size_t alignment) {
    void* place =
        alignment == 0
            ? std::malloc(bytes)
            : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (place == nullptr) {
        throw std::bad_alloc();
    }
    in_use += malloc_usable_size(place);
    return place;
}

void release(void* place) noexcept {
    in_use -= place == nullptr ? 0 : malloc_usable_size(place);
    std::free(place);
}

}  // namespace

size_t heap_bytes() { return in_use; }

}  // namespace qiao::sim

void* operator new(size_t bytes) { return qiao::sim::allocate(bytes, 0); }

void* operator new(size_t bytes, std::align_val_t alignment) {
    return qiao::sim::allocate(bytes, static_cast<size_t>(alignment));
}

void operator delete(void* place) noexcept { qiao::sim::release(place); }

void operator delete(void* place, size_t) noexcept { qiao::sim::release(place); }

void operator delete(void* place, std::align_val_t) noexcept { qiao::sim::release(place); }

void operator delete(void* place, size_t, std::align_val_t) noexcept { qiao::sim::release(place); }

#endif
