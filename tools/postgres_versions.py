#!/usr/bin/env python3
"""PostgreSQL servers of other major versions than Debian's, for tests.

    tools/postgres_versions.py [14 16 17 18]     fetches what is missing, prints the bin folders
    tools/servers.py run --pg-bin $(tools/postgres_versions.py 14) …

They come from Maven as io.zonky.test.postgres:embedded-postgres-binaries-linux-*: initdb, pg_ctl,
postgres and its modules (pgoutput, contrib) under the PostgreSQL licence. psql is Debian's, which
talks to all of them; there is no pg_dump, and Debian's refuses newer servers.
"""

import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cache  # noqa: E402
import servers  # noqa: E402

# One release a major version, so that every machine tests the same.
RELEASES = {"14": "14.15.0", "16": "16.6.0", "17": "17.2.0", "18": "18.0.0"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64v8"}


class VersionError(Exception):
    pass


def artifact(version):
    machine = ARCHITECTURES.get(platform.machine())
    if version not in RELEASES or machine is None:
        raise VersionError(f"there is no PostgreSQL {version} for {platform.machine()} here")
    return f"io.zonky.test.postgres:embedded-postgres-binaries-linux-{machine}:{RELEASES[version]}"


def bin_folder(version):
    """The folder with initdb and postgres of a major version; fetched when it is not there."""
    name = artifact(version)
    item = cache.folder() / "postgres" / RELEASES[version]
    if not (item / "bin/postgres").exists():
        with cache.filling(item) as new:
            download(name, new)
            unpack(new)
            for program in ("initdb", "postgres", "psql"):
                if not (new / "bin" / program).exists():
                    raise VersionError(f"{name} has no {program}")
            if not (new / "lib/postgresql/pgoutput.so").exists():
                raise VersionError(f"{name} has no pgoutput")
    return item / "bin"


def download(name, folder):
    done = subprocess.run(
        ["mvn", "--batch-mode", "--quiet", "dependency:copy", f"-Dartifact={name}",
         f"-DoutputDirectory={folder}"],
        cwd=folder, text=True, capture_output=True, timeout=600,
    )
    if done.returncode != 0:
        raise VersionError(f"mvn could not fetch {name}:\n{done.stdout.strip()[-2000:]}")


def unpack(folder):
    """A jar with one compressed tar inside."""
    [jar] = folder.glob("*.jar")
    with zipfile.ZipFile(jar) as outer:
        [inner] = [entry for entry in outer.namelist() if entry.endswith(".txz")]
        with outer.open(inner) as stream, tarfile.open(fileobj=stream, mode="r|xz") as tar:
            tar.extractall(folder)
    jar.unlink()
    (folder / "bin/psql").symlink_to(servers.find_bin() / "psql")


def main(arguments):
    for version in arguments or RELEASES:
        print(bin_folder(version))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (VersionError, servers.ServerError, OSError) as failure:
        sys.exit(f"postgres_versions: {failure}")
