#!/usr/bin/env python3
"""One ID number and one password are planted; no file of Qiao and no process title has them."""

import base64
import os
import time
import unittest
import urllib.parse
from pathlib import Path

import comparison
import scene

import agents
import servers

FLOW = "register"
ID_NUMBER = "510107198803127539"
PASSWORD = "Tr0ub4dor-Geheim-密码"
# COPY and apply meet the value in the first load, in the log, in a unique key and in a refused row.
# It is not the primary key: that may be named in an error.
SCHEMA = """
create table person (
    id bigint primary key, id_number char(18) not null unique, name text, attributes jsonb);
insert into person values (0, '{secret}', '张三', '{{"证件": "{secret}"}}');
insert into person select i, 'X' || i, 'n', '{{}}' from generate_series(1, 2000) i;
"""
KILLS = 6


def forms(secret):
    """The bytes under which a secret may lie in a file."""
    raw = secret.encode()
    found = {raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(),
             secret.encode("utf-16-le"), secret.encode("utf-16-be"),
             urllib.parse.quote(secret).encode()}
    for shift in range(3):
        # Where a secret stands inside base64 is not known: what does not depend on neighbours.
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[4 if shift else 0:-4])
    return found


class Secrets(scene.Scene):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for server in (cls.source, cls.target):
            server.psql(f"create role carrier superuser login password '{PASSWORD}'")

    def setUp(self):
        super().setUp()
        self.on_source(SCHEMA.format(secret=ID_NUMBER))
        self.titles = set()

    def passfile(self, name):
        path = self.folder.parent / f"{self.folder.name}-{name}.pgpass"
        path.write_text("".join(
            f"*:{server.port}:*:carrier:{PASSWORD}\n" for server in (self.source, self.target)))
        path.chmod(0o600)
        self.addCleanup(path.unlink)
        return str(path)

    def urls(self):
        return [server.url(self.database, "carrier") for server in (self.source, self.target)]

    def look_at_titles(self):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    title = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"qiao" in title:
                    self.titles.add(title)

    def change(self, round_number):
        self.on_source(
            f"update person set name = 'r{round_number}', attributes = attributes || "
            f"'{{\"n\": \"{ID_NUMBER}\"}}' where id_number = '{ID_NUMBER}';"
            f"delete from person where id_number = '{ID_NUMBER}';"
            f"insert into person values"
            f" (0, '{ID_NUMBER}', 'again {round_number}', '[\"{ID_NUMBER}\"]')")

    def target_has(self, condition, tell):
        def there():
            return self.target.psql(f"select 1 from person where {condition}", self.database,
                                    check=False).startswith("1")

        scene.wait_until(there, 60, lambda: f"no row with {condition}; {tell()}")

    def leaks(self, folders):
        """Every place under the folders where a secret lies readable."""
        wanted = {secret: forms(secret) for secret in (ID_NUMBER, PASSWORD)}
        found, read = [], 0
        for folder in folders:
            for path in Path(folder).rglob("*"):
                if path.is_file() and not path.is_symlink():
                    content = path.read_bytes()
                    read += len(content)
                    found += [f"{path}: {secret} as {form[:30]!r}"
                              for secret, shapes in wanted.items() for form in shapes
                              if form in content]
        self.say(f"{read:,} bytes read")
        self.assertGreater(read, 1000)
        return found

    def assert_no_leaks(self, *folders):
        self.assertEqual(self.leaks(folders), [])
        for title in self.titles:
            for form in forms(ID_NUMBER) | forms(PASSWORD):
                self.assertNotIn(form, title)
        self.assertTrue(self.titles)

    def assert_private(self, folder):
        """Files 0600 and folders 0700, whatever the umask."""
        for path in [Path(folder), *Path(folder).rglob("*")]:
            mode = path.lstat().st_mode & 0o777
            if path.is_socket():
                continue
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)

    # Spec: R-75
    def test_search_finds_what_is_planted(self):
        for number, form in enumerate(sorted(forms(ID_NUMBER))):
            (self.folder / f"plain{number}").write_bytes(b"x" * 1000 + form + b"y")
        self.assertEqual(len(self.leaks([self.folder])), len(forms(ID_NUMBER)))

    # Spec: R-75
    def test_sync_leaves_no_secret_in_files_and_titles(self):
        os.environ["PGPASSFILE"] = self.passfile("sync")
        self.addCleanup(os.environ.update, PGPASSFILE=self.group.environment()["PGPASSFILE"])
        temporary = self.folder / "tmp"
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)
        self.addCleanup(os.environ.pop, "TMPDIR")
        source, target = self.urls()
        words = ("sync", "--from", source, "--to", target, "--follow", "--create",
                 "--table", "public.*", "--state", str(self.folder / "state"))
        qiao = self.start(*words)
        for number in range(KILLS):
            self.change(number)
            self.look_at_titles()
            qiao.kill()
            qiao = self.start(*words)
            if number >= 2:
                # The first ones are kills in the middle of the first load.
                self.target_has(f"name = 'again {number}'", qiao.tail)
        # A row that the target refuses is named in an error.
        self.on_target(f"delete from person where id_number = '{ID_NUMBER}'")
        self.change(KILLS)
        scene.wait_until(lambda: "apply.missing_row" in qiao.tail(), 60, qiao.tail)
        self.look_at_titles()
        qiao.kill()
        self.assert_no_leaks(self.folder)
        self.assert_private(self.folder / "state")

    # Spec: R-75
    def test_password_in_a_url_is_warned_of_and_hidden(self):
        password = urllib.parse.quote(PASSWORD, safe="")
        source, target = (url.replace("carrier@", f"carrier:{password}@") for url in self.urls())
        words = ("sync", "--from", source, "--to", target, "--table", "public.*",
                 "--state", str(self.folder / "state"))
        qiao = self.start(*words, "--follow", "--create")
        self.target_has(f"id_number = '{ID_NUMBER}'", qiao.tail)
        self.look_at_titles()
        qiao.end()
        # It ends by repeating the command that removes what it left.
        once = self.run_qiao(*words, "--once", name="once")
        self.assertIn("--drop", once.log.read_text())
        self.assertIn("password", qiao.log.read_text())
        self.assert_no_leaks(self.folder)

    # Spec: R-75
    def test_agents_leave_no_secret_in_files_and_titles(self):
        os.environ["PGPASSFILE"] = self.passfile("agents")
        self.addCleanup(os.environ.update, PGPASSFILE=self.group.environment()["PGPASSFILE"])
        left, right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, *self.urls(), tables=["public.*"],
            port=servers.free_port(["127.0.0.1"]))
        for agent in (left, right):
            self.addCleanup(agent.kill)
            agent.start()
        scene.wait_until(lambda: left.flow(FLOW).get("state") == "following", 60, left.tail)
        for number in range(KILLS):
            self.change(number)
            self.look_at_titles()
            time.sleep(0.5)
            agent = (left, right)[number % 2]
            agent.kill()
            agent.start()
        scene.wait_until(lambda: not comparison.differences(*self.urls()), 60,
                         lambda: f"not equal; {left.tail()}\n{right.tail()}")
        for agent in (left, right):
            agent.end()
        self.assert_no_leaks(self.folder)
        for agent in (left, right):
            self.assert_private(agent.folder / "state")


if __name__ == "__main__":
    unittest.main(verbosity=2)
