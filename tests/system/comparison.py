#!/usr/bin/env python3
"""Whether two PostgreSQL databases hold the same, found without any part of Qiao.

    comparison.py URL URL [SCHEMA.TABLE…]     exit 0 equal, 1 different

Every table is read on both sides as COPY text of all its columns under fixed settings; the sorted
rows are hashed, and where the hashes differ the rows are compared one by one. 1.0 and 1.00, -0 and
0, NULL and '' have different texts. Both sides must be quiet.
"""

import argparse
import difflib
import hashlib
import re
import subprocess
import sys
from collections import Counter, namedtuple

import psycopg2

SETTINGS = """
    set search_path = pg_catalog; set timezone = 'UTC'; set datestyle = 'ISO, YMD';
    set intervalstyle = 'postgres'; set extra_float_digits = 3; set bytea_output = 'hex';
    set xmloption = 'content'; set lc_monetary = 'C'; set row_security = off;
"""
# What belongs to no application.
FOREIGN_SCHEMAS = ("pg_catalog", "information_schema", "pg_toast", "qiao")
SHOWN = 10

Table = namedtuple("Table", "name columns key")


def connect(url):
    connection = psycopg2.connect(url)
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS)
    return connection


def quote(*parts):
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


# -- what there is --


def tables(connection):
    """{(schema, name): Table} of everything that has rows of its own, partitions' leaves too."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            select n.nspname, c.relname,
                   array(select a.attname::text from pg_attribute a
                         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                         order by a.attnum),
                   coalesce((select array(select a.attname::text
                                          from unnest(i.indkey) with ordinality k(num, place)
                                          join pg_attribute a
                                            on a.attrelid = c.oid and a.attnum = k.num
                                          order by k.place)
                             from pg_index i where i.indrelid = c.oid and i.indisprimary), '{}')
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname <> all (%s)
              and not exists (select from pg_depend d where d.objid = c.oid
                              and d.classid = 'pg_class'::regclass and d.deptype = 'e')
            """,
            [list(FOREIGN_SCHEMAS)],
        )
        return {(row[0], row[1]): Table((row[0], row[1]), row[2], row[3]) for row in cursor}


def sequences(connection):
    """{(schema, name): (last value, called)}"""
    with connection.cursor() as cursor:
        cursor.execute(
            "select schemaname::text, sequencename::text from pg_sequences"
            " where schemaname <> all (%s)", [list(FOREIGN_SCHEMAS)])
        found = {}
        for name in cursor.fetchall():
            cursor.execute(f"select last_value, is_called from {quote(*name)}")
            found[name] = cursor.fetchone()
        return found


class Chunks:
    """Takes what COPY writes."""

    def __init__(self):
        self.parts = []

    def write(self, data):
        self.parts.append(data)


def rows(connection, table, columns):
    """The table's own rows as COPY text, sorted bytewise; a row is one line in that format."""
    names = ", ".join(map(quote, columns))
    taken = Chunks()
    with connection.cursor() as cursor:
        cursor.copy_expert(
            f"copy (select {names} from only {quote(*table.name)}) to stdout", taken)
    return sorted(b"".join(taken.parts).splitlines())


def digest(lines):
    return hashlib.md5(b"\n".join(lines)).hexdigest()


# -- comparing --


def table_differences(left, right, name, left_table, right_table, tally=None):
    """Lines that say how one table differs; none when it does not."""
    title = ".".join(name)
    columns = left_table.columns
    if sorted(columns) != sorted(right_table.columns):
        return [f"{title}: columns {columns} and {right_table.columns}"]
    here, there = rows(left, left_table, columns), rows(right, right_table, columns)
    if tally is not None:
        tally["tables"] += 1
        tally["rows"] += len(here)
    if digest(here) == digest(there):
        return []
    only_here, only_there = Counter(here), Counter(there)
    only_here.subtract(Counter(there))
    only_there.subtract(Counter(here))
    here = [line for line, count in only_here.items() for _ in range(count)]
    there = [line for line, count in only_there.items() for _ in range(count)]
    told = [f"{title}: {len(here)} rows only on the left, {len(there)} only on the right"]
    told += row_differences(title, left_table, here, there)
    return told


def row_differences(title, table, here, there):
    """The first rows that differ, by key and column where there is a key."""
    if not table.key:
        return ([f"{title}: left  {line!r}" for line in here[:SHOWN]]
                + [f"{title}: right {line!r}" for line in there[:SHOWN]])
    places = [table.columns.index(column) for column in table.key]

    def by_key(lines):
        split = (line.split(b"\t") for line in lines)
        return {tuple(fields[place] for place in places): fields for fields in split}

    left, right = by_key(here), by_key(there)
    told = []
    for key in sorted(left.keys() | right.keys())[:SHOWN]:
        shown = b",".join(key).decode(errors="replace")
        if key not in right:
            told.append(f"{title} key {shown}: missing on the right")
        elif key not in left:
            told.append(f"{title} key {shown}: missing on the left")
        else:
            for column, one, other in zip(table.columns, left[key], right[key]):
                if one != other:
                    told.append(f"{title} key {shown} column {column}: "
                                f"{one[:80]!r} and {other[:80]!r}")
    return told


def differences(left_url, right_url, only=None, without=(), with_sequences=False, tally=None):
    """How the right database differs from the left one, as lines for people; [] when equal.

    @param only     (schema, table) pairs; default: all tables of the left side.
    @param without  (schema, table) pairs that are not compared.
    @param tally    a Counter: the tables and rows that were compared are added to it.
    """
    left, right = connect(left_url), connect(right_url)
    try:
        there = tables(right)
        told = []
        for name, table in sorted(tables(left).items()):
            if name in without or (only is not None and name not in only):
                continue
            if name not in there:
                told.append(f"{'.'.join(name)}: is not there on the right")
            else:
                told += table_differences(left, right, name, table, there[name], tally)
        if with_sequences:
            told += sequence_differences(sequences(left), sequences(right))
        return told
    finally:
        left.close()
        right.close()


def sequence_differences(left, right):
    return [f"sequence {'.'.join(name)}: {value} and {right.get(name)}"
            for name, value in sorted(left.items()) if right.get(name) != value]


# -- catalogues --


def schema_dump(pg_dump, url, *words):
    """pg_dump --schema-only without what changes from run to run, as lines."""
    done = subprocess.run([pg_dump, "--schema-only", *words, url], text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"pg_dump: {done.stderr.strip()}")
    # Since 15.14 a dump holds a random word against injected psql commands.
    lines = (line for line in done.stdout.splitlines() if not re.match(r"\\(un)?restrict ", line))
    return [line for line in lines if line and not line.startswith("--")]


def dump_differences(before, after):
    return [line for line in difflib.unified_diff(before, after, "before", "after", lineterm="")]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("left")
    parser.add_argument("right")
    parser.add_argument("table", nargs="*")
    options = parser.parse_args(arguments)
    only = [tuple(name.split(".", 1)) for name in options.table] or None
    told = differences(options.left, options.right, only)
    print("\n".join(told) or "equal")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
