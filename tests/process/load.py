"""Writers that know what every key may hold, and clients' view of a node: for the process tests."""

import random
import threading
import time
import zlib

from lib import Client, ReplyError, check, wait_until

POOL_BYTES = 1 << 20
_pool = random.Random(46).randbytes(2 * POOL_BYTES)


def value_of(name, size):
    """The value that belongs to this name: of that size at least, and nothing a disk could shrink."""
    head = name.encode() + b" "
    at = zlib.crc32(head) % POOL_BYTES
    return head + _pool[at : at + max(0, size - len(head))]


def info(node, section="everything"):
    """INFO as a dictionary; numbers are int."""
    with node.client() as client:
        text = client.call("INFO", section)
    check(not isinstance(text, ReplyError), f"INFO {section}: {text}")
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return {k: int(v) if v.lstrip("-").isdigit() else v for k, v in fields.items()}


class Load(threading.Thread):
    """
    Writes keys of its own in pipelines through one node after the other, and notes what each key may
    hold: what was acknowledged last, or any write whose outcome is unknown. Replies that say that
    nothing was done are counted by their first word.
    """

    def __init__(self, nodes, name="load", value_bytes=200, keys=2000, pipeline=50, size_max=None):
        super().__init__(daemon=True)
        self.nodes = list(nodes)
        self.name = name
        self.value_bytes = value_bytes
        self.keys = keys
        self.pipeline = pipeline
        self.writes_max = size_max // value_bytes if size_max else None
        self.acked = {}  # key -> version
        self.unknown = {}  # key -> versions
        self.refused = {}  # first word of a reply -> how often
        self.count = 0  # acknowledged
        self.acked_at = time.monotonic()
        self.longest_pause = 0.0
        self.wrong = None
        self.is_done = False
        self._version = 0

    def key(self, number):
        return f"{self.name}:{number}"

    def value(self, key, version):
        return value_of(f"{key}={version}", self.value_bytes)

    def run(self):
        turn = 0
        while not self.is_done and self.wrong is None:
            turn += 1
            try:
                with Client(self.nodes[turn % len(self.nodes)].port, 20.0) as client:
                    for _ in range(20):
                        if self.is_done or self.wrong or not self.batch(client):
                            break
            except (OSError, EOFError):
                time.sleep(0.02)

    def batch(self, client):
        """One pipeline of different keys. False: it is time to try another node."""
        first = self._version
        if self.writes_max is not None and first >= self.writes_max:
            self.is_done = True
            return False
        versions = range(first + 1, first + 1 + min(self.pipeline, self.keys))
        self._version = versions[-1]
        plan = [(self.key(v % self.keys), v) for v in versions]
        for key, version in plan:
            self.unknown.setdefault(key, set()).add(version)
        client.send(b"".join(client.encode("SET", k, self.value(k, v)) for k, v in plan))
        return all([self.take(client.read(), key, version) for key, version in plan])

    def take(self, reply, key, version):
        if reply == "OK":
            self.unknown[key].discard(version)
            self.acked[key] = version
            self.count += 1
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - self.acked_at)
            self.acked_at = now
            return True
        word = str(reply).split(" ")[0]
        self.refused[word] = self.refused.get(word, 0) + 1
        if word in ("MISCONF", "CLUSTERDOWN", "TRYAGAIN"):
            self.unknown[key].discard(version)  # certainly not executed
            time.sleep(0.001)
        elif word != "UNKNOWNRESULT":
            self.wrong = f"{key}: {reply!r}"
        return False

    def finish(self):
        self.is_done = True
        self.join(60)
        check(not self.is_alive(), "a writer hangs")
        check(self.wrong is None, f"wrong reply: {self.wrong}")
        return self

    def wait_writes(self, count, seconds, what="writes go on"):
        """So many more acknowledged ones."""
        wanted = self.count + count
        wait_until(lambda: self.wrong or self.count >= wanted, seconds, what)
        check(self.wrong is None, f"wrong reply: {self.wrong}")

    def may_hold(self, key):
        versions = self.unknown.get(key, set()) | {self.acked.get(key)}
        return {None if v is None else self.value(key, v) for v in versions}

    def verify(self, node, what):
        """All keys, as this node answers; for when no writer runs."""
        keys = list(self.unknown)
        with node.client(60) as client:
            for at in range(0, len(keys), 200):
                some = keys[at : at + 200]
                for key, value in zip(some, client.pipeline([("GET", key) for key in some])):
                    check(not isinstance(value, ReplyError), f"{what}: GET {key}: {value}")
                    if value not in self.may_hold(key):
                        found = "nothing" if value is None else repr(value[:60])
                        raise AssertionError(
                            f"{what}: {key} holds {found}; acknowledged was version "
                            f"{self.acked.get(key)}, unknown {sorted(self.unknown[key])[:10]}"
                        )
        return len(keys)
