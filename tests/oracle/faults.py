"""What goes wrong in a run: which trouble, when, and how it is made."""

import random
import time
from collections import namedtuple

# `moment`: what is waited for, not for long, and then `after` seconds; `beside`: the next one does
# not wait for its end; `seed`: for what the trouble itself chooses.
Fault = namedtuple("Fault", "moment after kind beside seed")
DOWN = [0.0, 0.0, 0.1, 0.4, 1.5]
# Something that is under way, for which a fault is worth waiting; or that nothing is, so that what
# operators do comes to an end now and then.
MOMENTS = {"any": 4, "following": 3, "load": 2, "huge transaction": 3, "repair": 1,
           "comparison": 1, "operators' rest": 4}
MOMENT_SECONDS = 2.0
REST_SECONDS = 6.0
# What a fault takes beside its wait, about.
USUAL_SECONDS = 0.4


def schedule(rng, seconds, with_databases):
    """Bursts of faults, each at a moment of its own, and rests in which much comes over."""
    kinds = {kind: weight for kind, (weight, _) in KINDS.items()
             if with_databases or not kind.startswith("line to")}
    found, now = [], 0.0
    while True:
        [moment] = rng.choices(list(MOMENTS), list(MOMENTS.values()))
        after = rng.choice([rng.uniform(0, 1), rng.uniform(1, 4)])
        for _ in range(rng.choice([1, 2, 4, 8])):
            now += after + USUAL_SECONDS
            if now > seconds:
                return found
            [kind] = rng.choices(list(kinds), list(kinds.values()))
            found.append(Fault(moment, after, kind, rng.random() < 0.4, rng.getrandbits(32)))
            moment, after = "any", rng.choice([rng.uniform(0, 0.1), rng.uniform(0, 0.6)])


def wait_for(fault, moments):
    """@param moments  of each name, what says whether it is now."""
    rest = fault.moment == "operators' rest"
    deadline = time.monotonic() + (REST_SECONDS if rest else MOMENT_SECONDS)
    while fault.moment in moments and not moments[fault.moment]() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(fault.after)


def play(ground, fault):
    """Until it is over. What there was nothing to do it to is not counted."""
    _, make = KINDS[fault.kind]
    if make(ground, random.Random(fault.seed)) is not False:
        ground.count(fault.kind)


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


# -- lines: between the agents, and between an agent and its database --

def at_once(line, act):
    return lambda ground, rng: act(ground.gates[line], rng)


def for_a_time(line, rule, seconds):
    def make(ground, rng):
        with rule(ground.gates[line], rng):
            time.sleep(rng.uniform(*seconds))
    return make


def cut(gate, rng):
    gate.cut()


def close(gate, rng):
    gate.close()


def cut_after(gate, rng):
    gate.cut_after(rng.choice([1, 5, 100, 4000, 70_000, 1_000_000]))


def refusing(gate, rng):
    return gate.refusing()


def silent(gate, rng):
    return gate.silent(rng.choice([("there",), ("back",), ("there", "back")]))


def holding(gate, rng):
    return gate.holding()


def slow(gate, rng):
    return gate.slow(rng.choice([0.005, 0.05]))


def narrow(gate, rng):
    return gate.narrow(rng.choice([20_000, 500_000]))


def crumbling(gate, rng):
    return gate.crumbling(rng.choice([13, 700]))


KINDS = {
    "kill left": (11, kill_of("left")),
    "kill right": (11, kill_of("right")),
    "kill source": (5, kill_of("source")),
    "kill target": (7, kill_of("target")),
    "stop left": (1, stop_of("left")),
    "stop right": (1, stop_of("right")),
    "stop backend of source": (1, stop_backend_of("source")),
    "stop backend of target": (1, stop_backend_of("target")),
    "link cut": (1, at_once("link", cut)),
    "link closed": (1, at_once("link", close)),
    "link cut after bytes": (3, at_once("link", cut_after)),
    "link refused": (1, for_a_time("link", refusing, (0.2, 2))),
    "link silent": (1, for_a_time("link", silent, (0.2, 3))),
    "link held": (1, for_a_time("link", holding, (0.2, 3))),
    "link slow": (1, for_a_time("link", slow, (0.5, 3))),
    "link narrow": (1, for_a_time("link", narrow, (0.5, 3))),
    "link in crumbs": (1, for_a_time("link", crumbling, (0.5, 3))),
    "line to source cut": (1, at_once("source", cut)),
    "line to source cut after bytes": (1, at_once("source", cut_after)),
    "line to source silent": (1, for_a_time("source", silent, (0.2, 3))),
    "line to source held": (1, for_a_time("source", holding, (0.2, 3))),
    "line to target cut": (2, at_once("target", cut)),
    "line to target cut after bytes": (3, at_once("target", cut_after)),
    "line to target refused": (1, for_a_time("target", refusing, (0.2, 2))),
    "line to target silent": (1, for_a_time("target", silent, (0.2, 3))),
    "line to target held": (1, for_a_time("target", holding, (0.2, 3))),
}
