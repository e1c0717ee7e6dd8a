"""Where downloads that tests share are kept: one folder an item, complete or absent."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path


def folder():
    """For root a place that the servers' user `postgres` can read; root's home is closed to it."""
    if "XDG_CACHE_HOME" in os.environ:
        return Path(os.environ["XDG_CACHE_HOME"]) / "qiao"
    return Path("/var/cache/qiao") if os.geteuid() == 0 else Path.home() / ".cache/qiao"


@contextmanager
def filling(item):
    """A new folder that becomes `item` when the block ends well; gone when it does not."""
    item.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{item.name}-", dir=item.parent))
    try:
        yield new
        new.chmod(0o755)
        try:
            new.rename(item)
        except OSError:  # another run was faster
            if not item.exists():
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
