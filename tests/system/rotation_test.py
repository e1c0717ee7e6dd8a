#!/usr/bin/env python3
"""Every key of two agents is replaced while rows move: authority, certificates, wrapping key, data
key. Nothing is lost, nobody is let in who should not be, and a mistake changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import unittest

import comparison
import scene
import zoo
from workload import Workload

import agents
import servers

FLOW = "shop"
SECONDS = 120


class Rotation(scene.Scene):
    def setUp(self):
        super().setUp()
        self.on_source(zoo.KEYED + zoo.MARKER + zoo.USER)
        self.left, self.right = agents.make_pair(
            scene.QIAO, self.folder / "nodes", FLOW, self.source_url, self.target_url,
            tables=["zoo.*"], port=servers.free_port(["127.0.0.1"]))
        self.keys = self.folder / "nodes" / "keys"
        for agent in (self.left, self.right):
            self.addCleanup(agent.kill)
            agent.start()
        scene.wait_until(lambda: self.left.flow(FLOW).get("green"), SECONDS, self.tails)
        self.load = Workload(self.app_url(), self.rng.getrandbits(30), pause=0.005,
                             without={("zoo", "marker")}).start()
        self.addCleanup(self.load.stop)

    def tails(self):
        return self.left.tail() + "\n" + self.right.tail()

    def moving(self):
        return self.left.running() and self.right.running()

    def rows_move(self):
        self.marker_arrives(SECONDS, self.moving)

    def reload(self, agent):
        return agents.run_qiao(scene.QIAO, "status", "--socket", agent.socket, "--reload",
                               check=False)

    def taken(self, agent):
        done = self.reload(agent)
        self.assertEqual(done.returncode, 0, done.stderr)

    def key(self, *words):
        agents.run_qiao(scene.QIAO, "key", *words, "--out", self.keys)

    def configure(self, agent, **settings):
        config = json.loads(agent.config.read_text())
        config.update(settings)
        agent.config.write_text(json.dumps(config))

    def trust(self, *authorities):
        text = "".join((self.keys / f"{name}.crt").read_text() for name in authorities)
        (self.keys / "trusted.crt").write_text(text)
        for agent in (self.left, self.right):
            self.taken(agent)

    def certify(self, agent):
        """By the new authority, which gives a PKCS#12 file, as authorities do."""
        given = self.folder / agent.name
        given.mkdir()
        agents.run_qiao(scene.QIAO, "key", "node", agent.name, "--ca", self.keys / "ca2", "--host",
                        "127.0.0.1", "--out", given)
        password = given / "password"
        password.write_text("given with it\n")
        container = given / "node.p12"
        subprocess.run(["openssl", "pkcs12", "-export", "-inkey", given / f"{agent.name}.key",
                        "-in", given / f"{agent.name}.crt", "-certfile", self.keys / "ca2.crt",
                        "-out", container, "-passout", f"file:{password}"], check=True)
        for kind in ("crt", "key"):
            (self.keys / f"{agent.name}.{kind}").unlink()
        self.key("import", container, "--password-file", password)

    def wrapping_key(self, *names):
        self.configure(self.right, wrapping_key=[str(self.keys / f"{n}.key") for n in names])

    def nothing_refused(self):
        status = self.right.status()
        return status and status["settings"]["refused"] is None

    # Spec: R-32
    def test_all_keys_under_load(self):
        first = self.left.status()["certificate"]["not_after"]
        for agent in (self.left, self.right):
            tls = json.loads(agent.config.read_text())["tls"]
            self.configure(agent, tls={**tls, "ca": str(self.keys / "trusted.crt")})
        old = self.keys / "old"
        old.mkdir()
        for path in self.keys.glob(f"{self.left.name}.*"):
            shutil.copy(path, old)

        self.say("a new authority, trusted beside the old one")
        self.key("ca", "ca2")
        self.trust("ca", "ca2")
        self.rows_move()

        self.say("new certificates, one after the other")
        for agent in (self.left, self.right):
            self.certify(agent)
            self.taken(agent)
            self.rows_move()
        self.assertGreater(self.left.status()["certificate"]["not_after"], first)

        self.say("the old authority is trusted no more")
        self.trust("ca2")
        self.rows_move()

        self.say("a new wrapping key")
        city = self.right.name
        self.key("wrap", "newer")
        self.wrapping_key("newer-wrap", f"{city}-wrap")
        self.taken(self.right)
        config = json.loads(self.left.config.read_text())
        config["flows"][0]["receiver_key"] = str(self.keys / "newer-wrap.pub")
        self.configure(self.left, flows=config["flows"])
        self.taken(self.left)
        self.rows_move()
        self.wrapping_key("newer-wrap")
        self.taken(self.right)
        self.rows_move()
        self.right.kill()
        self.right.start()
        self.rows_move()

        self.say("a mistake changes nothing")
        self.wrapping_key("nowhere")
        refused = self.reload(self.right)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("nowhere.key", refused.stderr)
        self.assertIn("nowhere.key", self.right.status()["settings"]["refused"]["detail"])
        self.rows_move()
        self.wrapping_key("newer-wrap")
        os.kill(self.right.pid, signal.SIGHUP)
        scene.wait_until(self.nothing_refused, SECONDS, self.tails)

        self.load.stop()
        self.say(f"workload: {self.load.summary()}")
        self.assertEqual(self.load.unexpected, [])
        self.rows_move()
        told = comparison.differences(self.source_url, self.target_url)
        self.assertEqual(told, [], "\n".join(told))
        self.old_certificate_is_refused(old)

    def old_certificate_is_refused(self, old):
        tls = json.loads(self.left.config.read_text())["tls"]
        name = self.left.name
        self.configure(self.left, tls={**tls, "certificate": str(old / f"{name}.crt"),
                                       "key": str(old / f"{name}.key")})
        self.taken(self.left)

        def told():
            links = (self.left.status() or {}).get("links")
            error = links and links[0]["last_error"]
            return error and error["code"] == "crypto.tls_refused"
        scene.wait_until(told, SECONDS, self.tails)


if __name__ == "__main__":
    unittest.main(verbosity=2)
