"""One run: a scene from a seed, its troubles, and what must hold at the end."""

import json
import re
import subprocess
import time
from collections import Counter

import bank
import faults
import scene
import zoo
from choices import Choices
from ground import DATABASE, FLOW, Fault, Ground
from watch import Watch
from workload import Workload

import comparison
import servers

LOAD_SECONDS = 120
ARRIVE_SECONDS = 180
VERIFY_SECONDS = 180
CRASHED = re.compile(r"broken invariant|terminate called|Sanitizer|runtime error")
MARKER = ("zoo", "marker")


class Play:
    def __init__(self, seed, seconds, folder):
        self.choices = Choices(seed, seconds)
        self.folder = folder
        self.counts = Counter()
        self._story = open(folder / "story", "w", encoding="utf-8")
        self._begun = time.monotonic()

    def tell(self, text):
        self._story.write(f"{time.strftime('%H:%M:%S', time.gmtime())} "
                          f"{time.monotonic() - self._begun:6.2f} {text}\n")
        self._story.flush()

    def run(self):
        """@throws Fault and others: what failed."""
        self.tell(f"seed {self.choices.seed}: {self.choices}")
        (self.folder / "tables.sql").write_text(self.choices.schema)
        with Ground(self.folder, self.choices) as self.ground:
            try:
                self.set_up()
                self.make_trouble()
                self.make_peace()
                self.end()
            finally:
                self.counts += self.ground.counts

    def set_up(self):
        ground, choices = self.ground, self.choices
        ground.on_source(choices.schema + bank.TABLES + zoo.USER + zoo.rights("bank"))
        self.bank = bank.Bank(ground.app_url, choices.seed, 0.03)
        self.watch = Watch(ground.target_url, [ground.left.socket, ground.right.socket],
                           FLOW, strict=True)
        self.workload("rows before the first load").run_for(1.0)
        self.load = self.workload("workload").start()
        self.bank.start()
        self.watch.start()
        for name in ("right", "left"):
            ground.start_agent(name)
        if not choices.faults_from_the_first:
            self.wait_for_load()

    def workload(self, name):
        """Writers on all random tables."""
        choices = self.choices
        return Workload(self.ground.app_url, choices.rng(name).getrandbits(30), choices.writers,
                        choices.pause, without={MARKER}, truncate=False,
                        append_only=choices.append_only)

    def wait_for_load(self):
        self.wait_until(self.loaded, LOAD_SECONDS, "no first load")
        self.tell("the first load is in")
        self.load.allow_truncate()

    def loaded(self):
        self.ground.assert_agents_run()
        try:
            # A truncated partition makes its table unproven, until it is compared.
            return self.ground.on_target(
                "select count(*) > 0 and bool_and(status in (2, 5)) from qiao.table_state") == "t"
        except servers.ServerError:
            return False

    def make_trouble(self):
        for fault in self.choices.faults:
            time.sleep(fault.after)
            self.tell(fault.kind)
            faults.play(self.ground, fault)
            if fault.kind.startswith("link"):
                self.counts[fault.kind] += 1
            self.assert_nothing_found()

    def assert_nothing_found(self):
        found = self.watch.found + self.load.unexpected + self.bank.unexpected
        if found:
            raise Fault("\n".join(found[:5]))

    # -- the end --

    def make_peace(self):
        self.tell("peace")
        self.wait_for_load()
        self.load.stop()
        self.bank.stop()
        self.counts["commits"] += self.load.commits + self.bank.commits
        self.tell(f"workload: {self.load.summary()}; bank: {self.bank.commits} commits")
        self.assert_nothing_found()
        self.marker_arrives()
        self.compare()
        self.verify()
        self.turns_green()
        self.assert_nothing_found()

    def turns_green(self):
        self.wait_until(lambda: all(agent.flow(FLOW).get("green") for agent in
                                    (self.ground.left, self.ground.right)),
                        ARRIVE_SECONDS, "not green")
        self.tell("green")

    def marker_arrives(self):
        number = self.ground.on_source("insert into zoo.marker default values returning id")

        def there():
            self.ground.assert_agents_run()
            return self.ground.on_target(f"select 1 from zoo.marker where id = {number}") == "1"

        self.wait_until(there, ARRIVE_SECONDS, f"marker {number} does not arrive")
        self.tell("everything has arrived")

    def compare(self):
        told = comparison.differences(self.ground.source_url, self.ground.target_url,
                                      tally=self.counts)
        if told:
            raise Fault("not equal:\n" + "\n".join(told[:60]))
        self.tell(f"equal: {self.counts['rows']} rows")

    def verify(self):
        done = subprocess.run([scene.QIAO, "verify", "--flow", FLOW, "--socket",
                               str(self.ground.left.socket), "--json"],
                              text=True, capture_output=True, timeout=VERIFY_SECONDS)
        if done.returncode != 0:
            raise Fault(f"verify ends with {done.returncode}: {done.stderr} {done.stdout[-3000:]}")
        self.tell(f"verify: {len(json.loads(done.stdout)['tables'])} tables equal")

    def end(self):
        self.watch.stop()
        self.counts["instants"] += self.watch.instants
        for agent in (self.ground.left, self.ground.right):
            status = agent.end()
            if status != 0:
                raise Fault(f"agent {agent.name} ends with {status}\n{agent.tail()}")
            self.assert_log(agent)
        slots = self.ground.on_source("select slot_name, active, temporary"
                                      " from pg_replication_slots")
        if len(slots.splitlines()) != 1 or "|t" in slots:
            raise Fault(f"slots: {slots}")

    def assert_log(self, agent):
        odd = [line for line in agent.log.read_text(errors="replace").splitlines()
               if CRASHED.search(line)]
        if odd:
            raise Fault(f"agent {agent.name} said: {odd[:5]}")

    def wait_until(self, condition, seconds, what):
        scene.wait_until(condition, seconds, lambda: f"{what}\n{self.state()}")

    def state(self):
        """What both ends say of themselves."""
        told = [agent.tail() + "\n" + json.dumps(agent.flow(FLOW), indent=1)
                for agent in (self.ground.left, self.ground.right)]
        told += [f"{name}:\n" + server.psql(scene.SESSIONS, DATABASE, check=False)
                 for name, server in (("source", self.ground.source),
                                      ("target", self.ground.target))]
        return "\n".join(told)
