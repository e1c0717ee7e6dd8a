#pragma once

namespace qiao::crypto {

/// Deleter for the handles of C libraries: `std::unique_ptr<X509, FreeWith<X509_free>>`.
template <auto function>
struct FreeWith {
    template <class T>
    void operator()(T* object) const {
        function(object);
    }
};

}  // namespace qiao::crypto
