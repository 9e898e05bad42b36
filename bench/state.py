#!/usr/bin/env python3
"""What state on disk costs and keeps: engines, memory, restart, log, more data than memory.

    bench/run state [PART...]       engines memory restart log big (default: all, half an hour)

Prints tables and writes bench/results/state.md if nothing was left out. DOUGONG names another binary
than build/dougong. The parts:

engines  RocksDB beside rows in memory (--store mem), in the same run, taking turns
memory   of an idle node, of a connection, after a million keys
restart  of a node with a million keys, after SIGTERM and after kill -9
log      on disk, while one node takes all the writes it can for --minutes
big      --big-gib of values, caches of a twentieth of it
"""

import argparse
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

from lib import (
    FOLDER, KEYS, RESULTS, VALUE_BYTES, Cell, Dougong, add_run_options,
    die_with_parent, machine_lines, now_text, run_systems, table,
)

RESULT = RESULTS / "state.md"
MIB = 1 << 20
GIB = 1 << 30
MANY_KEYS = 1_000_000
GROUPS = 16  # the default of --groups
CONNECTIONS = 10_000
IDLE_SECONDS = 10
PIPELINE = 1000
BIG_VALUE_BYTES = 4096
BIG_READS = 20_000
BIG_GIB_MAX = 20
CACHE_PART = 20  # 20 GiB with 1 GiB of cache
POOL = random.Random(4).randbytes(2 * MIB)

ENGINE_CELLS = [
    Cell("SET, 50 clients", "set", 50, 1, False),
    Cell("GET, 50 clients", "get", 50, 1, False),
    Cell("SET, 50 clients, pipeline 16", "set", 50, 16, False),
]


class DougongMem(Dougong):
    name = "mem"
    more = ("--store", "mem")


# ---- one node, and what it holds -----------------------------------------------------------------


def status_bytes(server, field="VmRSS"):
    """0 if it does not run."""
    try:
        text = Path(f"/proc/{server.process.pid}/status").read_text()
    except FileNotFoundError:
        return 0
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def folder_bytes(path):
    """What the files take on disk."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # gone meanwhile
    return total


def mib(size):
    return f"{size / MIB:,.1f} MiB"


class Cluster(Dougong):
    """For one part of the benchmark; stopped and removed by `with`."""

    def __init__(self, count=1, more=()):
        self.more = more
        super().__init__(count)

    def __enter__(self):
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def server(self):
        return self.servers[0]

    @property
    def data(self):
        return self.folder / "0"

    def restart(self, is_kill):
        """Of the first node: seconds until it answers a read, the end of the old one not counted."""
        old = self.server
        argv = old.process.args
        old.process.kill() if is_kill else old.process.terminate()
        old.process.wait(60)
        started = time.monotonic()
        self.servers[0] = type(old)(old.name, old.port, argv)
        while not self.server.ask(b"GET ready:1\r\n").startswith(b"$1"):
            self.check_alive()
            if time.monotonic() - started > 600:
                raise RuntimeError("a node does not come back within 600 s")
            time.sleep(0.01)
        return time.monotonic() - started


def connect(server):
    conn = socket.create_connection(("127.0.0.1", server.port), 60)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return conn


def set_request(key, value):
    return b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(key), key, len(value), value)


def value_of(key, size):
    """Nothing that a disk could make smaller."""
    at = zlib.crc32(key) % MIB
    return POOL[at : at + size]


def expect(conn, wanted):
    got = b""
    while len(got) < len(wanted):
        data = conn.recv(1 << 20)
        if not data:
            raise RuntimeError("connection closed")
        got += data
    if got != wanted:
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), len(wanted))
        raise RuntimeError(f"a wrong reply: {got[at : at + 100]!r}")


def fill(server, count, value_bytes):
    """Keys key:0 … by one connection; seconds."""
    started = time.monotonic()
    with connect(server) as conn:
        for first in range(0, count, PIPELINE):
            keys = [b"key:%d" % i for i in range(first, min(count, first + PIPELINE))]
            conn.sendall(b"".join(set_request(k, value_of(k, value_bytes)) for k in keys))
            expect(conn, b"+OK\r\n" * len(keys))
    return time.monotonic() - started


def read_random(server, count, value_bytes, reads, pipeline=50):
    """Each value is compared; reads a second."""
    rng = random.Random(1)
    started = time.monotonic()
    with connect(server) as conn:
        for _ in range(reads // pipeline):
            keys = [b"key:%d" % rng.randrange(count) for _ in range(pipeline)]
            conn.sendall(b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(k), k) for k in keys))
            expect(conn, b"".join(b"$%d\r\n%s\r\n" % (value_bytes, value_of(k, value_bytes))
                                  for k in keys))
    return reads / (time.monotonic() - started)


class Watch(threading.Thread):
    """The most memory, log and state of a node while something goes on."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.memory = self.log = self.store = 0
        self.is_done = False
        self.start()

    def look(self):
        self.memory = max(self.memory, status_bytes(self.cluster.server))
        self.log = max(self.log, folder_bytes(self.cluster.data / "log"))
        self.store = max(self.store, folder_bytes(self.cluster.data / "store"))

    def run(self):
        while not self.is_done:
            self.look()
            time.sleep(0.5)

    def finish(self):
        self.is_done = True
        self.join(60)
        return self


