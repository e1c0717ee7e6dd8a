"""One run: a scene from a seed, its troubles, and what must hold at the end."""

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import bank
import bulk
import faults
import operations
import scene
import zoo
from choices import Choices
from ground import FLOW, Fault, Ground
from watch import Watch
from workload import Workload

import comparison
import servers

LOAD_SECONDS = 120
ARRIVE_SECONDS = 180
CANNOT_TELL = 2  # exit status
CANNOT_TELL_MOST = 4
VERIFY_SECONDS = 180
HEALINGS = 5
SKIPS_MOST = 20
WAITING = """
    select schema_name, table_name, count(*), code, left(min(key_text), 40), left(min(detail), 200)
    from qiao.error_row group by 1, 2, 4 order by 1, 2
"""
CRASHED = re.compile(r"broken invariant|terminate called|Sanitizer|runtime error")
MARKER = ("zoo", "marker")


class Play:
    def __init__(self, seed, seconds, folder):
        self.choices = Choices(seed, seconds)
        self.folder = folder
        self.counts = Counter()
        self.load_is_in = False
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
        ground.on_source(choices.schema + bank.TABLES + bulk.TABLES + zoo.ROLE
                         + "".join(map(zoo.rights, ("zoo", "bank", "bulk"))))
        self.bank = bank.Bank(ground.app_url, choices.seed, 0.03)
        self.bulk = bulk.Bulk(ground.app_url, f"{choices.seed} bulk", choices.pause_of_bulk)
        self.operators = operations.Operators(ground, choices.operations, self.tell)
        self.commands = operations.Commands(ground)
        self.watch = Watch(ground.target_url, [ground.left.socket, ground.right.socket],
                           choices.temper.strict, self.tell)
        self.workload("rows before the first load").run_for(1.0)
        self.load = self.workload("workload")
        self.work = [self.load, self.bank, self.bulk]
        for each in (*self.work, self.watch):
            each.start()
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
        self.wait_until(lambda: self.tables_in(0, 1) == [] and self.tables_in(2, 3, 4, 5, 6),
                        LOAD_SECONDS, "no first load")
        self.tell("the first load is in")
        self.load_is_in = True
        if self.choices.temper.truncates:
            self.load.allow_truncate()

    def loaded(self):
        self.ground.assert_agents_run()
        try:
            # A truncated partition makes its table unproven, until it is compared.
            return self.ground.on_target(
                "select count(*) > 0 and bool_and(status in (2, 5)) from qiao.table_state") == "t"
        except servers.ServerError:
            return False

    # -- trouble --

    def make_trouble(self):
        self.operators.start()
        under_way = []
        moments = {
            "following": self.watch.is_following,
            "load": lambda: self.watch.loading,
            "huge transaction": lambda: self.bulk.busy,
            "repair": lambda: self.operators.busy == "damage",
            "comparison": lambda: self.operators.busy == "verify",
            "operators' rest": lambda: self.operators.busy not in ("damage", "verify"),
        }
        with ThreadPoolExecutor(len(self.choices.faults) + 1) as pool:
            for number, fault in enumerate(self.choices.faults):
                if 3 * number > len(self.choices.faults) and not self.load_is_in:
                    # The other things want to be troubled, too.
                    self.end_of(under_way)
                    self.wait_for_load()
                faults.wait_for(fault, moments)
                self.tell(f"{fault.kind} ({fault.moment})" + (" and" if fault.beside else ""))
                under_way.append(pool.submit(faults.play, self.ground, fault))
                if not fault.beside:
                    self.end_of(under_way)
                self.assert_nothing_found()
            self.end_of(under_way)

    @staticmethod
    def end_of(under_way):
        while under_way:
            under_way.pop().result()

    def assert_nothing_found(self):
        found = self.watch.found + self.operators.found
        for each in self.work:
            found += each.unexpected
        if found:
            raise Fault("\n".join(found[:5]))

    # -- the end --

    def make_peace(self):
        self.tell("peace")
        for each in self.work:
            each.stop()
            self.counts["commits"] += each.commits
        self.operators.stop()
        self.counts += self.operators.counts
        self.resume_all()
        self.wait_for_load()
        self.counts["huge transactions"] += self.bulk.commits
        self.tell(f"workload: {self.load.summary()}; bank: {self.bank.commits} commits; "
                  f"{self.bulk.commits} huge ones of {self.bulk.rows} rows")
        self.assert_nothing_found()
        self.marker_arrives()
        if not self.choices.temper.strict:
            self.heal()
        self.compare()
        self.verify()
        self.turns_green()
        self.assert_nothing_found()

    def resume_all(self):
        """What an operator has paused, or what has needed him otherwise, flows again, and what was
        asked for is in."""
        self.wait_until(lambda: self.tables_in(0, 1, 6) == [], LOAD_SECONDS, "no load")
        if self.choices.temper.strict:
            return
        for table in self.tables_in(3):
            self.commands.tables("--resume", table)
        for table in self.tables_in(4):
            self.tell(f"needs a resync: {table}")
            self.commands.tables("--resync", table)

    def tables_in(self, *states):
        listed = ", ".join(map(str, states))
        try:
            told = self.ground.on_target("select schema_name || '.' || table_name from"
                                         f" qiao.table_state where status in ({listed})")
            return told.splitlines()
        except servers.ServerError:
            return None

    def heal(self):
        """What operators do once the trouble is over, in the order that they would do it."""
        for number in range(1, HEALINGS + 1):
            self.commands.errors("--replay")
            status, different, _ = self.commands.verify("--repair", seconds=VERIFY_SECONDS)
            waiting = self.waiting()
            self.tell(f"healing {number}: repair {status} {list(different)}, waiting {waiting}")
            if status == 0 and not waiting:
                return
            if number > 1 and status == 0:
                self.drop(waiting)
        raise Fault(f"does not heal: {status}, {json.dumps(different)[:2000]}, what waits:\n"
                    + self.ground.on_target(WAITING))

    def waiting(self):
        """{table: number of changes laid aside}"""
        lines = self.ground.on_target("select schema_name || '.' || table_name, count(*)"
                                      " from qiao.error_row group by 1").splitlines()
        return {table: int(count) for table, count in (line.split("|") for line in lines)}

    def drop(self, waiting):
        """What no repair closes: a row that is at neither end has waiting changes all the same."""
        for table, count in waiting.items():
            if count > SKIPS_MOST:
                self.commands.tables("--resync", table)
                continue
            keys = json.loads(self.commands.errors("--table", table, "--json")[1])["errors"]
            for key in {one["key"] for one in keys}:
                self.commands.errors("--skip", "--table", table, "--key", key)
        self.wait_until(self.loaded, LOAD_SECONDS, "no load anew")

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
        """A session that was opened in the last trouble may still end: asked again, as told."""
        for _ in range(CANNOT_TELL_MOST):
            status, different, told = self.commands.verify(seconds=VERIFY_SECONDS)
            if status != CANNOT_TELL:
                break
            self.tell("verify: cannot tell")
        if status != 0:
            raise Fault(f"verify ends with {status}: {json.dumps(different)[:2000]} "
                        f"{told[-1000:]}\n{self.ground.state()}")
        self.tell("verify: equal")

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
        scene.wait_until(condition, seconds, lambda: f"{what}\n{self.ground.state()}")
