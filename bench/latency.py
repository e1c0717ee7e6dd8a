#!/usr/bin/env python3
"""From the source's commit to what is visible at the target: two agents over TLS against a native
subscription, at 200 and at 2,000 transactions a second.

Each transaction inserts one row with the time of its clock. A session at the target asks every
millisecond for the newest row and the time; both sides are looked at in the same way, one after the
other, so what the looking costs meets both.
"""

import bisect
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bed  # noqa: E402
import servers  # noqa: E402

TABLE = "create table tick (id bigint primary key, sent timestamptz not null, filler text);"
# Waits for the moment of each row, so that a slow commit does not make the rate lower.
WRITE = """
create procedure write_ticks(first bigint, count integer, rate double precision)
language plpgsql as $$
declare
    began timestamptz := clock_timestamp();
    ahead double precision;
begin
    for i in 0 .. count - 1 loop
        ahead := i / rate - extract(epoch from clock_timestamp() - began);
        if ahead > 0.0005 then perform pg_sleep(ahead); end if;
        insert into tick values (first + i, clock_timestamp(), repeat('x', 100));
        commit;
    end loop;
end $$;
"""
PEER = "peer"
RATES = (200, 2_000)
WARM_SECONDS = 2


class Watch:
    """Asks a target again and again until it has seen the last row."""

    def __init__(self, the_bed, database, last):
        self.seen = []
        self._last = last
        self._asking = the_bed.asking(the_bed.target, database)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        ended = time.monotonic() + bed.WAIT_SECONDS
        with self._asking as ask:
            newest = 0
            while newest < self._last and time.monotonic() < ended:
                text = ask("select coalesce(max(id), 0) || ' ' ||"
                           " extract(epoch from clock_timestamp()) from tick")
                newest, now = int(text.split()[0]), float(text.split()[1])
                if not self.seen or newest > self.seen[-1][0]:
                    self.seen.append((newest, now))
                time.sleep(0.001)

    def join(self):
        self._thread.join(bed.WAIT_SECONDS)
        return self.seen


class Latency:
    def __init__(self, the_bed, seconds):
        self.bed = the_bed
        self.seconds = seconds
        self.next_id = 1
        self.bed.at_source(TABLE + WRITE)
        self.bed.target.psql(f"create database {PEER}")
        self.bed.target.psql(TABLE, PEER)
        self.bed.at_target(TABLE)
        self.bed.at_source("create publication peer for table tick")
        source = self.bed.connection_string(self.bed.source)
        self.bed.target.psql(f"create subscription peer connection '{source}' publication peer"
                             f" with ({bed.NATIVE})", PEER)
        self.bed.make_agents(["public.tick"])
        self.bed.start_agents(bed.Measure(self.bed))
        bed.wait_until(lambda: self.bed.agents[0].flow(bed.FLOW).get("state") == "following",
                       "the first load", self.bed.check_agents)
        self.bed.end_agents()

    def native(self, rate):
        peer = self.bed.target
        peer.psql("alter subscription peer enable", PEER)
        told = self.measured(PEER, rate)
        peer.psql("alter subscription peer disable", PEER)
        bed.wait_until(lambda: peer.psql(
            "select count(*) from pg_stat_subscription where pid is not null", PEER) == "0",
            "the subscription's end")
        return told

    def qiao(self, rate):
        self.bed.start_agents(bed.Measure(self.bed))
        bed.wait_until(lambda: self.bed.agents[0].flow(bed.FLOW).get("state") == "following",
                       "the flow", self.bed.check_agents)
        told = self.measured(bed.DATABASE, rate)
        self.bed.end_agents()
        return told

    def measured(self, database, rate):
        """Milliseconds of each transaction, behind those that warm up."""
        self.write(rate, WARM_SECONDS)
        with self.bed.asking(self.bed.target, database) as ask:
            bed.wait_until(lambda: ask("select coalesce(max(id), 0) from tick")
                           == self.next_id - 1, "the first rows")
        self.bed.settle()
        first = self.next_id
        watch = Watch(self.bed, database, first + int(rate * self.seconds) - 1)
        self.write(rate, self.seconds)
        seen = watch.join()
        ids = [newest for newest, _ in seen]
        told = []
        for line in self.bed.at_source(f"select id, extract(epoch from sent) from tick"
                                       f" where id >= {first} order by id").splitlines():
            number, sent = line.split("|")
            told.append((seen[bisect.bisect_left(ids, int(number))][1] - float(sent)) * 1000)
        return told

    def write(self, rate, seconds):
        count = int(rate * seconds)
        self.bed.at_source(f"call write_ticks({self.next_id}, {count}, {rate})")
        self.next_id += count

    def lines(self, rate, runs):
        told = {"native": [], "qiao": []}
        for number in range(runs):
            print(f"{rate} a second: run {number + 1} of {runs}", file=sys.stderr)
            for kind in ("native", "qiao") if number % 2 == 0 else ("qiao", "native"):
                told[kind].append(getattr(self, kind)(rate))
        lines = [f"{rate} transactions a second, {self.seconds:g} s a run; milliseconds",
                 f"  {'':<8} {'p50':<24} {'p95':<24} p99"]
        worst = {}
        for kind, each in told.items():
            parts = [bed.spread([percentile(run, share) for run in each])
                     for share in (50, 95, 99)]
            worst[kind] = statistics.median(percentile(run, 99) for run in each)
            lines.append(f"  {kind:<8} {parts[0]:<24} {parts[1]:<24} {parts[2]}")
        allowed = max(2 * worst["native"], worst["native"] + 2)
        lines.append(f"  p99 qiao {worst['qiao']:.2f}, allowed {allowed:.2f} (the larger of twice"
                     " native's and 2 ms more)")
        # Of what is allowed.
        return [*lines, ""], {f"latency.{rate}": [worst["qiao"] / allowed]}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def main():
    made = bed.parser(__doc__.split("\n", maxsplit=1)[0])
    made.add_argument("--seconds", type=float, default=10, help="of each run")
    options = made.parse_args()
    with servers.Servers() as group:
        the_bed = bed.Bed(group, options)
        figures = {}
        lines = bed.heading(Path(__file__).stem, options, the_bed)
        bench = Latency(the_bed, options.seconds)
        for rate in RATES:
            more, told = bench.lines(rate, options.runs)
            lines += more
            figures |= told
        the_bed.forget_agents()
    bed.publish("latency", options, lines, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
