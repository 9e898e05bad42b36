"""Key commands: existence, time to live, renaming, iterating, dumping."""

import payloads
import values
from generator import ALONE, RISKY, production
from sequence import Step

SOON_MS = 1
GONE_AFTER_MS = 15  # by the clock of a reader, on any node


@production(5)
def del_(g):
    keys = g.keys()
    return [g.pick([b"DEL", b"DEL", b"UNLINK"]), *keys]


@production(3)
def exists(g):
    return [g.pick([b"EXISTS", b"TOUCH"]), *g.keys()]


@production(2)
def type_(g):
    return [b"TYPE", g.key()]


def expire_condition(g):
    if g.chance(0.5):
        return []
    names = ["NX", "XX", "GT", "LT", "GT", "LT", "KEEPTTL"]
    return [g.word(g.pick(names)) for _ in range(g.pick([1, 1, 1, 2, 3]))]


@production(5)
def expire(g):
    return [b"EXPIRE", g.key(), g.time("s", False), *expire_condition(g)]


@production(5)
def pexpire(g):
    return [b"PEXPIRE", g.key(), g.time("ms", False), *expire_condition(g)]


@production(3)
def expireat(g):
    return [b"EXPIREAT", g.key(), g.time("s", True), *expire_condition(g)]


@production(3)
def pexpireat(g):
    return [b"PEXPIREAT", g.key(), g.time("ms", True), *expire_condition(g)]


@production(3)
def persist(g):
    return [b"PERSIST", g.key()]


