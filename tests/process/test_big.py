#!/usr/bin/env python3
"""More data than the caches hold: memory and log stay small, reads are right, a restart is quick.

Scaled for a test; bench/run does the same with many keys and gigabytes. DATA_MIB=n: how much.
"""

import os
import random
import threading
import time

from lib import Server, check, check_eq, run, seed
from load import Load, info, value_of

MIB = 1 << 20
DATA_MIB = int(os.environ.get("DATA_MIB", 768))
CACHE_MIB = 64
VALUE_BYTES = 4096
MEMORY_MAX = 320 * MIB  # caches, what is being written out, trailing entries of 16 groups, code
LOG_MAX = 400 * MIB  # eight segments of 32 MiB, the one written to, the next, some that go
SMALL_KEYS = 200_000
READY_MS_MAX = 10_000
WATCHDOG_SECONDS = 240

SEED = seed()


class Peak(threading.Thread):
    """The most memory and log that a node had while it was watched."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.memory = self.log = 0
        self.is_done = False
        self.start()

    def run(self):
        while not self.is_done and self.node.is_running():
            self.memory = max(self.memory, self.node.memory_bytes())
            try:
                self.log = max(self.log, info(self.node, "persistence")["log_disk_bytes"])
            except (OSError, EOFError):
                pass
            time.sleep(0.2)

    def finish(self):
        self.is_done = True
        self.join(20)
        print(f"    at most {self.memory / MIB:.0f} MiB of memory, {self.log / MIB:.0f} MiB of log")
        check(self.memory <= MEMORY_MAX, f"{self.memory / MIB:.0f} MiB of memory")
        check(self.log <= LOG_MAX, f"{self.log / MIB:.0f} MiB of log")


def write_all(node, count):
    """Keys b:0 to b:count-1, each once."""
    with node.client(60) as client:
        for at in range(0, count, 200):
            names = [f"b:{i}" for i in range(at, min(count, at + 200))]
            replies = client.pipeline([("SET", n, value_of(n, VALUE_BYTES)) for n in names])
            check_eq(set(replies), {"OK"}, "replies of SET")


def read_some(node, count, reads, rng):
    with node.client(60) as client:
        for _ in range(reads // 50):
            names = [f"b:{rng.randrange(count)}" for _ in range(50)]
            for name, value in zip(names, client.pipeline([("GET", n) for n in names])):
                check(value == value_of(name, VALUE_BYTES), f"GET {name} is wrong")


def test_more_data_than_memory():
    rng = random.Random(SEED)
    count = DATA_MIB * MIB // VALUE_BYTES
    node = Server(node_options=("--cache-memory", f"{CACHE_MIB}mb")).start()
    peak = Peak(node)
    started = time.monotonic()
    write_all(node, count)
    wrote = time.monotonic() - started
    started = time.monotonic()
    read_some(node, count, 5000, rng)
    print(f"    {DATA_MIB} MiB written in {wrote:.1f} s with {CACHE_MIB} MiB of cache, then "
          f"{5000 / (time.monotonic() - started):.0f} random reads a second")
    peak.finish()
    print(f"    {info(node)['store_disk_bytes'] / MIB:.0f} MiB of state on disk")
    node.kill()
    node.start()
    facts = info(node)
    print(f"    ready after kill -9 in {facts['ready_ms']} ms")
    check(facts["ready_ms"] <= READY_MS_MAX, f"ready in {facts['ready_ms']} ms")
    peak = Peak(node)
    read_some(node, count, 5000, rng)
    peak.finish()
    check_eq(node.stop(), 0, "exit status")


def test_restart_with_many_keys():
    node = Server().start()
    load = Load([node], value_bytes=100, keys=SMALL_KEYS, pipeline=1000, size_max=SMALL_KEYS * 100)
    load.start()
    load.join(60)
    load.finish()
    check_eq(load.count, SMALL_KEYS, "keys written")
    for how in (node.kill, node.stop):
        how()
        started = time.monotonic()
        node.start()
        took = time.monotonic() - started
        facts = info(node)
        print(f"    {SMALL_KEYS} keys: ready {took:.2f} s after {how.__name__} "
              f"({facts['ready_ms']} ms inside), {node.memory_bytes() / MIB:.0f} MiB of memory")
        check(took * 1000 <= READY_MS_MAX, f"ready after {took:.1f} s")
        load.verify(node, f"after {how.__name__}")
    check_eq(node.stop(), 0, "exit status")


if __name__ == "__main__":
    run([test_more_data_than_memory, test_restart_with_many_keys], WATCHDOG_SECONDS)
