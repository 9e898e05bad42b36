"""Whether two replies say the same. Most must be equal; the rest are listed here, each with how.

Known differences are not here but in known_differences.toml: this file is about replies that two
runs of the same redis-server would not repeat.
"""

import re

import values

TOLERANCE_MS = 8000
TOLERANCE_S = 9
SCALARS = "$=:,#(+"


def exact(reference, subject):
    return reference == subject


def unordered(reference, subject):
    """Arrays whose order means nothing."""
    if reference[0] != subject[0] or not reference[1] or not subject[1]:
        return reference == subject
    return sorted(map(repr, reference[1])) == sorted(map(repr, subject[1]))


def canonical(reply):
    kind, value = reply
    if kind in "*~" and value is not None:
        return kind, sorted(map(canonical, value), key=repr)
    return reply


def unordered_deep(reference, subject):
    """Flags, categories and subcommands come in any order, and Redis shuffles them at its start."""
    return canonical(reference) == canonical(subject)


def unordered_pairs(reference, subject):
    """The same for names and values one after the other."""
    if reference[0] != subject[0] or reference[0] not in "*%" or not reference[1] or not subject[1]:
        return reference == subject
    pairs = [sorted(zip(r[1][::2], r[1][1::2])) for r in (reference, subject)]
    return pairs[0] == pairs[1]


def near(tolerance, exact_points):
    def compare(reference, subject):
        if reference[0] != ":" or subject[0] != ":":
            return reference == subject
        a, b = reference[1], subject[1]
        if a == b:
            return True
        return min(a, b) >= 0 and abs(a - b) <= tolerance and a not in exact_points

    return compare


def same_type(reference, subject):
    """The value is the server's own business."""
    if reference[0] != subject[0] or reference[0] == "-":
        return reference == subject
    return (reference[1] is None) == (subject[1] is None)


def field_names(reply):
    """Names in texts like those of CLIENT LIST and INFO."""
    text = (reply[1] or b"").decode("latin-1")
    if text.startswith("#") or "\r\n" in text:
        return sorted(set(re.findall(r"^([a-z_0-9]+):", text, re.M)))
    return re.findall(r"(?:^| )([a-z-]+)=", text.split("\n")[0])


def same_names(reference, subject):
    if reference[0] not in "$=" or subject[0] not in "$=":
        return reference == subject
    return reference[0] == subject[0] and field_names(reference) == field_names(subject)


def sections(reply):
    return re.findall(rb"^# (\w+)", reply[1] or b"", re.M)


def same_sections(reference, subject):
    """INFO: what each field says, and how many there are, is tested elsewhere."""
    if reference[0] not in "$=" or subject[0] not in "$=":
        return reference == subject
    return reference[0] == subject[0] and sections(reference) == sections(subject)


def same_hello(reference, subject):
    """All but the connection's number."""
    if reference[0] not in "*%" or not reference[1]:
        return reference == subject
    return reference[0] == subject[0] and without_id(reference[1]) == without_id(subject[1])


def without_id(elements):
    at = elements.index(("$", b"id"))
    return elements[: at + 1] + [elements[at + 1][0]] + elements[at + 2 :]


BY_COMMAND = {
    b"KEYS": unordered,
    b"TTL": near(TOLERANCE_S, set()),
    b"PTTL": near(TOLERANCE_MS, set()),
    b"EXPIRETIME": near(TOLERANCE_S, {t // 1000 for t in values.exact_times_ms()}),
    b"PEXPIRETIME": near(TOLERANCE_MS, values.exact_times_ms()),
    b"HELLO": same_hello,
    b"TIME": same_type,
    b"LASTSAVE": same_type,
    b"RANDOMKEY": same_type,
    b"DUMP": same_type,
    b"INFO": same_sections,
    b"MEMORY USAGE": same_type,
    b"OBJECT IDLETIME": near(TOLERANCE_S, set()),
    b"CLIENT ID": same_type,
    b"CLIENT INFO": same_names,
    b"CLIENT LIST": same_names,
    b"SLOWLOG LEN": same_type,
    b"CONFIG GET": unordered_pairs,
    b"COMMAND INFO": unordered_deep,
    b"COMMAND LIST": unordered,
}


def comparer_of(command):
    if not command:
        return exact
    name = command[0].upper()
    if len(command) > 1:
        found = BY_COMMAND.get(name + b" " + command[1].upper())
        if found:
            return found
    return BY_COMMAND.get(name, exact)


def are_same(command, reference, subject):
    return reference == subject or comparer_of(command)(reference, subject)
