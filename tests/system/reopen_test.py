#!/usr/bin/env python3
"""Sources and targets that went back: told by a code, and exact again by one command."""

import contextlib
import shutil
import subprocess
import threading
import time
import unittest
from pathlib import Path

import psycopg2

import comparison
import scene

TABLES = """
    create schema zoo;
    create table zoo.marker (id serial primary key);
    create table zoo.person (id int primary key, name text, n numeric);
    create table zoo.bare (a int, b text);
    insert into zoo.person select g, 'loaded ' || g, g / 7.0 from generate_series(1, 500) g;
    insert into zoo.bare select g % 20, 'b' from generate_series(1, 100) g;
"""
CHANGES = """
    update zoo.person set name = '{0}' where id % 7 = {1};
    delete from zoo.person where id % 31 = {1};
    insert into zoo.person select g, '{0}', null
        from generate_series(1000 + 100 * {1}, 1040 + 100 * {1}) g;
    insert into zoo.bare values ({1}, '{0}');
"""


class Reopen(scene.Scene):
    @classmethod
    def make_servers(cls):
        # They are stopped, copied and put back: each test has its own.
        return None, None

    def setUp(self):
        self.source = self.group.postgres(self.conf)
        self.target = self.group.postgres(self.conf)
        self.addCleanup(self.source.stop)
        self.addCleanup(self.target.stop)
        super().setUp()
        self.state = str(self.folder / "state")
        self.on_source(TABLES)

    def once(self):
        return self.start(*self.sync_words("--once", "--create", "--table", "*", "--state",
                                           self.state))

    def change(self, number):
        self.on_source(CHANGES.format(f"change {number}", number))

    def brought(self, number):
        self.change(number)
        run = self.once()
        self.assertEqual(run.wait(120), 0, run.tail())

    def assert_equal(self):
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))

    def assert_refused(self, code):
        run = self.once()
        self.assertEqual(run.wait(120), 1, run.tail())
        told = run.log.read_text()
        self.assertIn(f"error {code}:", told)
        self.assertIn("qiao verify --repair --reopen", told)

    def mend(self):
        """The one command that every one of these codes names."""
        run = self.start("verify", "--from", self.source_url, "--to", self.target_url, "--table",
                         "*", "--state", self.state, "--repair", "--reopen", name="verify")
        self.assertEqual(run.wait(240), 0, run.tail(40))
        self.assert_equal()
        self.assertEqual(self.on_target("select count(*) from qiao.table_state where status <> 2"),
                         "0", run.tail(40))

    def goes_on(self):
        self.brought(8)
        self.assert_equal()
        self.brought(9)
        self.assert_equal()

    def slot(self):
        return self.on_source("select slot_name from pg_replication_slots")

    # Source: rules 1
    def test_a_slot_that_was_dropped(self):
        self.brought(1)
        self.on_source(f"select pg_drop_replication_slot('{self.slot()}')")
        self.change(2)
        self.assert_refused("capture.position_lost")
        self.mend()
        self.goes_on()

    # Source: rules 1
    def test_a_slot_that_lost_its_log(self):
        self.brought(1)
        self.on_source("alter system set max_slot_wal_keep_size = '1MB'")
        self.on_source("select pg_reload_conf()")
        for _ in range(5):
            self.on_source("select pg_logical_emit_message(false, 'x', repeat('x', 6000000))")
            self.on_source("select pg_switch_wal()")
        self.on_source("checkpoint")
        self.change(2)
        self.assertEqual(self.on_source("select wal_status from pg_replication_slots"), "lost")
        self.assert_refused("capture.slot_missing")
        self.on_source("alter system reset max_slot_wal_keep_size")
        self.on_source("select pg_reload_conf()")
        self.mend()
        self.goes_on()

    # Source: rules 1
    def test_a_source_restored_to_an_earlier_time(self):
        self.brought(1)
        copy = self.copy_of(self.source)
        self.brought(2)
        self.change(3)
        self.put_back(self.source, copy, new_timeline=True)
        self.change(4)
        self.assert_refused("capture.identity")
        self.mend()
        self.goes_on()

    # As a machine's snapshot is put back: nothing in the identity tells.
    def test_a_source_put_back_on_the_same_timeline(self):
        self.brought(1)
        copy = self.copy_of(self.source)
        self.brought(2)
        self.change(3)
        self.put_back(self.source, copy)
        self.assert_refused("capture.identity")
        self.mend()
        self.goes_on()

    # The log of its second life is longer by then than that of its first.
    def test_a_source_put_back_that_has_gone_on_far_since(self):
        self.brought(1)
        copy = self.copy_of(self.source)
        self.brought(2)
        self.change(3)
        self.put_back(self.source, copy)
        for number in range(4, 7):
            self.change(number)
        self.on_source("select pg_logical_emit_message(false, 'x', repeat('x', 3000000))")
        self.assert_refused("capture.identity")
        self.mend()
        self.goes_on()

    # Source: rules 1
    def test_a_standby_that_took_over_under_load(self):
        standby = self.standby_of(self.source)
        self.brought(1)
        follow = self.start(*self.sync_words("--follow", "--table", "*", "--state", self.state))
        self.marker_arrives(60, follow.running)
        load = threading.Thread(target=self.write_until_it_fails, daemon=True)
        load.start()
        time.sleep(2)
        self.source.kill9()
        load.join()
        # The newest rows may be lost with the old primary: the target holds some of them.
        standby.psql("select pg_promote()")
        standby.stop()
        standby.port = self.source.port
        self.source = standby
        standby.start()
        self.assertEqual(follow.wait(120), 1, follow.tail())
        self.assertIn("qiao verify --repair --reopen", follow.log.read_text())
        self.change(4)
        self.mend()
        self.goes_on()

    def write_until_it_fails(self):
        with contextlib.suppress(psycopg2.Error), contextlib.closing(
                psycopg2.connect(self.source_url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for number in range(100_000):
                cursor.execute("insert into zoo.person values (%s, 'under load', 0.5)",
                               (10_000 + number,))
                cursor.execute("update zoo.person set n = n + 1 where id %% 97 = %s",
                               (number % 97,))

    def standby_of(self, primary):
        standby = self.group.postgres(self.conf)
        self.addCleanup(standby.stop)
        standby.stop()
        owner = owner_of(standby.data)
        shutil.rmtree(standby.data)
        subprocess.run([primary.bin / "pg_basebackup", "-h", primary.folder, "-p",
                        str(primary.port), "-U", "postgres", "-D", standby.data, "-R"],
                       env=primary.client_environment(), check=True)
        subprocess.run(["chown", "-R", "{}:{}".format(*owner), standby.data], check=True)
        conf = standby.data / "postgresql.auto.conf"
        # As another user, who has no password file.
        conf.write_text(conf.read_text().replace(
            "primary_conninfo = '", f"primary_conninfo = 'password={primary.password} "))
        standby.password = primary.password
        self.group.write_pgpass()
        standby.start()
        return standby

    # Source: rules 8
    def test_a_target_restored_within_the_grace_goes_on_by_itself(self):
        self.brought(1)
        copy = self.copy_of(self.target)
        self.brought(2)
        self.brought(3)
        self.put_back(self.target, copy)
        self.goes_on()

    # Source: rules 8
    def test_a_target_restored_when_nothing_is_kept_any_more(self):
        self.brought(1)
        copy = self.copy_of(self.target)
        self.brought(2)
        shutil.rmtree(self.state)
        self.brought(3)
        self.put_back(self.target, copy)
        self.change(4)
        run = self.once()
        self.assertEqual(run.wait(120), 1, run.tail())
        self.assertIn("qiao verify --repair --reopen", run.log.read_text())
        self.mend()
        self.goes_on()

    def copy_of(self, server):
        """A cold copy of the server's folder."""
        folder = Path(str(server.data) + ".copy")
        server.stop()
        subprocess.run(["cp", "-a", str(server.data), str(folder)], check=True)
        server.start()
        return folder

    def put_back(self, server, copy, new_timeline=False):
        server.stop()
        shutil.rmtree(server.data)
        subprocess.run(["mv", str(copy), str(server.data)], check=True)
        if new_timeline:
            # As a restore from an archive ends: at a place in the past, on a timeline of its own.
            self.begin_timeline(server)
        server.start()
        scene.wait_until(lambda: server.psql("select pg_is_in_recovery()") == "f", 60,
                         server.log_tail)

    def begin_timeline(self, server):
        (server.data / "recovery.signal").touch()
        shutil.chown(server.data / "recovery.signal", *owner_of(server.data))
        with open(server.data / "postgresql.auto.conf", "a", encoding="ascii") as conf:
            conf.write("restore_command = 'false'\n")


def owner_of(path):
    status = path.stat()
    return status.st_uid, status.st_gid


if __name__ == "__main__":
    unittest.main(verbosity=2)
