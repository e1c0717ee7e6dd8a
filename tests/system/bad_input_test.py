#!/usr/bin/env python3
"""What users and operators get wrong: each is refused by a code, with its cause and the next step,
before or instead of any harm. `./dev test --table` shows the lines."""

import os
import subprocess
import unittest

import notes
import scene

import agents
import servers

TABLES = """
    create schema zoo;
    create table zoo.item (id int primary key, v text, n int);
    insert into zoo.item select g, 'loaded', g from generate_series(1, 50) g;
"""
SECONDS = 60


class BadInput(scene.Scene):
    def setUp(self):
        super().setUp()
        self.on_source(TABLES)
        self.state = str(self.folder / "state")

    def run_to_end(self, *words, **environment):
        done = subprocess.run([scene.QIAO, *map(str, words)], text=True, capture_output=True,
                              timeout=SECONDS, env={**os.environ, "LANG": "C", **environment})
        return done.returncode, done.stdout + done.stderr

    def sync(self, *words, source=None, target=None):
        return ("sync", "--from", source or self.source_url, "--to", target or self.target_url,
                "--once", "--state", self.state, *(words or ("--table", "zoo.*", "--create")))

    def refused(self, line, code, words, *said, status=(1, 2), **environment):
        """By a code whose next step the user reads."""
        ended, output = self.run_to_end(*words, **environment)
        self.assertIn(ended, status, output)
        self.told(line, code, output, *said)

    def told(self, line, code, output, *said):
        notes.told(self, line, code, output)
        for text in said:
            self.assertIn(text, output)

    def advised(self, line, output, advice):
        """Not an error: the run goes on, and says what would be better."""
        self.assertIn(advice, output)
        notes.note(line, "", next(one.strip() for one in output.splitlines() if advice in one))

    # -- where to --

    def test_a_url_that_is_none(self):
        self.refused("wrong URL", "common.config", self.sync(source="postgres//nowhere"))
        port = servers.free_port(["127.0.0.1"])
        self.refused("wrong URL: nobody listens", "drivers.connect",
                     self.sync(source=f"postgresql://127.0.0.1:{port}/shop"))

    def test_a_wrong_password(self):
        path = self.folder / "pgpass"
        path.write_text("*:*:*:*:wrong\n")
        path.chmod(0o600)
        self.refused("wrong password", "drivers.authentication", self.sync(), "postgres",
                     PGPASSFILE=str(path))

    def test_a_database_that_is_not_there(self):
        self.refused("wrong database", "drivers.no_database",
                     self.sync(target=self.target.url("nothing")), "nothing")

    def test_a_table_that_is_not_there(self):
        self.refused("wrong table", "drivers.no_table", self.sync("--table", "zoo.itme"),
                     "zoo.itme")

    def test_a_role_that_may_not(self):
        self.on_source("create role clerk login replication password 'clerk'")
        self.addCleanup(self.source.psql, "drop role clerk")
        path = self.folder / "clerk"
        path.write_text("clerk")
        url = self.source_url.replace("postgres@", f"clerk:@{path}@")
        self.refused("missing privilege", "drivers.privilege", self.sync(source=url), "GRANT")

    # -- a server that is not set up --

    def other_server(self, **conf):
        server = self.group.postgres({**self.conf, **conf})
        self.addCleanup(server.stop)
        server.psql(f"create database {self.database}")
        server.psql(TABLES, self.database)
        return server

    def test_a_server_without_logical_log(self):
        server = self.other_server(wal_level="replica")
        self.refused("wal_level", "drivers.setting",
                     self.sync(source=server.url(self.database)), "wal_level")

    def test_no_slot_and_no_sender_left(self):
        server = self.other_server(max_replication_slots="1", max_wal_senders="1")
        url = server.url(self.database)
        server.psql("select pg_create_physical_replication_slot('taken')")
        self.refused("no slot left", "capture.no_slot", self.sync(source=url))
        server.psql("select pg_drop_replication_slot('taken')")
        receiver = subprocess.Popen(
            [str(server.bin / "pg_receivewal"), "-h", "127.0.0.1", "-p", str(server.port), "-U",
             "postgres", "-D", str(self.folder)], env=server.client_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(receiver.wait)
        self.addCleanup(receiver.kill)
        scene.wait_until(lambda: server.psql("select count(*) from pg_stat_replication") == "1",
                         SECONDS, "the sender is not taken")
        self.refused("no sender left", "capture.no_slot", self.sync(source=url))

    # -- tables --

    def test_a_table_without_a_key(self):
        self.on_source("create table zoo.bare (a int)")
        status, output = self.run_to_end(*self.sync())
        self.assertEqual(status, 0, output)
        self.advised("missing key", output, 'ALTER TABLE "zoo"."bare" ADD PRIMARY KEY')

    def test_a_type_that_cannot_go_over(self):
        self.on_source("""
            create type zoo.odd;
            create function zoo.odd_in(cstring) returns zoo.odd
                as 'int4in' language internal immutable strict;
            create function zoo.odd_out(zoo.odd) returns cstring
                as 'int4out' language internal immutable strict;
            create type zoo.odd (input = zoo.odd_in, output = zoo.odd_out, like = int4);
            create table zoo.strange (id int primary key, o zoo.odd)""")
        self.refused("type that cannot go over", "drivers.no_table",
                     self.sync("--table", "zoo.strange", "--create"), "zoo.strange", "zoo.odd")

    # -- rows --

    ROWS = {
        "length": ("alter table zoo.item alter v type varchar(9)",
                   "update zoo.item set v = 'longer than nine' where id = 7", "drivers.value"),
        "type": ("alter table zoo.item alter v type int using 0",
                 "update zoo.item set v = 'no number' where id = 7", "drivers.value"),
        "check": ("alter table zoo.item add check (n < 100)",
                  "update zoo.item set n = 100 where id = 7", "drivers.constraint"),
        "unique": ("create unique index on zoo.item (n)",
                   "update zoo.item set n = 8 where id = 7", "drivers.constraint"),
        "NUL byte": ("alter table zoo.item alter v type jsonb using '0'",
                     """update zoo.item set v = '"\\u0000"' where id = 7""", "drivers.value"),
    }

    def test_rows_that_the_target_refuses(self):
        for kind, (at_target, change, code) in self.ROWS.items():
            with self.subTest(kind):
                self.on_target("drop schema if exists zoo cascade")
                self.state = str(self.folder / kind.replace(" ", "-"))
                self.on_source("drop schema zoo cascade;" + TABLES)
                status, output = self.run_to_end(*self.sync())
                self.assertEqual(status, 0, output)
                self.on_target(at_target)
                self.on_source(change)
                self.refused(f"row refused: {kind}", code, self.sync("--table", "zoo.*"),
                             "zoo.item", "id=7")
                self.run_to_end("sync", "--drop", "--from", self.source_url, "--to",
                                self.target_url, "--state", self.state)

    def test_a_row_that_the_targets_encoding_does_not_have(self):
        name = f"{self.database}_latin"
        self.target.psql(f"create database {name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"
                         " template template0")
        url = self.target.url(name)
        status, output = self.run_to_end(*self.sync(target=url))
        self.assertEqual(status, 0, output)
        self.on_source("update zoo.item set v = '桥' where id = 7")
        self.refused("row refused: encoding", "drivers.value",
                     self.sync("--table", "zoo.*", target=url), "zoo.item", "id=7")

    def test_a_row_that_refers_to_nothing(self):
        """By a role as it should be: a superuser's session leaves triggers to the source."""
        self.target.psql("create role carrier login password 'carrier'")
        self.target.psql(f"grant create on database {self.database} to carrier")
        path = self.folder / "carrier"
        path.write_text("carrier")
        path.chmod(0o600)
        self.addCleanup(self.target.psql, "drop role carrier")
        self.addCleanup(self.on_target, "drop owned by carrier cascade")
        url = self.target_url.replace("postgres@", f"carrier:@{path}@")
        status, output = self.run_to_end(*self.sync(target=url))
        self.assertEqual(status, 0, output)
        self.on_target("create table zoo.owner (n int primary key);"
                       "insert into zoo.owner select generate_series(1, 50);"
                       "grant select, references on zoo.owner to carrier;"
                       "alter table zoo.item add foreign key (n) references zoo.owner")
        self.on_source("update zoo.item set n = 51 where id = 7")
        self.refused("row refused: foreign key", "drivers.constraint",
                     self.sync("--table", "zoo.*", target=url), "zoo.item", "id=7")

    # -- nodes --

    def openssl(self, *words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True,
                       cwd=self.keys)

    def authority(self):
        """What `openssl ca` wants to issue and revoke by the pair's authority."""
        (self.keys / "index").touch()
        (self.keys / "serial").write_text("1000\n")
        (self.keys / "number").write_text("01\n")
        (self.keys / "ca.cnf").write_text(
            "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\n"
            "crlnumber = number\nnew_certs_dir = .\ncertificate = ca.crt\nprivate_key = ca.key\n"
            "default_md = sha256\ndefault_crl_days = 30\npolicy = any\nunique_subject = no\n"
            "[any]\ncommonName = supplied\n")

    def issue(self, out, *dates):
        name = self.left.name
        self.openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out",
                     "request")
        self.openssl("ca", "-config", "ca.cnf", "-batch", "-notext", "-in", "request", "-out", out,
                     *dates)

    def make_pair(self):
        self.port = servers.free_port(["127.0.0.1"])
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", "shop", self.source_url, self.target_url,
            tables=["zoo.*"], port=self.port)
        self.keys = self.folder / "nodes" / "keys"
        for agent in (self.left, self.right):
            self.addCleanup(agent.kill)
        self.right.start()
        scene.wait_until(self.right.status, SECONDS, self.right.tail)

    # Spec: R-32
    def test_certificates_that_do_not_let_in(self):
        self.make_pair()
        words = ("check", "--config", self.left.config, "--link", f"127.0.0.1:{self.port}")
        ended, output = self.run_to_end(*words)
        self.assertEqual(ended, 0, output)
        own, key = (self.keys / f"{self.left.name}.{kind}" for kind in ("crt", "key"))
        good, good_key = own.read_text(), key.read_text()

        own.write_text((self.keys / f"{self.right.name}.crt").read_text())
        self.refused("wrong certificate", "agent.identity",
                     ("agent", "--config", self.left.config), self.right.name, status=(64,))

        elsewhere = self.folder / "elsewhere"
        agents.make_keys(scene.QIAO, elsewhere, {self.left.name: "127.0.0.1"})
        own.write_text((elsewhere / own.name).read_text())
        key.write_text((elsewhere / key.name).read_text())
        self.refused("foreign certificate", "crypto.tls_refused", words, "unknown ca")
        own.write_text(good)
        key.write_text(good_key)

        self.authority()
        self.issue("expired.crt", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
        own.write_text((self.keys / "expired.crt").read_text())
        self.refused("expired certificate", "crypto.tls_refused", words, "certificate expired")

        self.issue("revoked.crt", "-days", "90")
        own.write_text((self.keys / "revoked.crt").read_text())
        self.openssl("ca", "-config", "ca.cnf", "-revoke", "revoked.crt")
        self.openssl("ca", "-config", "ca.cnf", "-gencrl", "-out", "list")
        with open(self.keys / "ca.crt", "a", encoding="ascii") as trusted:
            trusted.write((self.keys / "list").read_text())
        agents.run_qiao(scene.QIAO, "status", "--socket", self.right.socket, "--reload")

        def answered():
            return "revoked" in self.run_to_end(*words)[1]
        scene.wait_until(answered, SECONDS, self.right.tail)
        self.refused("revoked certificate", "crypto.tls_refused", words, "certificate revoked")

    # Spec
    def test_a_key_of_somebody_else(self):
        self.make_pair()
        wrong, right = (self.keys / f"{agent.name}-wrap.pub" for agent in (self.left, self.right))
        right.write_text(wrong.read_text())
        self.left.start()


        def refused():
            # Before that the other end may only be starting.
            error = self.left.flow("shop").get("last_error")
            return error and error["code"] == "crypto.wrong_key"
        scene.wait_until(refused, SECONDS, lambda: self.left.tail() + self.right.tail())
        status, output = self.run_to_end("status", "--socket", self.left.socket)
        self.assertEqual(status, 0, output)
        self.told("wrong key", "crypto.wrong_key", output, "zoo.item")


if __name__ == "__main__":
    unittest.main(verbosity=2)