def rows(title, pairs):
    return ["", f"## {title}", "", "| | |", "|---|---:|", *(f"| {a} | {b} |" for a, b in pairs)]


# ---- parts ---------------------------------------------------------------------------------------


def engines(options):
    cells = [c for c in ENGINE_CELLS if options.only.lower() in c.name.lower()]
    lines = []
    for count, title in ((1, "One node"), (3, "Three nodes")):
        results = run_systems([DougongMem, Dougong], count, cells, options)
        lines += table(f"{title}: RocksDB (dougong) beside rows in memory (mem), {KEYS} keys",
                       results, cells, [DougongMem, Dougong])
    return lines


def connection_bytes(server):
    """(connections, memory of each): one PING and one SET of 1 KiB each, then idle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(CONNECTIONS, hard - 500)
    before = status_bytes(server)
    conns = []
    for i in range(count):
        conns.append(connect(server))
        conns[-1].sendall(b"*1\r\n$4\r\nPING\r\n")
        expect(conns[-1], b"+PONG\r\n")
        conns[-1].sendall(set_request(b"c%d" % i, b"x" * 1024))
        expect(conns[-1], b"+OK\r\n")
    time.sleep(5)
    each = (status_bytes(server) - before) / count
    for conn in conns:
        conn.close()
    return count, each


def memory(_options):
    pairs = []
    with Cluster(3) as cluster:
        time.sleep(IDLE_SECONDS)
        idle = max(map(status_bytes, cluster.servers))
        pairs.append((f"idle, one of three nodes, {GROUPS} groups, {IDLE_SECONDS} s after ready",
                      mib(idle)))
    with Cluster() as cluster:
        time.sleep(IDLE_SECONDS)
        pairs.append((f"idle, sole node, {GROUPS} groups, {IDLE_SECONDS} s after ready",
                      mib(status_bytes(cluster.server))))
        count, each = connection_bytes(cluster.server)
        pairs.append((f"each of {count:,} connections (one PING, one SET of 1 KiB, idle 5 s)",
                      f"{each:,.0f} bytes"))
    with Cluster() as cluster:
        fill(cluster.server, MANY_KEYS, VALUE_BYTES)
        time.sleep(5)
        pairs.append((f"after {MANY_KEYS:,} keys with values of {VALUE_BYTES} bytes",
                      mib(status_bytes(cluster.server))))
        pairs.append(("the most meanwhile", mib(status_bytes(cluster.server, "VmHWM"))))
    return rows("Memory (RSS)", pairs)


def restart(_options):
    with Cluster() as cluster:
        seconds = fill(cluster.server, MANY_KEYS, VALUE_BYTES)
        pairs = [(f"{MANY_KEYS:,} keys with values of {VALUE_BYTES} bytes written in",
                  f"{seconds:.1f} s")]
        for how, is_kill in (("kill -9", True), ("kill -9 again", True), ("SIGTERM", False)):
            took = cluster.restart(is_kill)
            pairs.append((f"answers a read after {how}", f"{took:.2f} s"))
        read_random(cluster.server, MANY_KEYS, VALUE_BYTES, BIG_READS)
        pairs += [
            ("memory after it and reads", mib(status_bytes(cluster.server))),
            ("log on disk", mib(folder_bytes(cluster.data / "log"))),
            ("state on disk", mib(folder_bytes(cluster.data / "store"))),
        ]
    return rows("Restart of one node (all values read are compared)", pairs)


class Writers:
    """redis-benchmark for as long as wanted: all that one node takes."""

    def __init__(self, server):
        words = f"-p {server.port} -t set -c 50 -P 16 -r {MANY_KEYS} -d {VALUE_BYTES} -q"
        self.process = subprocess.Popen(
            ["redis-benchmark", *words.split(), "-n", "2000000000"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )

    def stop(self):
        is_alive = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        if not is_alive:
            raise RuntimeError("redis-benchmark gave up: it met an error")


def commands_processed(server):
    for line in server.ask(b"INFO stats\r\n").splitlines():
        if line.startswith(b"commands_processed:"):
            return int(line.split(b":")[1])
    return 0


def log(options):
    minutes = options.minutes
    slices = 10
    with Cluster() as cluster:
        watch = Watch(cluster)
        writers = Writers(cluster.server)
        rates = []
        for _ in range(slices):
            before = commands_processed(cluster.server)
            time.sleep(minutes * 60 / slices)
            cluster.check_alive()
            rates.append((commands_processed(cluster.server) - before) / (minutes * 60 / slices))
            print(f"log: {rates[-1]:,.0f}/s, at most {mib(watch.log)} of log so far",
                  file=sys.stderr)
        writers.stop()
        watch.finish()
        ready = cluster.restart(True)
    return rows(
        f"Log on disk, one node, {minutes:g} minutes of all the SETs it takes "
        f"(50 clients, pipeline 16, {MANY_KEYS:,} random keys)",
        [
            ("log, at most", mib(watch.log)),
            ("state, at most", mib(watch.store)),
            ("memory, at most", mib(watch.memory)),
            ("SET/s, first tenth / last tenth / slowest",
             " / ".join(f"{rate:,.0f}" for rate in (rates[0], rates[-1], min(rates)))),
            ("restart after kill -9 at the end", f"{ready:.2f} s"),
        ],
    )


def big(options):
    free = shutil.disk_usage(FOLDER).free
    size = options.big_gib or min(BIG_GIB_MAX, free / GIB / 4)
    cache = int(size * 1024 / CACHE_PART)
    count = int(size * GIB) // BIG_VALUE_BYTES
    with Cluster(more=("--cache-memory", f"{cache}mb")) as cluster:
        watch = Watch(cluster)
        wrote = fill(cluster.server, count, BIG_VALUE_BYTES)
        rates = [read_random(cluster.server, count, BIG_VALUE_BYTES, BIG_READS) for _ in range(2)]
        ready = cluster.restart(True)
        rates.append(read_random(cluster.server, count, BIG_VALUE_BYTES, BIG_READS))
        watch.finish()
    scaled = "" if size >= BIG_GIB_MAX else (
        f", scaled from {BIG_GIB_MAX} GiB to a disk with {free / GIB:.0f} GiB free")
    return rows(
        f"{size:.1f} GiB of values with {cache} MiB of cache (one node{scaled}; all values read "
        "are compared)",
        [
            (f"{count:,} SETs of {BIG_VALUE_BYTES} bytes, one client, pipeline {PIPELINE}",
             f"{count / wrote:,.0f}/s"),
            ("random GETs, one client, pipeline 50: first / second / after a restart",
             " / ".join(f"{rate:,.0f}/s" for rate in rates)),
            ("memory (RSS), at most", mib(watch.memory)),
            ("log, at most", mib(watch.log)),
            ("state on disk, at most", mib(watch.store)),
            ("restart after kill -9", f"{ready:.2f} s"),
        ],
    )


PARTS = {"engines": engines, "memory": memory, "restart": restart, "log": log, "big": big}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=" ".join(PARTS))
    add_run_options(parser)
    parser.add_argument("--minutes", type=float, default=10.0, help="of writing, in log")
    parser.add_argument("--big-gib", type=float, help="values of big; default: at most 20, a quarter "
                        "of what is free")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {unknown[0]}; there are {' '.join(PARTS)}")
    return options


def main():
    options = arguments()
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        lines = [f"# State on disk, figures of {now_text()}", "", *machine_lines()]
        for part in options.parts or PARTS:
            print(f"{part} ...", file=sys.stderr)
            lines += PARTS[part](options)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    text = "\n".join([*lines, ""])
    print(text)
    if not options.parts and not options.only:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
