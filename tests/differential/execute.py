"""Runs one sequence on the reference and the subject, side by side, and lists what differs."""

import time

import compare
from resp import CLOSED, Connection, encode, show
from sequence import RESP2, RESP3, Difference, Step

SETTLED_SECONDS = 3.0  # far more than both take to remove what has expired
SCAN_STEPS_MAX = 20000
# Not what the command did: the cluster was changing. The sequence is run again.
UNSETTLED = (b"CLUSTERDOWN", b"UNKNOWNRESULT", b"TRYAGAIN", b"LOADING")


class Unsettled(Exception):
    pass


class Side:
    """Two connections to one of the servers, maybe to two of its nodes."""

    def __init__(self, ports, database):
        self.connections = [Connection(port) for port in ports]
        for which in (RESP2, RESP3):
            self.prepare(which, database)

    def prepare(self, which, database):
        """A fresh connection: its protocol and its database."""
        if which == RESP3:
            self.connections[which].call("HELLO", "3")
        self.connections[which].call("SELECT", database)

    def reopen(self, which, database):
        self.connections[which].close()
        self.connections[which].open()
        self.prepare(which, database)

    def close(self):
        for connection in self.connections:
            connection.close()


class Execution:
    def __init__(self, sequence, reference_ports, subject_ports):
        self.sequence = sequence
        self.database = sequence.databases[0]
        self.sides = [Side(reference_ports, self.database), Side(subject_ports, self.database)]
        self.differences = []
        self.commands = 0

    def run(self, excuse):
        """excuse(difference): None, or the known difference that it is. Returns unexcused ones."""
        try:
            self.clear()
            for begin, end in self.segments():
                found = self.run_segment(begin, end)
                for difference in found:
                    known = excuse(difference)
                    if known is None:
                        self.differences.append(difference)
                    elif known.ends_sequence:
                        return self.differences
                if self.differences:
                    return self.differences  # what follows may follow from it
            found = self.compare_state()
            self.differences += [d for d in found if excuse(d) is None]
            return self.differences
        finally:
            for side in self.sides:
                side.close()

    def clear(self):
        for side in self.sides:
            connection = side.connections[RESP2]
            if self.sequence.is_alone:
                connection.call("FLUSHALL")
            for database in reversed(self.sequence.databases):
                connection.call("SELECT", database)
                reply = connection.call("FLUSHDB")
                if reply != ("+", b"OK"):
                    raise Unsettled(show(reply))

    def segments(self):
        """Ranges of steps that are pipelined: plain ones on one connection."""
        steps = self.sequence.steps
        begin = 0
        for at in range(1, len(steps) + 1):
            if at == len(steps) or self.is_border(steps[at - 1], steps[at]):
                yield begin, at
                begin = at

    @staticmethod
    def is_border(before, step):
        is_plain = before.how == step.how == "plain"
        return (
            not is_plain
            or before.connection != step.connection
            or before.pause_ms > 0
            or before.is_risky
            or step.is_risky
        )

    def run_segment(self, begin, end):
        steps = self.sequence.steps[begin:end]
        how = steps[0].how
        if how != "plain":
            return WAYS[how](self, begin, steps[0])
        for side in self.sides:
            side.connections[steps[0].connection].send(b"".join(s.bytes_to_send() for s in steps))
        found = []
        for at, step in enumerate(steps, begin):
            for command in self.answered(step):
                replies = [side.connections[step.connection].read() for side in self.sides]
                found += self.compare(at, command, *replies)
        if steps[-1].pause_ms:
            time.sleep(steps[-1].pause_ms / 1000)
        return found

    @staticmethod
    def answered(step):
        """The commands that a step's replies belong to."""
        if step.raw:
            return [[b"inline", step.raw]] * step.reply_count()
        return step.commands[len(step.commands) - step.reply_count() :]

    def compare(self, at, command, reference, subject):
        self.commands += 1
        if compare.are_same(command, reference, subject):
            return []
        self.notice_unsettled(subject)
        is_risky = at >= 0 and self.sequence.steps[at].is_risky
        return [Difference(at, command, show(reference), show(subject), is_risky)]

    @staticmethod
    def notice_unsettled(reply):
        if reply[0] == "-" and reply[1].startswith(UNSETTLED):
            raise Unsettled(show(reply))

    def both(self, step, command):
        """Sends one command to both; returns the two replies."""
        connections = [side.connections[step.connection] for side in self.sides]
        for connection in connections:
            connection.send(encode(command))
        return [connection.read() for connection in connections]

    # The ways of steps that are more than commands and replies.

    def closes(self, at, step):
        """The replies, then the end of the connection: silence would mean that it goes on."""
        found = []
        for side in self.sides:
            side.connections[step.connection].send(step.raw)
        seen = []
        for side in self.sides:
            connection = side.connections[step.connection]
            replies = [connection.read()]
            while replies[-1] != CLOSED and len(replies) < step.reply_count() + 1:
                replies.append(connection.read())
            seen.append(("*", replies))
            side.reopen(step.connection, self.database)
        found += self.compare(at, [b"inline", step.raw], *seen)
        return found

    def random_key(self, at, step):
        """Nil, or a key that is there."""
        found = self.compare(at, step.commands[0], *self.both(step, step.commands[0]))
        keys, _ = self.both(step, step.commands[0])
        reference, subject = self.both(step, step.commands[1])
        found += self.compare(at, step.commands[1], reference, subject)
        if not found and subject[1] is not None and subject not in keys[1]:
            found.append(Difference(at, step.commands[1], show(keys), show(subject)))
        return found

    def settles(self, at, step):
        """DBSIZE: a key whose time is up counts until somebody removes it, soon."""
        end = time.monotonic() + SETTLED_SECONDS
        while True:
            replies = self.both(step, step.commands[0])
            if replies[0] == replies[1] or time.monotonic() > end:
                return self.compare(at, step.commands[0], *replies)
            time.sleep(SETTLED_SECONDS / 100)

    def to_the_end(self, at, step):
        """SCAN until its cursor is 0: all keys, and no key that is not there."""
        seen = []
        for side in self.sides:
            connection = side.connections[step.connection]
            seen.append(scan_all(connection, step.commands[0]))
            self.notice_unsettled(seen[-1])
        return self.compare(at, step.commands[0], *seen)

    def crosswise(self, at, step):
        """What one has dumped the other restores; what it restores must be the same value."""
        dump, restore = step.commands
        dumped = self.both(step, dump)
        found = self.compare(at, dump, *dumped)
        if found or dumped[0][0] != "$" or dumped[0][1] is None:
            return found
        for payload in [reply[1] for reply in dumped]:
            command = [payload if word == b"?" else word for word in restore]
            found += self.compare(at, command, *self.both(step, command))
            get = [b"GET", restore[1]]
            found += self.compare(at, get, *self.both(step, get))
        return found

    # The state afterwards.

    def compare_state(self):
        found = []
        databases = range(16) if self.sequence.is_alone else self.sequence.databases
        for database in databases:
            for side in self.sides:
                side.reopen(RESP2, database)
            found += self.compare_database(database)
        return found

    def compare_database(self, database):
        all_keys = []
        for side in self.sides:
            reply = side.connections[RESP2].call("KEYS", "*")
            self.notice_unsettled(reply)
            keys = reply[1] if reply[0] == "*" else [("-", show(reply).encode())]
            all_keys.append({key for _, key in keys})
        found = []
        for key in sorted(all_keys[0] ^ all_keys[1]):
            texts = ["there" if key in keys else "missing" for keys in all_keys]
            found.append(Difference(-1, [b"KEYS", b"(db %d)" % database, key], *texts))
        shared = sorted(all_keys[0] & all_keys[1])
        commands = [[name, key] for key in shared for name in (b"TYPE", b"GET", b"PEXPIRETIME")]
        for side in self.sides:
            side.connections[RESP2].send(b"".join(encode(command) for command in commands))
        for command in commands:
            replies = [side.connections[RESP2].read() for side in self.sides]
            if not compare.are_same(command, *replies):
                self.notice_unsettled(replies[1])
                note = [*command, b"(state)"]
                found.append(Difference(-1, note, *map(show, replies)))
        return found + self.settles(-1, Step([[b"DBSIZE"]]))


WAYS = {
    "settles": Execution.settles,
    "closes": Execution.closes,
    "random key": Execution.random_key,
    "to the end": Execution.to_the_end,
    "crosswise": Execution.crosswise,
}


def scan_all(connection, command):
    """The keys of a whole iteration as a sorted array, or the reply that ended it."""
    keys, cursor = set(), command[1]
    for _ in range(SCAN_STEPS_MAX):
        reply = connection.call(command[0], cursor, *command[2:])
        if reply[0] != "*":
            return reply
        cursor = reply[1][0][1]
        keys |= {key for _, key in reply[1][1][1]}
        if cursor == b"0":
            return "*", [("$", key) for key in sorted(keys)]
    return "-", b"SCAN does not end"


def run_sequence(sequence, reference_ports, subject_ports, excuse):
    """(commands compared, differences that are not excused)."""
    execution = Execution(sequence, reference_ports, subject_ports)
    differences = execution.run(excuse)
    return execution.commands, differences
