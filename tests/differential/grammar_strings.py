"""String and bitmap commands."""

from generator import production


def set_options(g):
    """Mostly one that is legal, also all that contradict each other."""
    options = []
    for _ in range(g.pick([0, 0, 1, 1, 1, 2, 2, 3])):
        name = g.pick(["NX", "XX", "GET", "KEEPTTL", "EX", "PX", "EXAT", "PXAT"])
        options.append(g.word(name))
        if "X" in name and name not in ("NX", "XX") and g.chance(0.97):
            options.append(g.time("ms" if name[0] == "P" else "s", name.endswith("AT"), 0.1))
    return options


@production(14)
def set_(g):
    return [b"SET", g.key(), g.value(), *set_options(g)]


@production(8)
def get_(g):
    return [b"GET", g.key()]


@production(3)
def getset(g):
    return [b"GETSET", g.key(), g.value()]


@production(3)
def getdel(g):
    return [b"GETDEL", g.key()]


@production(4)
def getex(g):
    options = []
    for _ in range(g.pick([0, 1, 1, 1, 1, 2])):
        name = g.pick(["PERSIST", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "NX"])
        options.append(g.word(name))
        if name in ("EX", "PX", "EXAT", "PXAT") and g.chance(0.95):
            options.append(g.time("ms" if name[0] == "P" else "s", name.endswith("AT")))
    return [b"GETEX", g.key(), *options]


@production(3)
def setnx(g):
    return [b"SETNX", g.key(), g.value()]


@production(3)
def setex(g):
    return [b"SETEX", g.key(), g.time("s", False), g.value()]


@production(3)
def psetex(g):
    return [b"PSETEX", g.key(), g.time("ms", False), g.value()]


@production(4)
def mget(g):
    return [b"MGET", *g.keys(5)]


def pairs(g):
    words = []
    for _ in range(g.pick([1, 2, 3])):
        words += [g.key(), g.value()]
    return words[: len(words) - (1 if g.chance(0.06) else 0)]


@production(4)
def mset(g):
    return [b"MSET", *pairs(g)]


@production(3)
def msetnx(g):
    return [b"MSETNX", *pairs(g)]


@production(3)
def append(g):
    return [b"APPEND", g.key(), g.value()]


@production(3)
def strlen(g):
    return [b"STRLEN", g.key()]


@production(4)
def incr(g):
    return [g.pick([b"INCR", b"DECR"]), g.key()]


@production(5)
def incrby(g):
    return [g.pick([b"INCRBY", b"DECRBY"]), g.key(), g.integer()]


@production(5)
def incrbyfloat(g):
    return [b"INCRBYFLOAT", g.key(), g.number()]


@production(4)
def getrange(g):
    return [g.pick([b"GETRANGE", b"GETRANGE", b"SUBSTR"]), g.key(), g.index(), g.index()]


@production(4)
def setrange(g):
    return [b"SETRANGE", g.key(), g.offset(), g.value()]


@production(4)
def lcs(g):
    options = []
    for _ in range(g.pick([0, 1, 1, 2, 3])):
        name = g.pick(["LEN", "IDX", "IDX", "MINMATCHLEN", "WITHMATCHLEN"])
        options.append(g.word(name))
        if name == "MINMATCHLEN" and g.chance(0.9):
            options.append(g.integer())
    return [b"LCS", g.key(), g.key(), *options]


@production(4)
def setbit(g):
    return [b"SETBIT", g.key(), g.offset(), g.pick([b"0", b"1", b"1", b"2", b"-1", b"x"])]


@production(3)
def getbit(g):
    return [b"GETBIT", g.key(), g.offset()]


def bit_unit(g):
    return [g.word(g.pick(["BYTE", "BIT", "BIT", "BITS"]))] if g.chance(0.5) else []


@production(4)
def bitcount(g):
    if g.chance(0.3):
        return [b"BITCOUNT", g.key()]
    return [b"BITCOUNT", g.key(), g.index(), g.index(), *bit_unit(g)]


@production(4)
def bitpos(g):
    words = [b"BITPOS", g.key(), g.pick([b"0", b"1", b"1", b"2", b"x", b"-1", b""])]
    ends = g.pick([0, 1, 2, 2, 3])
    words += [g.index() for _ in range(min(ends, 2))]
    return words + (bit_unit(g) if ends == 3 else [])


@production(4)
def bitop(g):
    operation = g.word(g.pick(["AND", "OR", "XOR", "NOT", "NOT", "DIFF"]))
    sources = [g.key() for _ in range(g.pick([1, 1, 2, 3, 4]))]
    return [b"BITOP", operation, g.key(), *sources]


def field_type(g):
    if g.chance(0.1):
        return g.pick([b"u64", b"i65", b"u0", b"i0", b"x8", b"u", b"i", b"", b"8", b"u-1", b"i08"])
    bits = g.pick([1, 2, 3, 4, 7, 8, 13, 16, 31, 32, 33, 62, 63])
    return b"%s%d" % (g.pick([b"u", b"i"]), bits) if g.chance(0.93) else b"i64"


def field_offset(g):
    if g.chance(0.1):
        return g.pick([b"-1", b"#-1", b"#", b"abc", b"", b"#9223372036854775807", b"4294967295"])
    return b"%s%d" % (g.pick([b"", b"#"]), g.pick([0, 1, 2, 5, 7, 8, 15, 60, 100]))


def field_operations(g, names):
    words = []
    for _ in range(g.pick([0, 1, 1, 2, 3, 5])):
        name = g.pick(names)
        words.append(g.word(name))
        if name == "OVERFLOW":
            words.append(g.word(g.pick(["WRAP", "SAT", "FAIL", "FAIL", "NONE"])))
            continue
        words += [field_type(g), field_offset(g)]
        if name != "GET":
            words.append(g.integer())
    return words[: len(words) - (1 if g.chance(0.04) else 0)]


@production(8)
def bitfield(g):
    names = ["GET", "SET", "SET", "INCRBY", "INCRBY", "OVERFLOW"]
    return [b"BITFIELD", g.key(), *field_operations(g, names)]


@production(3)
def bitfield_ro(g):
    names = ["GET"] * 8 + ["SET", "OVERFLOW"]
    return [b"BITFIELD_RO", g.key(), *field_operations(g, names)]
