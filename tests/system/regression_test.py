#!/usr/bin/env python3
"""`qiao sync --table '*' --once` on databases that nobody here designed.

The database of PostgreSQL's own tests is carried whole, then changed at random between runs that
are killed, and compared without any part of Qiao. What is not carried must have been said. Exits 77
where a sample cannot be had.
"""

import json
import os
import subprocess
import sys
import time
import unittest

import psycopg2

import comparison
import scene
import values
from comparison import quote

sys.path.insert(0, str(scene.ROOT / "tools"))
import servers  # noqa: E402
import sample_schemas  # noqa: E402

KILLS = 3
RUN_SECONDS = 300
STEPS = int(os.environ.get("QIAO_REGRESSION_STEPS") or 700)
# Autovacuum changes catalogues by itself, and they are compared.
CONF = {**scene.CONF, "autovacuum": "off", "max_locks_per_transaction": "256",
        "fsync": "off", "shared_buffers": "128MB"}

SESSION = """
    set statement_timeout = '3s'; set lock_timeout = '1s'; set client_min_messages = error;
    set synchronous_commit = off; set check_function_bodies = off;
"""
# A root stands for its partitions. `keyed`: UPDATE and DELETE come with a key or the whole old row.
# A column that a child generates is left alone: an UPDATE of the parent writes there what the
# child's own expression does not say (PostgreSQL 15), and a target, which computes it, cannot have
# the same.
TABLES = """
    with one as (
        select c.oid, c.relkind, c.relreplident, c.relreplident = 'f' or exists (
                   select from pg_index i where i.indrelid = c.oid and i.indisunique
                   and i.indisvalid and i.indimmediate
                   and case c.relreplident when 'd' then i.indisprimary
                                           when 'i' then i.indisreplident else false end
                   and not exists (select from pg_attribute g where g.attrelid = c.oid
                                   and g.attnum = any (i.indkey) and g.attgenerated <> '')) as keyed
        from pg_class c where c.relkind in ('r', 'p'))
    select n.nspname::text, c.relname::text, one.keyed and not exists (
               select from pg_partition_tree(c.oid) p join one leaf on leaf.oid = p.relid
               where p.isleaf and c.relkind = 'p'
                 and (leaf.relreplident <> c.relreplident or not leaf.keyed)),
           exists (select from pg_attribute a where a.attrelid = c.oid and a.attidentity = 'a'),
           (select coalesce(json_agg(json_build_array(
                       a.attname, format_type(a.atttypid, a.atttypmod),
                       exists (select from pg_index u where u.indrelid = c.oid and u.indisunique
                               and a.attnum = any (u.indkey))) order by a.attnum), '[]')
            from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              and a.attgenerated = ''
              and not exists (select from pg_inherits h join pg_attribute g
                              on g.attrelid = h.inhrelid and g.attname = a.attname
                              where h.inhparent = c.oid and g.attgenerated <> ''))
    from one join pg_class c using (oid) join pg_namespace n on n.oid = c.relnamespace
    where c.relpersistence = 'p' and not c.relispartition and c.oid >= 16384
    order by 1, 2
"""
# How many rows were changed, also by foreign keys, rules, triggers and inheritance; with the root.
TOUCHED = """
    select n.nspname, c.relname, rn.nspname, r.relname,
           pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_class r on r.oid = coalesce(pg_partition_root(c.oid), c.oid)
    join pg_namespace rn on rn.oid = r.relnamespace
    where c.relkind = 'r' and c.oid >= 16384
"""
# Statistics, and contents that are no catalogue.
NO_CATALOGUE = ("pg_statistic", "pg_statistic_ext_data", "pg_largeobject")
# What writing rows changes; and the stamp that 15.20 leaves among a column's options.
VOLATILE = {
    "pg_class": ("relpages", "reltuples", "relallvisible", "relallfrozen", "relfilenode",
                 "relfrozenxid", "relminmxid"),
    "pg_database": ("datfrozenxid", "datminmxid"),
}
INSTEAD = {
    ("pg_attribute", "attoptions"): "array(select o from unnest(attoptions) o "
                                    "where o not like 'pg_attver=%')",
}


