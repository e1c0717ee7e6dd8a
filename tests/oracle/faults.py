"""What goes wrong in a run: which trouble, when, and how it is made."""

import random
import time
from collections import namedtuple

# `after`: seconds since the one before; `seed`: for what the trouble itself chooses.
Fault = namedtuple("Fault", "after kind seed")
DOWN = [0.0, 0.0, 0.1, 0.4, 1.5]


def schedule(rng, seconds):
    """Faults for so long a time: bursts, single ones, and rests in which much comes over."""
    found, now = [], 0.0
    while True:
        after = rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 1.5), rng.uniform(0.3, 1.5),
                            rng.uniform(1.5, 4)])
        now += after
        if now > seconds:
            return found
        kind = rng.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
        found.append(Fault(after, kind, rng.getrandbits(32)))


def play(ground, fault):
    """Until it is over."""
    _, make = KINDS[fault.kind]
    make(ground, random.Random(fault.seed))


# -- kills --

def kill_of(name):
    def kill(ground, rng):
        down = rng.choice(DOWN)
        if name in ("left", "right"):
            ground.kill_agent(name, down, time.sleep)
        else:
            ground.kill_server(name, down, time.sleep)
    return kill


def stop_of(name):
    return lambda ground, rng: ground.stop_agent(name, rng.choice([0.2, 1.0, 3.0]), time.sleep)


def stop_backend_of(name):
    return lambda ground, rng: ground.stop_backend(name, rng.choice, rng.choice([0.2, 1.0, 3.0]),
                                                   time.sleep)


# -- the link --

def at_once(act):
    def make(ground, rng):
        act(ground.gate, rng)
    return make


def for_a_time(rule, seconds):
    def make(ground, rng):
        with rule(ground.gate, rng):
            time.sleep(rng.uniform(*seconds))
    return make


def ways(rng):
    return rng.choice([("there",), ("back",), ("there", "back")])


KINDS = {
    "kill left": (6, kill_of("left")),
    "kill right": (6, kill_of("right")),
    "kill source": (4, kill_of("source")),
    "kill target": (4, kill_of("target")),
    "stop left": (1, stop_of("left")),
    "stop right": (1, stop_of("right")),
    "stop backend of source": (1, stop_backend_of("source")),
    "stop backend of target": (1, stop_backend_of("target")),
    "link cut": (1, at_once(lambda gate, rng: gate.cut())),
    "link closed": (1, at_once(lambda gate, rng: gate.close())),
    "link cut after bytes": (2, at_once(
        lambda gate, rng: gate.cut_after(rng.choice([1, 5, 100, 4000, 70_000, 1_000_000])))),
    "link refused": (1, for_a_time(lambda gate, rng: gate.refusing(), (0.2, 2))),
    "link silent": (1, for_a_time(lambda gate, rng: gate.silent(ways(rng)), (0.2, 3))),
    "link held": (1, for_a_time(lambda gate, rng: gate.holding(), (0.2, 3))),
    "link slow": (1, for_a_time(lambda gate, rng: gate.slow(rng.choice([0.005, 0.05])), (0.5, 3))),
    "link narrow": (1, for_a_time(
        lambda gate, rng: gate.narrow(rng.choice([20_000, 500_000])), (0.5, 3))),
    "link in crumbs": (1, for_a_time(
        lambda gate, rng: gate.crumbling(rng.choice([13, 700])), (0.5, 3))),
}
