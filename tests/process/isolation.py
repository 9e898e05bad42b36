"""Isolation specs: what sessions do, step by step, in every order that keeps each session's own.

A spec is text:

    lost update                        its name
    given  SET x 10                    before each order; may be left out
    a      WATCH x | GET x | MULTI; INCR x; EXEC
    b      SET x 20                    a session: steps between |, each sent as one pipeline
    ends   GET x = 20 / 21             what must come out, in any order

Keys x, y, z … get another name for each order, so that they lie in ever other groups. Each step is
answered before the next begins: so there is exactly one right answer to all of it, that of Redis,
which runs one command at a time. The whole record of an order is compared with it.
"""

import re
from dataclasses import dataclass, field

KEY = re.compile(r"\b([uvwxyz])\b")


@dataclass
class Spec:
    name: str
    given: list = field(default_factory=list)
    sessions: dict = field(default_factory=dict)  # name: [step], a step is a list of commands
    ends: tuple = ()  # command, the texts that are allowed


def commands_of(text):
    return [command.split() for command in text.split(";") if command.strip()]


def parse(text):
    specs = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if not line.strip().startswith("#")]
        spec = Spec(lines[0])
        for line in lines[1:]:
            word, rest = line.split(None, 1)
            if word == "given":
                spec.given = commands_of(rest)
            elif word == "ends":
                command, allowed = rest.split("=", 1)
                spec.ends = (command.split(), [a.strip() for a in allowed.split("/")])
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


def with_keys(command, number):
    return [KEY.sub(lambda m: f"{m[1]}:{number}", word) for word in command]


def show(value):
    if isinstance(value, list):
        return " ".join(show(v) for v in value)
    if value is None:
        return "nil"
    return value.decode() if isinstance(value, bytes) else str(value)


def play(spec, order, number, clients, setup):
    """Runs one order; returns what every step answered, and the end."""
    done = dict.fromkeys(spec.sessions, 0)
    record = []
    if spec.given:
        setup.pipeline([with_keys(c, number) for c in spec.given])
    for name in order:
        step = spec.sessions[name][done[name]]
        done[name] += 1
        replies = clients[name].pipeline([with_keys(c, number) for c in step])
        record.append(f"{name}{done[name]}: {show(replies)}")
    end = show(setup.call(*with_keys(spec.ends[0], number)))
    for client in clients.values():
        client.call("RESET")
    return record, end
