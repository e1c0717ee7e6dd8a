#include "qiao/cli/new_file.h"

namespace qiao::cli {

Task<Status> must_be_new(Storage& storage, std::string path) {
    const auto there = co_await storage.open(path, OpenMode::Read);
    if (there) {
        co_return Error(ErrorCode::CliFileExists, path);
    }
    co_return there.error().is(ErrorCode::StorageMissing) ? Status{} : Status(there.error());
}

Task<Status> write_new_file(Storage& storage, std::string path, Bytes content) {
    QIAO_CO_CHECK(co_await must_be_new(storage, path));
    {
        // Fails when somebody makes it in between.
        QIAO_CO_TRY(const auto file, co_await storage.open(path, OpenMode::Create));
        auto written = co_await file->write_at(0, content);
        if (written) {
            written = co_await file->sync();
        }
        if (!written) {
            // Half a file would be in the way of the next try.
            (void)co_await storage.remove(path);
            co_return written;
        }
    }
    const auto slash = path.rfind('/');
    co_return co_await storage.sync_folder(
        slash == std::string::npos ? "." : path.substr(0, slash + 1)
    );
}

}  // namespace qiao::cli