@production(7)
def ttl(g):
    return [g.pick([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), g.key()]


@production(2)
def gone_by_itself(g):
    """A key whose time runs out, seen from then on by several commands."""
    key = g.key()
    how = g.pick(
        [
            [[b"SET", key, g.value(), b"PX", b"%d" % SOON_MS]],
            [[b"PSETEX", key, b"%d" % SOON_MS, g.value()]],
            [[b"SET", key, g.value()], [b"PEXPIRE", key, b"%d" % SOON_MS]],
            [[b"PEXPIRE", key, b"%d" % SOON_MS]],
        ]
    )
    after = g.pick(
        [
            [b"GET", key], [b"EXISTS", key], [b"TTL", key], [b"APPEND", key, b"x"], [b"INCR", key],
            [b"PERSIST", key], [b"SET", key, b"new", b"KEEPTTL"], [b"SET", key, b"new", b"XX"],
            [b"GETRANGE", key, b"0", b"-1"], [b"RENAMENX", key, g.key()], [b"DEL", key],
            [b"OBJECT", b"ENCODING", key], [b"MGET", key, key], [b"DUMP", key], [b"TYPE", key],
        ]  # fmt: skip
    )
    return [Step(how, pause_ms=GONE_AFTER_MS), Step([after])]


@production(4)
def rename(g):
    return [g.pick([b"RENAME", b"RENAMENX"]), g.key(), g.key()]


@production(4)
def copy(g):
    options = []
    for _ in range(g.pick([0, 0, 1, 1, 2])):
        name = g.pick(["REPLACE", "REPLACE", "DB", "DB", "NX"])
        options.append(g.word(name))
        if name == "DB" and g.chance(0.95):
            options.append(other_database(g))
    return [b"COPY", g.key(), g.key(), *options]


def other_database(g):
    if g.chance(0.15):
        return g.pick([b"16", b"-1", b"abc", b"", b"99999999999999999999", b"2147483648"])
    return g.database()


@production(4)
def move(g):
    return [b"MOVE", g.key(), other_database(g)]


@production(5)
def select(g):
    if g.chance(0.1):
        return [b"SELECT", g.pick([b"16", b"-1", b"abc", b"", b"99999999999", b"1.0"])]
    return [b"SELECT", g.database()]


@production(2)
def dbsize(_g):
    return Step([[b"DBSIZE"]], how="settles")


@production(1)
def flushdb(g):
    return [b"FLUSHDB", *g.pick([[], [], [b"ASYNC"], [b"SYNC"], [b"NOW"], [b"SYNC", b"SYNC"]])]


@production(3)
def keys(g):
    return [b"KEYS", g.pick(values.PATTERNS)]


@production(1)
def randomkey(_g):
    return Step([[b"KEYS", b"*"], [b"RANDOMKEY"]], how="random key")


def scan_options(g):
    options = []
    for _ in range(g.pick([0, 1, 1, 2, 3])):
        name = g.pick(["MATCH", "COUNT", "COUNT", "TYPE"])
        argument = {
            "MATCH": lambda: g.pick(values.PATTERNS),
            "COUNT": lambda: g.pick([b"1", b"2", b"3", b"10", b"1000", b"9223372036854775807"]),
            "TYPE": lambda: g.pick([b"string", b"STRING", b"hash", b"list", b"nosuch", b""]),
        }[name]()
        options += [g.word(name), argument]
    return options


@production(4)
def scan(g):
    begin = g.pick([b"0", b"0", b"0", b"", b"00", b"+0", b"-0"])
    return Step([[b"SCAN", begin, *scan_options(g)]], how="to the end")


@production(2)
def scan_wrong(g):
    bad = g.pick(
        [
            [b"abc"], [b"1x"], [b"99999999999999999999999"], [b" 0"],
            [b"0", b"COUNT", b"0"], [b"0", b"COUNT", b"-1"], [b"0", b"COUNT", b"x"],
            [b"0", b"COUNT"],
            [b"0", b"MATCH"], [b"0", b"TYPE"], [b"0", b"NOSUCH", b"x"],
            [b"0", b"MATCH", b"*", b"x"],
            [b"0", b"COUNT", b"9223372036854775808"], [b"x", b"NOSUCH"], [b"x", b"COUNT", b"0"],
            [b"-1", b"COUNT", b"x"], [b"18446744073709551615", b"NOSUCH", b"x"],
        ]  # fmt: skip
    )
    return Step([[b"SCAN", *bad]])


@production(5)
def object_(g):
    name = g.pick(["ENCODING", "ENCODING", "REFCOUNT", "IDLETIME", "FREQ", "NOSUCH"])
    return [b"OBJECT", g.word(name), g.key(), *([b"x"] if g.chance(0.04) else [])]


@production(1)
def counted_object(g):
    """INCRBYFLOAT leaves no shared object."""
    key = g.key()
    return Step([[b"DEL", key], [b"INCRBYFLOAT", key, b"7"], [b"OBJECT", b"REFCOUNT", key]])


@production(1)
def memory_usage(g):
    """Redis tells it also of keys whose time is up: looked for first, these are gone."""
    key = g.key()
    options = g.pick(
        [
            [], [], [b"SAMPLES", b"0"], [b"SAMPLES", b"5"], [b"SAMPLES", b"-1"], [b"SAMPLES"],
            [b"SAMPLES", b"x"], [b"NOSUCH", b"1"],
        ]
    )  # fmt: skip
    return Step([[b"EXISTS", key], [b"MEMORY", g.word("USAGE"), key, *options]])


@production(4)
def dump(g):
    """Each server restores what the other has dumped."""
    key, other = g.key(), g.key()
    ttl = g.pick([b"0", b"0", b"%d" % g.relative_ms()])
    return Step([[b"DUMP", key], [b"RESTORE", other, ttl, b"?", b"REPLACE"]], how="crosswise")


@production(3)
def restore(g):
    payload = g.pick(payloads.WRITTEN_BY_REDIS if g.chance(0.6) else payloads.HAND_MADE)
    if g.chance(0.05):
        payload = g.pick(payloads.UNKNOWN_TYPES)
    if g.chance(0.15):
        at = g.random.randrange(len(payload))
        spoiled = bytes([payload[at] ^ 1 << g.random.randrange(8)])
        payload = payload[:at] + spoiled + payload[at + 1 :]
    elif g.chance(0.1):
        payload = payload[: g.random.randrange(len(payload))]
    options = []
    is_absolute = False
    for _ in range(g.pick([0, 1, 1, 1, 2, 3])):
        name = g.pick(["REPLACE", "REPLACE", "ABSTTL", "IDLETIME", "FREQ", "NOSUCH"])
        options.append(g.word(name))
        is_absolute = is_absolute or name == "ABSTTL"
        if name in ("IDLETIME", "FREQ") and g.chance(0.9):
            options.append(g.pick([b"0", b"10", b"255", b"256", b"-1", b"abc"]))
    ttl = b"0" if g.chance(0.4) else g.time("ms", is_absolute)
    return [b"RESTORE", g.key(), ttl, payload, *options]


@production(1, RISKY)
def restore_other_type(g):
    key = g.key()
    return Step([[b"RESTORE", key, b"0", payloads.LIST_BY_REDIS, b"REPLACE"]], is_risky=True)


@production(1, ALONE)
def flushall(g):
    return [b"FLUSHALL", *g.pick([[], [b"ASYNC"], [b"SYNC"], [b"NOW"]])]
