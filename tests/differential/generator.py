"""Makes sequences of steps from a seed: one weighted production a command, then some spoiling.

The productions are in grammar_*.py; each takes the generator and returns the arguments of one
command, or a Step, or a list of Steps.
"""

import random

import values
from sequence import RESP2, RESP3, Sequence, Step

DATABASES_PER_LANE = 2
STEPS = (40, 140)
SWITCH_CHANCE = 0.06  # to the other connection: what was sent before is waited for
SPOIL_CHANCE = 0.07
RISKY_CHANCE = 0.25  # of a sequence to hold a step of which a known difference may change the state
STEP_MS = 100_000  # between any two relative times

PRODUCTIONS = {}  # name → (weight, function)
RISKY = {}
ALONE = {}


def production(weight, table=None):
    def register(function):
        name = function.__name__.removesuffix("_")
        (PRODUCTIONS if table is None else table)[name] = (weight, function)
        return function

    return register


def keep_only(names):
    """For a look at a few commands."""
    for name in set(PRODUCTIONS) - set(names):
        del PRODUCTIONS[name]


class Generator:
    def __init__(self, seed, databases):
        self.random = random.Random(seed)
        self.seed = seed
        self.databases = databases
        self.relative_used = 0
        self.tag = self.random.choice(values.TAGS)
        self.kept_keys = self.random.sample(values.PLAIN_KEYS, 3)

    # Choices.

    def chance(self, p):
        return self.random.random() < p

    def pick(self, choices):
        return self.random.choice(choices)

    def word(self, text):
        """In any case."""
        text = text if isinstance(text, bytes) else text.encode()
        if self.chance(0.8):
            return text
        letters = [text[at : at + 1] for at in range(len(text))]
        return b"".join(self.pick([c.lower(), c.upper()]) for c in letters)

    # Keys.

    def tagged(self):
        """Of few groups: keys meet."""
        tail = self.pick(values.TAGGED_TAILS[:3] if self.chance(0.9) else values.TAGGED_TAILS)
        return b"{%s}%s" % (self.tag.encode(), tail)

    def key(self):
        if self.chance(0.75):
            return self.tagged()
        return self.pick(self.kept_keys)

    def keys(self, at_most=4):
        return [self.key() for _ in range(self.random.randint(1, at_most))]

    def database(self):
        return b"%d" % self.pick(self.databases)

    # Values.

    def value(self):
        return self.pick(values.VALUES if self.chance(0.98) else values.LONG_VALUES)

    def integer(self):
        kind = self.random.random()
        if kind < 0.5:
            return b"%d" % self.pick(values.SMALL_INTEGERS)
        if kind < 0.85:
            return b"%d" % self.pick(values.HUGE_INTEGERS)
        return self.pick(values.BAD_INTEGERS)

    def index(self):
        """Where something is: mostly where there may be something."""
        if self.chance(0.75):
            return b"%d" % self.random.randint(-12, 70)
        return self.integer()

    def offset(self):
        """Where something is written: never so far that values become huge."""
        if self.chance(0.85):
            return b"%d" % self.random.choice([0, 1, 2, 5, 7, 8, 9, 20, 63, 100, 255, 3000])
        return self.integer()

    def number(self):
        return self.pick(values.FLOATS)

    # Times.

    def relative_ms(self):
        self.relative_used += 1
        return self.relative_used * STEP_MS + 1_000_000 + self.random.randint(0, 40) * 1000

    def time(self, unit, is_absolute, past_chance=0.12):
        kind = self.random.random()
        if kind < 0.08:
            return self.pick(values.BAD_TIMES)
        if kind < 0.08 + past_chance:
            if not is_absolute:
                return self.pick([b"0", b"-1", b"-1000"])
            return b"%d" % self.pick(values.PAST_SECONDS if unit == "s" else values.PAST_MS)
        if is_absolute:
            return b"%d" % self.pick(values.FAR_SECONDS if unit == "s" else values.FAR_MS)
        ms = self.relative_ms()
        return b"%d" % (ms // 1000 if unit == "s" else ms)

    # Whole sequences.

    def spoil(self, args):
        """What clients get wrong: an argument too few, too many, or of the wrong kind."""
        how = self.random.random()
        junk = self.pick(values.JUNK)
        if args[0].upper() in NAMING_A_DATABASE and junk == b"0":
            junk = b"x"  # database 0 belongs to another lane
        at = self.random.randrange(1, len(args)) if len(args) > 1 else 0
        if at == 0 or how < 0.25:
            return args + [junk]
        if how < 0.5:
            return args[:at] + args[at + 1 :]
        if how < 0.9:
            return args[:at] + [junk] + args[at + 1 :]
        return args[: at + 1] + args[at:]

    def steps_of(self, table):
        weights = [weight for weight, _ in table.values()]
        (_, function), = self.random.choices(list(table.values()), weights)
        made = function(self)
        if isinstance(made, Step):
            return [made]
        if made and isinstance(made[0], Step):
            return made
        args = [a if isinstance(a, bytes) else str(a).encode() for a in made]
        args[0] = self.word(args[0])
        if function.__module__ in SPOILED_MODULES and self.chance(SPOIL_CHANCE):
            args = self.spoil(args)
        return [Step([args])]

    def sequence(self, is_alone=False):
        sequence = Sequence(self.seed, self.databases, is_alone=is_alone)
        wanted = self.random.randint(*STEPS)
        connection = RESP2
        may_be_risky = self.chance(RISKY_CHANCE)
        while len(sequence.steps) < wanted:
            if self.chance(SWITCH_CHANCE):
                connection = RESP3 if connection == RESP2 else RESP2
            is_last = len(sequence.steps) >= wanted - 3
            table = PRODUCTIONS
            if is_last and may_be_risky:
                table = RISKY
            elif is_alone and self.chance(0.15):
                table = ALONE
            for step in self.steps_of(table):
                if step.is_risky and not is_last:
                    continue
                other = RESP3 if connection == RESP2 else RESP2
                step.connection = other if step.is_of_other else connection
                sequence.steps.append(step)
        return sequence


SPOILED_MODULES = {"grammar_strings", "grammar_keys"}
NAMING_A_DATABASE = {b"SELECT", b"MOVE", b"COPY"}
