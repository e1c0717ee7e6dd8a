#!/usr/bin/env python3
"""Databases that nobody of us designed, for acceptance tests.

    tools/sample_schemas.py list
    tools/sample_schemas.py load regression postgresql://…/database

A sample's package is fetched by its ordinary client into the cache and loaded through psql.
"""

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cache  # noqa: E402

Sample = namedtuple("Sample", "package licence about fetch load")


class SampleError(Exception):
    pass


def run(words, **options):
    done = subprocess.run(words, text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise SampleError(f"{' '.join(map(str, words))}:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


# -- Debian's source and binary packages --


def source_list(folder):
    """apt's own sources as `deb-src`; where they are is the machine's affair."""
    chosen = folder / "src.sources"
    parts = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        text = path.read_text()
        parts.append(re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.MULTILINE))
    chosen.write_text("\n\n".join(parts))
    plain = folder / "src.list"
    lines = []
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*.list")]:
        if path.exists():
            lines += re.findall(r"^deb\s.*$", path.read_text(), flags=re.MULTILINE)
    plain.write_text("".join(re.sub(r"^deb\s", "deb-src ", line) + "\n" for line in lines))
    return plain if not parts else chosen


def fetch_source(package, folder):
    """The newest source that the archive really has: its list can run ahead of it."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    apt = ["-o", f"Dir::Etc::SourceList={source_list(folder)}", "-o", "Dir::Etc::SourceParts=-",
           "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={folder / 'apt'}",
           "-o", "APT::Sandbox::User=root"]
    (folder / "apt/archives/partial").mkdir(parents=True)
    run(["apt-get", *apt, "update"], cwd=folder)
    told = run(["apt-cache", *apt, "showsrc", "--only-source", package], cwd=folder)
    versions = re.findall(r"^Version: (\S+)$", told, flags=re.MULTILINE)
    failure = SampleError(f"apt knows no source of {package}")
    for version in reversed(versions):
        try:
            run(["apt-get", *apt, "source", "--download-only", "-y", f"{package}={version}"],
                cwd=folder)
            shutil.rmtree(lists)
            shutil.rmtree(folder / "apt")
            return
        except SampleError as error:
            failure = error
    raise failure


def fetch_binary(package, folder):
    """Its files, without installing it."""
    folder.chmod(0o755)
    run(["apt-get", "download", "-o", "APT::Sandbox::User=root", package], cwd=folder)
    [archive] = folder.glob("*.deb")
    run(["dpkg-deb", "-x", archive, folder / "files"])
    archive.unlink()


# -- the samples --

REGRESS = "src/test/regress/"


def fetch_regression(folder):
    fetch_source("postgresql-15", folder)
    [archive] = folder.glob("*.orig.tar.*")
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = member.name.partition("/")[2]
            if member.isfile() and inside.startswith(REGRESS):
                member.name = inside.removeprefix(REGRESS)
                tar.extract(member, folder)
    for path in folder.glob("postgresql-15_*"):
        path.unlink()


# These leave a server or its roles otherwise than they found it, or only measure it.
SKIPPED = {
    "tablespace", "vacuum_parallel", "stats", "event_trigger", "reindex_catalog", "compression",
}


def load_regression(folder, url):
    """The tests in their own order and groups, which are made to run side by side; many statements
    fail on purpose, so errors mean nothing.

    The module of C functions that belongs to the tests is not built: what needs it is missing.
    """
    schedule = (folder / "parallel_schedule").read_text()
    lines = re.findall(r"^test: (.*)$", schedule, flags=re.MULTILINE)
    environment = {
        **os.environ, "PG_ABS_SRCDIR": str(folder), "PG_ABS_BUILDDIR": str(folder),
        "PG_LIBDIR": "$libdir", "PG_DLSUFFIX": ".so", "PGTZ": "PST8PDT",
        "PGDATESTYLE": "Postgres, MDY",
    }

    def run_test(test):
        subprocess.run(["psql", "-XAtq", "-d", url, "-f", f"{test}.sql"], cwd=folder / "sql",
                       env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=300)

    with ThreadPoolExecutor(max_workers=4) as pool:
        for line in lines:
            wanted = [test for test in line.split()
                      if test not in SKIPPED and (folder / f"sql/{test}.sql").exists()]
            list(pool.map(run_test, wanted))


def load_files(*paths):
    def load(folder, url):
        for path in paths:
            [found] = (folder / "files").rglob(path)
            text = found.read_bytes()
            text = gzip.decompress(text) if found.suffix == ".gz" else text
            done = subprocess.run(["psql", "-Xq1", "-d", url, "-v", "ON_ERROR_STOP=1"], input=text,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            if done.returncode != 0:
                raise SampleError(f"{found}: {done.stderr.decode()[-2000:]}")
    return load


SAMPLES = {
    "regression": Sample(
        "Debian source package postgresql-15 (15.18)", "PostgreSQL",
        "the database of PostgreSQL's own tests: every type, partitions, odd names",
        fetch_regression, load_regression),
    "zabbix": Sample(
        "Debian package zabbix-server-pgsql (6.0.14)", "GPL-2+",
        "a monitoring server: some 170 tables with rows, many foreign keys",
        lambda folder: fetch_binary("zabbix-server-pgsql", folder),
        load_files("schema.sql.gz", "images.sql.gz", "data.sql.gz")),
    "icinga": Sample(
        "Debian package icinga2-ido-pgsql (2.13.6)", "GPL-2+",
        "another one: some 60 tables, functions, many indexes",
        lambda folder: fetch_binary("icinga2-ido-pgsql", folder),
        load_files("install/pgsql")),
}


def fetched(name):
    item = cache.folder() / "samples" / name
    if not item.exists():
        with cache.filling(item) as new:
            SAMPLES[name].fetch(new)
            # The server reads data files itself, as another user.
            run(["chmod", "-R", "a+rX", new])
    return item


def load(name, url):
    """Fetches a sample when it is not in the cache, and loads it into an empty database."""
    SAMPLES[name].load(fetched(name), url)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name, package, licence, what it is")
    loading = commands.add_parser("load", help="load one into an empty database")
    loading.add_argument("name", choices=SAMPLES)
    loading.add_argument("url")
    options = parser.parse_args(arguments)
    if options.command == "list":
        for name, sample in SAMPLES.items():
            print(f"{name}: {sample.package}; {sample.licence}; {sample.about}")
        return 0
    load(options.name, options.url)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SampleError as failure:
        sys.exit(f"sample_schemas: {failure}")
