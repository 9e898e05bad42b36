"""Isolation specs (tests/isolation/specs.txt): what sessions do, step by step, in every order that
keeps each session's own.

Keys x, y, z get another name for each order, and lie in one group, in two and in three. Each step
is answered before the next begins: so there is exactly one right answer to all of it, that of
Redis, which runs one command at a time. The whole record of an order is compared with it.
"""

import re
from dataclasses import dataclass, field

KEY = re.compile(r"^([xyz])$")


@dataclass
class Spec:
    name: str
    given: list = field(default_factory=list)
    sessions: dict = field(default_factory=dict)  # name: [step], a step is a list of commands
    ends: tuple = ()  # command, the texts that are allowed
    is_apart: bool = False  # what it is answered is not Redis'


def commands_of(text):
    return [command.split() for command in text.split(";") if command.strip()]


def parse(text):
    specs = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if not line.strip().startswith("#")]
        if not lines:
            continue
        spec = Spec(lines[0])
        for line in lines[1:]:
            word, rest = line.split(None, 1)
            if word == "given":
                spec.given = commands_of(rest)
            elif word == "ends":
                command, allowed = rest.split("=", 1)
                spec.ends = (command.split(), [a.strip() for a in allowed.split("/")])
            elif word == "apart":
                spec.is_apart = True
            else:
                spec.sessions[word] = [commands_of(step) for step in rest.split("|")]
        specs.append(spec)
    return specs


def orders(counts):
    """All ways to interleave sessions with so many steps each: tuples of session names."""
    left = {name: count for name, count in counts.items() if count}
    if not left:
        yield ()
    for name in left:
        for rest in orders({**left, name: left[name] - 1}):
            yield (name, *rest)


# Which of the places x, y, z lie in: all in one, two together, each alone.
PLACEMENTS = {"one group": (0, 0, 0), "two groups": (0, 1, 0), "three groups": (0, 1, 2)}


def with_keys(command, number, tags):
    """tags: of x, y, z. Keys with one tag lie in one group."""
    return [KEY.sub(lambda m: f"{{{tags['xyz'.index(m[1])]}}}{m[1]}:{number}", word) for word in command]


def show(value):
    if isinstance(value, list):
        return " ".join(show(v) for v in value)
    if value is None:
        return "nil"
    return value.decode() if isinstance(value, bytes) else str(value)


def play(spec, order, number, tags, clients, setup):
    """Runs one order; returns what every step answered, and the end."""
    done = dict.fromkeys(spec.sessions, 0)
    record = []
    if spec.given:
        setup.pipeline([with_keys(c, number, tags) for c in spec.given])
    for name in order:
        step = spec.sessions[name][done[name]]
        done[name] += 1
        replies = clients[name].pipeline([with_keys(c, number, tags) for c in step])
        record.append(f"{name}{done[name]}: {show(replies)}")
    end = show(setup.call(*with_keys(spec.ends[0], number, tags)))
    for client in clients.values():
        client.call("RESET")
    return record, end