class Changes:
    """An application that knows nothing of the tables but what the catalogue says."""

    def __init__(self, url, rng, keyless=()):
        """@param keyless  tables that take only INSERT and TRUNCATE in spite of the catalogue."""
        self._rng = rng
        self._connection = psycopg2.connect(url)
        self._cursor = self._connection.cursor()
        self._cursor.execute(SESSION)
        self._cursor.execute(TABLES)
        self.tables = [(schema, name, keyed and (schema, name) not in keyless, *rest)
                       for schema, name, keyed, *rest in self._cursor]
        self._connection.commit()
        # Most tables have no key and take only INSERT; the others are to have their share.
        keyed = [table for table in self.tables if table[2]]
        self._pool = self.tables + keyed * (1 + len(self.tables) // (1 + len(keyed)))
        self.done = {}
        self.refused = 0

    def keyless(self):
        return {(schema, name) for schema, name, keyed, _, _ in self.tables if not keyed}

    def run(self, steps):
        while steps > 0:
            count = self._rng.choice([1, 1, 1, 4, 15])
            steps -= count
            for _ in range(count):
                self._step()
            if self._rng.random() < 0.1:
                self._connection.rollback()
            else:
                self._commit()

    def close(self):
        self._connection.close()

    def _commit(self):
        try:
            self._connection.commit()
        except psycopg2.Error:  # a deferred constraint
            self.refused += 1

    def _step(self):
        """One statement; most tables have rules of their own, so many are refused."""
        self._cursor.execute("savepoint s")
        table = self._rng.choice(self._pool)
        makers = [self._insert, self._insert]
        if table[2]:
            makers += [self._update, self._update, self._update, self._delete]
        if self._rng.random() < 0.02:
            makers = [self._truncate]
        make = self._rng.choice(makers)
        parameters = []
        sql = make(table, parameters)
        try:
            self._cursor.execute(sql, parameters)
            verb = make.__name__.strip("_")
            rows = 1 if make == self._truncate else max(self._cursor.rowcount, 0)
            self.done[verb] = self.done.get(verb, 0) + rows
            self._cursor.execute(self._rng.choice(["release s", "savepoint t", "release s"])
                                 if self._rng.random() < 0.9 else "rollback to s")
        except psycopg2.Error as error:
            if "replica identity" in str(error) or "publish" in str(error):
                raise AssertionError(f"refused because of Qiao: {error}") from error
            self.refused += 1
            self._cursor.execute("rollback to s")

    def _fresh(self, type_name, parameters):
        """SQL for a new value; None when we know no values of the type."""
        if type_name not in values.MAKERS:
            base = type_name.partition("(")[0]
            if base not in ("character varying", "character", "numeric"):
                return None
            text = values.value(self._rng, "integer" if base == "numeric" else "uuid")
            parameters.append(text[:8])
            return f"cast(%s as {type_name})"
        if type_name in ("smallint", "integer", "bigint") and self._rng.random() < 0.7:
            parameters.append(str(self._rng.randint(0, 20000)))
        else:
            parameters.append(values.value(self._rng, type_name)[:1500])
        return f"cast(%s as {type_name})"

    def _insert(self, table, parameters):
        name = quote(*table[:2])
        columns = table[4]
        if not columns:
            return f"insert into {name} default values"
        expressions = []
        for column, type_name, unique in columns:
            fresh = None
            if unique or self._rng.random() < 0.4:
                fresh = self._fresh(type_name, parameters)
            expressions.append(fresh or f"s.{quote(column)}")
        names = ", ".join(quote(column) for column, _, _ in columns)
        always = "overriding system value" if table[3] else ""
        source = f"(select * from {name} order by random() limit {self._rng.choice([1, 1, 5])}) s"
        return (f"insert into {name} ({names}) {always} select {', '.join(expressions)} "
                f"from (select) one left join {source} on true")

    def _some(self, name):
        count = self._rng.choice([1, 1, 3, 20])
        return (f"(tableoid, ctid) in (select tableoid, ctid from {name}"
                f" order by random() limit {count})")

    def _update(self, table, parameters):
        name = quote(*table[:2])
        if not table[4]:
            return "select"
        chosen = self._rng.sample(table[4], self._rng.randint(1, min(3, len(table[4]))))
        parts = []
        for column, type_name, unique in chosen:
            fresh = self._fresh(type_name, parameters) if self._rng.random() < 0.6 else None
            if fresh is None:
                fresh = (quote(column) if unique else
                         f"(select {quote(column)} from {name} order by random() limit 1)")
            parts.append(f"{quote(column)} = {fresh}")
        return f"update {name} set {', '.join(parts)} where {self._some(name)}"

    def _delete(self, table, parameters):
        del parameters
        name = quote(*table[:2])
        return f"delete from {name} where {self._some(name)}"

    def _truncate(self, table, parameters):
        del parameters
        return f"truncate only {quote(*table[:2])}" if table[4] else "select"


def catalogue(url):
    """Everything that the system catalogues of a database hold, and its server's slots."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("""
                select c.relname::text, array_agg(a.attname::text order by a.attnum)
                from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
                where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind = 'r'
                  and not a.attisdropped and c.relname <> all (%s) group by 1 order by 1
                """, [list(NO_CATALOGUE)])
            found = set()
            for name, columns in cursor.fetchall():
                parts = [INSTEAD.get((name, column), quote(column)) for column in columns
                         if column not in VOLATILE.get(name, ())]
                cursor.execute(f"select {', '.join(part + '::text' for part in parts)} "
                               f"from pg_catalog.{name}")
                found.update((name, *row) for row in cursor)
            cursor.execute("select 'slot', slot_name::text from pg_replication_slots")
            found.update(cursor.fetchall())
            # A schema for temporary tables stays once it was used.
            return {row for row in found if not (row[0] == "pg_namespace"
                    and any(str(part).startswith(("pg_temp_", "pg_toast_temp_"))
                            for part in row))}
    finally:
        connection.close()


class Regression(scene.Scene):
    conf = CONF
    PARTS = {"regression": ["regression"], "monitoring": ["zabbix", "icinga"]}
    loaded = set()

    @classmethod
    def setUpClass(cls):
        try:
            cls.samples = {name: sample_schemas.fetched(name)
                           for name in sum(cls.PARTS.values(), [])}
        except (sample_schemas.SampleError, OSError) as error:
            print(f"no sample: {error}", file=sys.stderr)
            sys.exit(scene.SKIPPED)
        os.environ["LC_ALL"] = "C"  # what is said is looked at
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.words = ("--create", "--table", "*", "--state", str(self.folder / "state"))
        self.runs = 0
        self.told_keyless = set()

    def load_sample(self, name):
        """Into the test's source database, over a template that other tests use too."""
        template = f"sample_{name}"
        if name not in self.loaded:
            begun = time.monotonic()
            self.source.psql(f"create database {template} template template0")
            for part in self.PARTS[name]:
                sample_schemas.load(part, self.source.url(template))
            self.loaded.add(name)
            self.say(f"{name} loaded in {time.monotonic() - begun:.1f} s")
        self.source.psql(f"drop database {self.database}")
        self.source.psql(f"create database {self.database} template {template}")

    def once(self, *words):
        """What it printed."""
        self.runs += 1
        begun = time.monotonic()
        program = self.run_qiao(*self.sync_words("--once", *words), seconds=RUN_SECONDS,
                                name=f"run{self.runs}")
        self.say(f"run {self.runs}: {time.monotonic() - begun:.1f} s")
        return program.log.read_text().splitlines()

    def kill_some_runs(self):
        for number in range(KILLS):
            program = self.start(*self.sync_words("--once", *self.words), name="killed")
            moment = self.rng.uniform(0.05, 4) * (number + 1) / KILLS
            begun = time.monotonic()
            while program.running() and time.monotonic() - begun < moment:
                time.sleep(0.005)
            self.say(f"kill {number + 1} after {moment:.2f} s"
                     + ("" if program.running() else ": had ended"))
            program.kill()

    def change(self):
        """Changes at random; tables without a key whose rows changed after all are set aside."""
        before = self.touched()
        changes = Changes(self.source_url, self.rng, self.told_keyless)
        changes.run(STEPS)
        changes.close()
        time.sleep(0.2)  # the session's last counts
        after = self.touched()
        keyless = changes.keyless()
        roots = {root for (leaf, root), count in after.items()
                 if root in keyless and count != before.get((leaf, root), 0)}
        self.aside |= {leaf for leaf, root in after if root in roots}
        self.say(f"changed {changes.done}, refused {changes.refused}, "
                 f"aside {sorted('.'.join(name) for name in self.aside)}")

    def touched(self):
        """{(leaf, root): rows updated and deleted}"""
        lines = (line.split("|") for line in self.on_source(TOUCHED).splitlines())
        return {((line[0], line[1]), (line[2], line[3])): int(line[4]) for line in lines}

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url,
                                      without=self.absent | self.aside)
        self.assertEqual(told, [], "\n".join(told[:60]))

    def find_absent(self, output):
        """Tables that were not brought; each must have been named."""
        connections = [psycopg2.connect(url) for url in (self.source_url, self.target_url)]
        there, here = map(comparison.tables, connections)
        for connection in connections:
            connection.close()
        absent = set(there) - set(here)
        for schema, name in sorted(absent):
            self.assertTrue(any(line.startswith(f"{schema}.{name}: ") for line in output),
                            f"nothing was said of {schema}.{name}")
        return absent

    def assert_keyless_named(self, output):
        changes = Changes(self.source_url, self.rng)
        changes.close()
        self.told_keyless = {(schema, name) for schema, name, *_ in changes.tables
                             if any(line.startswith(f"{schema}.{name}: no key")
                                    for line in output)}
        silent = changes.keyless() - self.absent - self.told_keyless
        self.assertEqual(silent, set(), "nothing was said of these, which have no key")
        self.say(f"{len(changes.tables)} tables, {len(self.told_keyless)} of them without a key, "
                 f"not brought: {sorted('.'.join(name) for name in self.absent)}")

    # -- what `qiao verify` says --

    def verify(self, *words):
        """Its exit status, and its report's tables by name."""
        done = subprocess.run(
            [scene.QIAO, "verify", "--from", self.source_url, "--to", self.target_url, "--state",
             str(self.folder / "state"), "--level", "field", "--json", *words],
            text=True, capture_output=True, timeout=RUN_SECONDS)
        self.assertIn(done.returncode, (0, 1), done.stderr[-2000:] + done.stdout[-2000:])
        tables = json.loads(done.stdout)["tables"]
        return done.returncode, {table["source"]: table for table in tables}

    def damage(self, candidates, sql):
        """Alters one row of a random table at the target; its name."""
        for schema, name, column in self.rng.sample(candidates, len(candidates)):
            try:
                done = self.on_target(sql.format(table=quote(schema, name), column=quote(column)))
            except servers.ServerError:
                continue  # a constraint of its own
            if done:
                return f"{schema}.{name}", column
        raise AssertionError("no table can be altered")

    def verify_and_repair(self):
        begun = time.monotonic()
        status, tables = self.verify()
        self.assertEqual(status, 0, [name for name, one in tables.items()
                                     if one["verdict"] != "equal"])
        self.say(f"verify: {len(tables)} tables equal in {time.monotonic() - begun:.1f} s")
        texts, copies = self.texts_of_keyed(), self.keyless_with_rows()
        altered, column = self.damage(texts, """
            update {table} set {column} = {column} || 'x' where ctid = (
                select ctid from {table} where {column} is not null limit 1) returning 1""")
        doubled, _ = self.damage(copies, """
            insert into {table} select * from {table} limit 1 returning 1""")
        status, tables = self.verify()
        different = {name: one["differences"] for name, one in tables.items()
                     if one["verdict"] != "equal"}
        self.assertEqual((status, set(different)), (1, {altered, doubled}), different)
        self.assertEqual([one["columns"] for one in different[altered]], [[column]])
        self.assertTrue(all(one["key"] for one in different[altered]))
        self.assertEqual([one["kind"] for one in different[doubled]], ["copies"], doubled)
        status, tables = self.verify("--repair")
        self.assertEqual(status, 0, [one for one in tables.values() if one["verdict"] != "equal"])
        self.assert_equal()

    def texts_of_keyed(self):
        """(schema, table, a text column outside the primary key) of the target."""
        return [tuple(line.split("|")) for line in self.on_target("""
            select distinct on (c.oid) n.nspname, c.relname, a.attname
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            join pg_index i on i.indrelid = c.oid and i.indisprimary
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                and a.atttypid = 'text'::regtype and a.attgenerated = ''
                and a.attnum <> all (i.indkey::int2[])
            where c.relkind = 'r' and c.oid >= 16384 and not c.relispartition
              and n.nspname <> 'qiao'
              and position('|' in c.relname || a.attname) = 0""").splitlines()]

    def keyless_with_rows(self):
        """With a column, without any unique key and without columns that the database writes."""
        return [tuple(line.split("|")) for line in self.on_target("""
            select n.nspname, c.relname, 'x'
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind = 'r' and c.oid >= 16384 and not c.relispartition
              and n.nspname <> 'qiao'
              and position('|' in c.relname) = 0
              and not exists (select from pg_inherits h where c.oid in (h.inhrelid, h.inhparent))
              and exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
                          and not a.attisdropped)
              and not exists (select from pg_index i where i.indrelid = c.oid and i.indisunique)
              and not exists (select from pg_attribute a where a.attrelid = c.oid
                              and (a.attgenerated <> '' or a.attidentity <> ''))
            """).splitlines()]

    def drop(self):
        self.run_qiao("sync", "--drop", "--from", self.source_url, "--to", self.target_url,
                      "--state", str(self.folder / "state"))

    def assert_same_catalogue(self, before, url):
        now = catalogue(url)
        told = [f"gone {row}" for row in sorted(before - now, key=str)]
        told += [f"new {row}" for row in sorted(now - before, key=str)]
        self.assertEqual(told, [], "\n".join(told[:40]))

    def carry(self, more_runs, and_then=lambda: None):
        """First run, more of them with changes and kills between, drop."""
        self.aside = set()
        before = catalogue(self.source_url)
        output = self.once(*self.words)
        self.assertEqual([line for line in output if line.startswith("could not make")], [])
        self.absent = self.find_absent(output)
        self.assert_keyless_named(output)
        self.assert_equal()
        and_then()
        for _ in range(more_runs):
            self.change()
            self.kill_some_runs()
            self.once(*self.words)
            self.assert_equal()
        self.drop()
        self.assert_same_catalogue(before, self.source_url)
        self.assertEqual([row for row in catalogue(self.target_url) if "qiao" in str(row).lower()],
                         [])

    # Spec
    def test_database_of_postgresqls_own_tests_is_carried_exactly(self):
        self.load_sample("regression")
        self.carry(more_runs=2, and_then=self.verify_and_repair)

    # Whole old rows can be met one by one; where they are not carried, that has been said.
    def test_its_tables_without_key_are_carried_by_their_whole_rows_or_named(self):
        self.load_sample("regression")
        # The sample's own publications have column lists that would refuse this.
        self.on_source("""
            do $$ declare t regclass; p name; begin
                for p in select pubname from pg_publication
                loop execute format('drop publication %I', p); end loop;
                for t in select c.oid from pg_class c where c.relkind in ('r', 'p')
                    and c.oid >= 16384 and c.relreplident in ('d', 'n') and not exists (
                        select from pg_index i where i.indrelid = c.oid and i.indisprimary)
                loop execute format('alter table only %s replica identity full', t); end loop;
            end $$;""")
        self.carry(more_runs=1)

    def test_a_first_run_that_was_killed_is_completed_and_leaves_nothing(self):
        self.load_sample("monitoring")
        self.aside, self.absent = set(), set()
        self.change()
        self.kill_some_runs()
        self.assertEqual(self.find_absent(self.once(*self.words)), set())
        self.assert_equal()
        self.assert_same_schema()
        self.drop()
        # And now into tables that are there: what was before is what is after.
        before = [catalogue(url) for url in (self.source_url, self.target_url)]
        self.empty_target()
        self.once("--table", "*", "--state", str(self.folder / "state"))
        self.assert_equal()
        self.drop()
        self.assert_same_catalogue(before[0], self.source_url)
        self.assert_same_catalogue(before[1], self.target_url)

    def assert_same_schema(self):
        """As pg_dump tells it, but for functions and triggers, which are not brought."""
        copy = f"{self.database}_copy"
        self.source.psql(f"create database {copy} template {self.database}")
        self.source.psql("""
            do $$ begin
                execute (select 'drop function ' || string_agg(oid::regprocedure::text, ', ')
                         || ' cascade' from pg_proc where pronamespace = 'public'::regnamespace);
            end $$;""", copy)
        pg_dump = self.source.bin / "pg_dump"
        words = ("--no-owner", "--no-privileges", "--no-publications", "--exclude-schema=qiao")
        source, target = (comparison.schema_dump(pg_dump, url, *words)
                          for url in (self.source.url(copy), self.target_url))
        told = comparison.dump_differences(source, target)
        self.assertEqual(told, [], "\n".join(told))

    def empty_target(self):
        self.on_target("""
            do $$ begin
                execute (select 'truncate ' || string_agg(c.oid::regclass::text, ', ')
                         from pg_class c where c.relkind in ('r', 'p') and c.oid >= 16384
                           and c.relnamespace = 'public'::regnamespace);
            end $$;""")


if __name__ == "__main__":
    unittest.main(verbosity=2)
