#include "qiao/common/storage.h"

#include <fmt/format.h>

namespace qiao {

Task<Result<Bytes>> read_file(Storage& storage, std::string path, size_t most) {
    QIAO_CO_TRY(const auto file, co_await storage.open(path, OpenMode::Read));
    QIAO_CO_TRY(const auto size, file->size());
    if (size > most) {
        co_return Error(ErrorCode::StorageIo, fmt::format("{} has {} bytes", path, size));
    }
    Bytes content(size);
    QIAO_CO_TRY(const auto got, co_await file->read_at(0, content));
    content.resize(got);
    co_return content;
}

Task<Status> write_file_atomically(Storage& storage, std::string path, Bytes content) {
    const auto temporary = path + ".new";
    (void)co_await storage.remove(temporary);  // left by a crash; missing is the usual case
    {
        QIAO_CO_TRY(const auto file, co_await storage.open(temporary, OpenMode::Create));
        QIAO_CO_CHECK(co_await file->write_at(0, content));
        QIAO_CO_CHECK(co_await file->sync());
    }
    QIAO_CO_CHECK(co_await storage.rename(temporary, path));
    const auto slash = path.rfind('/');
    co_return co_await storage.sync_folder(
        slash == std::string::npos ? "." : path.substr(0, slash)
    );
}

}  // namespace qiao
