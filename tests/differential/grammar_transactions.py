"""MULTI and WATCH: what is gathered comes from the productions of strings and keys."""

from generator import PRODUCTIONS, production
from sequence import Step

# Within EXEC's array every reply has to be equal; and what has no place in a transaction here.
NOT_INSIDE = {
    b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"DUMP", b"MEMORY", b"OBJECT", b"RANDOMKEY", b"SCAN",
    b"KEYS", b"DBSIZE", b"FLUSHDB", b"FLUSHALL",
}  # fmt: skip
MODULES = {"grammar_strings", "grammar_keys"}
# Neither keeps a key: they would be absent, present and absent again while watched.
WRITES = [
    lambda g, key: [b"SET", key, g.value()],
    lambda g, key: [b"APPEND", key, b"x"],
    lambda g, key: [b"INCR", key],
    lambda g, key: [b"DEL", key],
    lambda g, key: [b"GETDEL", key],
    lambda g, key: [b"EXPIRE", key, g.time("s", False, 0)],
    lambda g, key: [b"PERSIST", key],
    lambda g, key: [b"SETBIT", key, b"9", b"1"],
    lambda g, key: [b"MSET", g.key(), g.value(), key, g.value()],
    lambda g, key: [b"RENAME", key, g.key()],
    lambda g, key: [b"RENAME", g.key(), key],
    lambda g, key: [b"COPY", g.key(), key, b"REPLACE"],
    lambda g, key: [b"TOUCH", key],
    lambda g, key: [b"GET", key],
    lambda g, key: [b"SET", g.key(), g.value()],
]
BROKEN = [[b"NOSUCH"], [b"SET", b"x"], [b"GET"], [b"SHUTDOWN"], [b"MULTI"], [b"WATCH", b"k"], [b"WATCH"]]
LOCAL = [
    [b"PING"], [b"PING", b"a", b"b"], [b"ECHO", b"x"], [b"SELECT", b"99"], [b"SELECT", b"x"], [b"CLIENT", b"GETNAME"], [b"UNWATCH"],
    [b"MONITOR"], [b"AUTH", b"x"], [b"CLIENT", b"KILL", b"ID", b"999999999"], [b"HELLO", b"9"],
    [b"CONFIG", b"GET", b"nosuch"], [b"CLIENT", b"REPLY", b"ON"],
]  # fmt: skip


def inner(g):
    """One command of the other grammars."""
    while True:
        entries = [(w, f) for w, f in PRODUCTIONS.values() if f.__module__ in MODULES]
        (_, function), = g.random.choices(entries, [w for w, _ in entries])
        made = function(g)
        if isinstance(made, Step) or (made and isinstance(made[0], Step)):
            continue
        args = [a if isinstance(a, bytes) else str(a).encode() for a in made]
        if args[0].upper() not in NOT_INSIDE:
            return args


def gathered(g):
    commands = []
    for _ in range(g.pick([0, 1, 2, 2, 3, 3, 4, 6, 9])):
        kind = g.random.random()
        if kind < 0.85:
            commands.append(inner(g))
        elif kind < 0.93:
            commands.append(list(g.pick(LOCAL)))
        else:
            commands.append([b"SELECT", g.database()])
    if g.chance(0.08):
        commands.insert(g.random.randint(0, len(commands)), list(g.pick(BROKEN)))
    return commands


def block(g):
    end = [b"DISCARD"] if g.chance(0.07) else [b"EXEC"]
    return [[b"MULTI"], *gathered(g), end]


@production(8)
def multi(g):
    return Step(block(g))


@production(4)
def watched(g):
    """What comes between is of this connection, or of the other one."""
    key = g.key()
    database = g.database()
    between = Step([[b"SELECT", database], g.pick(WRITES)(g, key)], is_of_other=g.chance(0.6))
    more = [[b"UNWATCH"]] if g.chance(0.1) else []
    return [
        Step([[b"SELECT", database], [b"WATCH", key, *([g.key()] if g.chance(0.3) else [])]]),
        between,
        Step([*more, *block(g)]),
        Step([[b"UNWATCH"], [b"SELECT", database]]),
    ]


@production(1)
def out_of_place(g):
    return g.pick(
        [
            [b"EXEC"], [b"DISCARD"], [b"UNWATCH"], [b"EXEC", b"x"], [b"DISCARD", b"x"], [b"MULTI", b"x"],
            [b"UNWATCH", b"x"], [b"WATCH"],
        ]
    )  # fmt: skip
