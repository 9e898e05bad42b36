"""Runs many sequences at once, gathers what differs, and tells it: each kind of difference once."""

import collections
import concurrent.futures
import sys
import threading
import time

import grammar_keys  # noqa: F401: registers its productions
import grammar_server  # noqa: F401
import grammar_strings  # noqa: F401
import grammar_transactions  # noqa: F401
from execute import Unsettled, run_sequence
from generator import DATABASES_PER_LANE, Generator
from shrink import shrink

LANES = 8
ALONE_EVERY = 20  # one sequence of so many runs by itself, with commands that touch everything
TRIES = 5  # of a sequence while the cluster changes leaders
SHRUNK_MAX = 4
REPORTED_MAX = 40
STEPS_SHOWN = 30


def databases_of(seed):
    first = seed % LANES * DATABASES_PER_LANE
    return first, first + 1


def generate(seed):
    return Generator(seed, databases_of(seed)).sequence(is_alone=seed % ALONE_EVERY == 0)


class Run:
    def __init__(self, reference, subject, known):
        self.reference = reference
        self.subject = subject
        self.known = known
        self.lock = threading.Lock()
        self.commands = 0
        self.passed = 0
        self.failed = []  # (sequence, differences)
        self.repeated = 0

    def ports(self, side, seed):
        """One for each connection: with several nodes, not the same."""
        ports = side.ports()
        return [ports[seed % len(ports)], ports[(seed + 1) % len(ports)]]

    def execute(self, sequence, excuse=None):
        for _ in range(TRIES):
            try:
                return run_sequence(
                    sequence,
                    self.ports(self.reference, sequence.seed),
                    self.ports(self.subject, sequence.seed),
                    excuse or self.known.find,
                )
            except Unsettled as unsettled:
                last = unsettled
                with self.lock:
                    self.repeated += 1
        raise last

    def one(self, seed):
        sequence = generate(seed)
        try:
            commands, differences = self.execute(sequence)
        except Exception as error:  # counts like any difference, and the run goes on
            commands, differences = 0, [error]
        with self.lock:
            self.commands += commands
            if differences:
                self.failed.append((sequence, differences))
            else:
                self.passed += 1

    def lane(self, seeds):
        for seed in seeds:
            self.one(seed)

    def all(self, seeds):
        """Lanes have databases of their own; what touches all databases comes last, alone."""
        lanes = [[] for _ in range(LANES)]
        alone = []
        for seed in seeds:
            (alone if seed % ALONE_EVERY == 0 else lanes[seed % LANES]).append(seed)
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            list(pool.map(self.lane, lanes))
        self.lane(alone)

    def report(self):
        kinds = collections.OrderedDict()
        for sequence, differences in self.failed:
            for difference in differences[:1]:
                kind = difference.kind() if hasattr(difference, "kind") else (repr(difference),)
                kinds.setdefault(kind, []).append((sequence, difference))
        for number, (kind, cases) in enumerate(kinds.items()):
            seeds = " ".join(str(sequence.seed) for sequence, _ in cases[:8])
            print(f"FAIL {' | '.join(kind)}: {len(cases)} sequences, seeds {seeds}")
            if number < REPORTED_MAX:
                self.explain(*cases[0], is_shrunk=number < SHRUNK_MAX)

    def explain(self, sequence, difference, is_shrunk):
        if not hasattr(difference, "kind"):
            return
        if is_shrunk:
            was_long = len(sequence.steps)
            sequence, difference = self.shrunk(sequence, difference)
            note = "not every time" if len(sequence.steps) == was_long else "made short"
            print(f"  databases {sequence.databases}, --seed {sequence.seed}; {note}:")
            for step in sequence.steps[-STEPS_SHOWN:]:
                for line in step.lines():
                    print(f"    {'RESP3' if step.connection else 'RESP2'}> {line}")
        print(f"  {difference.command!r}"[:600])
        print(f"    redis:   {difference.reference}")
        print(f"    dougong: {difference.subject}")
        sys.stdout.flush()

    def shrunk(self, sequence, difference):
        def run(candidate):
            try:
                return self.execute(candidate)[1]
            except (Unsettled, OSError):
                return []

        try:
            return shrink(sequence, difference, run)
        except OSError:
            return sequence, difference


def compare_servers(reference, subject, known, seeds):
    run = Run(reference, subject, known)
    started = time.monotonic()
    run.all(seeds)
    took = time.monotonic() - started
    shown = f"seeds {seeds[0]}-{seeds[-1]}"
    print(f"{run.commands} commands in {len(seeds)} sequences, {took:.1f} s; {shown}")
    if run.repeated:
        print(f"{run.repeated} sequences run again: the cluster was changing")
    return run
