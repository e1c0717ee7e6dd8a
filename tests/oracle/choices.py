"""What a run does, all of it from its seed: how it is set up, its tables, its faults in order."""

import random

import faults
import operations
import tables


class Choices:
    def __init__(self, seed, seconds):
        self.seed = seed
        self.seconds = seconds
        rng = self.rng("shape of the run")
        self.suite = rng.choice(["gm", "intl"])
        self.custody = rng.choice(["hop", "end"])
        self.trail = {"segment": rng.choice(["64KiB", "1MiB", "64MiB"]),
                      "grace": rng.choice(["1s", "24h"])}
        self.source_conf = {"logical_decoding_work_mem": rng.choice(["64kB", "1MB", "64MB"])}
        self.writers = rng.randint(2, 4)
        self.pause = rng.choice([0.01, 0.02, 0.05])
        self.pause_of_bulk = rng.choice([2, 4])
        self.faults_from_the_first = rng.random() < 0.5
        self.gated_databases = rng.random() < 0.6
        self.temper = rng.choice(operations.TEMPERS)
        if not self.temper.strict:
            # What waits is written and brought back one by one.
            self.pause = 0.05
        self.schema = tables.schema(self.rng("tables"))
        self.append_only = tables.append_only(self.schema)
        self.faults = faults.schedule(self.rng("faults"), seconds, self.gated_databases)
        self.operations = operations.schedule(
            self.rng("operations"), self.temper, tables.names(self.schema), seconds)

    def rng(self, what):
        """A source of chance of its own, so that more choices here alter none there."""
        return random.Random(f"{self.seed}: {what}")

    def __str__(self):
        parts = [self.suite, f"custody {self.custody}", f"trail {self.trail}",
                 str(self.source_conf), f"{self.writers} writers every {self.pause} s",
                 self.temper.name, f"{len(self.faults)} faults"]
        parts += ["faults from the first"] if self.faults_from_the_first else []
        parts += ["lines to databases"] if self.gated_databases else []
        return ", ".join(parts)
