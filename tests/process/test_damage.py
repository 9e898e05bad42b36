#!/usr/bin/env python3
"""A flipped byte in log or store: the node stops and names the command that makes it whole again.

SEED=n repeats the random choices of a run (not its timing).
"""

import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

from cluster import Cluster
from lib import BINARY, Server, check, check_eq, run, seed, temp_dir, wait_until
from load import Load, info

MIB = 1 << 20
VALUE_BYTES = 4000
KEYS = 12000  # more than caches and trailing entries hold
NOTICE_SECONDS = 30
REBUILD_SECONDS = 60
WATCHDOG_SECONDS = 280
SEGMENT_HEADER = 4096
COMMAND = re.compile(r"dougong rebuild --data (\S+)")
# A small log, so that state gets to the disk soon, and small caches, so that reads come from there.
OPTIONS = ["--cache-memory", "8mb", "--log-size", "16mb"]

SEED = seed()


def rebuild(data):
    """(exit status, what it said)"""
    done = subprocess.run([BINARY, "rebuild", "--data", data], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30)
    return done.returncode, (done.stdout + done.stderr).strip()


def run_named_command(node):
    """Exactly what the last words of the node say."""
    named = COMMAND.search(node.said().splitlines()[-1])
    check(named, f"the last line names no command: {node.said()}")
    check_eq(os.path.realpath(named[1]), os.path.realpath(node.data), "the directory it names")
    status, said = rebuild(named[1])
    check_eq(status, 0, f"exit status of rebuild ({said})")


def flip(path, offsets):
    with open(path, "r+b") as file:
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


def tables(node):
    return sorted(Path(node.data, "store").glob("*.sst"))


def damage_log(node, rng):
    """One byte in the middle of what was written of a segment that is not the newest, if any."""
    segments = sorted(Path(node.data, "log").glob("*.log"))
    check(segments, "no log")
    chosen = segments[len(segments) // 2 - 1] if len(segments) > 1 else segments[0]
    used = len(chosen.read_bytes().rstrip(b"\0"))
    check(used > SEGMENT_HEADER + 2000, f"only {used} bytes in {chosen}")
    flip(chosen, [rng.randrange(used // 3, used * 2 // 3)])


def damage_store(node, rng):
    """One byte in each piece of 256 KiB of all tables: the big ones hold the values."""
    found = tables(node)
    check(found, "no tables in the store")
    for path in found:
        size = path.stat().st_size
        flip(path, [rng.randrange(at, min(size, at + 256 * 1024))
                    for at in range(0, size, 256 * 1024)])


def fill_until_tables(cluster, load):
    """Writes until the state of every node is on disk, for the most part."""
    load.start()
    wait_until(lambda: load.wrong or (load.count > load.keys and all(map(tables, cluster.nodes))),
               60, "tables on all nodes")
    load.finish()


def is_whole(cluster, node):
    """It votes in all groups again, so another node may go."""
    check(node.is_running(), f"node {node.number} ended ({node.process.returncode}): {node.said()}")
    try:
        return info(node)["groups_voting"] == cluster.groups + 1
    except (OSError, EOFError):
        return False


def check_refuses_to_start(node):
    node.spawn()
    status = node.wait(NOTICE_SECONDS)
    check(status is not None and status != 0, f"node {node.number} serves what is damaged: {status}")


def check_comes_back(cluster, node, others):
    """Rebuilt by the command it named, under load; then another node dies, and nothing is missing."""
    run_named_command(node)
    load = Load(others, f"while {node.number}", value_bytes=500, keys=3000)
    load.start()
    started = time.monotonic()
    node.spawn()
    wait_until(lambda: is_whole(cluster, node), REBUILD_SECONDS, f"node {node.number} votes again")
    took = time.monotonic() - started
    load.wait_writes(100, 20)
    print(f"    node {node.number} was whole again after {took:.1f} s, with "
          f"{info(node)['snapshots_taken']} snapshots, {load.count} writes meanwhile")
    victim = others[0]
    victim.kill()
    cluster.wait_ready([n for n in cluster.nodes if n is not victim])
    load.finish()
    load.verify(node, "written while it was rebuilt")
    victim.spawn()
    cluster.wait_ready()


def test_a_damaged_node_is_rebuilt():
    """Three times in one cluster: the log of one, the store of another, the store of a running one."""
    rng = random.Random(SEED)
    cluster = Cluster(groups=8, more=OPTIONS).start()
    first, second, third = cluster.nodes
    load = Load(cluster.nodes, value_bytes=VALUE_BYTES, keys=KEYS)
    fill_until_tables(cluster, load)

    third.kill()
    damage_log(third, rng)
    check_refuses_to_start(third)
    check_comes_back(cluster, third, [first, second])
    load.verify(third, "log damaged")

    second.kill()
    damage_store(second, rng)
    second.spawn()
    # Not every start reads all tables; what is read later is found then.
    halt_by_reading(cluster, second, load)
    check_comes_back(cluster, second, [third, first])
    load.verify(second, "store damaged")

    damage_store(first, rng)
    halt_by_reading(cluster, first, load)
    check_comes_back(cluster, first, [second, third])
    for node in cluster.nodes:
        load.verify(node, f"at the end, by node {node.number}")
    cluster.kill_all()


def halt_by_reading(cluster, node, load):
    """Reads all keys, and each is right or not answered at all, until the node stops itself."""
    end = time.monotonic() + NOTICE_SECONDS
    while node.is_running():
        check(time.monotonic() < end, f"node {node.number} does not notice its damaged store")
        try:
            load.verify(cluster.nodes[time.monotonic_ns() % 3], "while damaged")
        except (OSError, EOFError):
            pass
        except AssertionError as error:
            if "CLUSTERDOWN" not in str(error) and "UNKNOWNRESULT" not in str(error):
                raise
    check(node.wait() not in (0, None), f"exit status {node.process.returncode}")
    cluster.wait_ready([n for n in cluster.nodes if n is not node])


def test_log_of_an_earlier_life():
    """Put back after a rebuild it lacks what the new replica promised meanwhile."""
    cluster = Cluster(groups=2).start()
    node = cluster.nodes[2]
    node.kill()
    status, said = rebuild(node.data)
    check_eq(status, 0, f"exit status of rebuild ({said})")
    node.spawn()
    wait_until(lambda: is_whole(cluster, node), REBUILD_SECONDS, "it votes again")
    node.kill()
    shutil.rmtree(Path(node.data, "log"))
    os.rename(Path(node.data, "damaged.1", "log"), Path(node.data, "log"))
    check_refuses_to_start(node)
    check("another node" in node.said(), f"reason: {node.said()}")
    cluster.kill_all()


def test_rebuild_is_refused_where_it_would_lose_data():
    def check_refused(data, what, *words):
        before = {p: p.stat().st_size for p in Path(data).rglob("*") if p.is_file()}
        status, said = rebuild(str(data))
        check(status != 0, f"{what}: exit status 0")
        check_eq(len(said.splitlines()), 1, f"{what}: lines of {said!r}")
        check(any(word in said for word in words), f"{what}: {said!r} has none of {words}")
        after = {p: p.stat().st_size for p in Path(data).rglob("*") if p.is_file()}
        check_eq(sorted(after), sorted(before), f"{what}: files")

    sole = Server().start()
    with sole.client() as client:
        check_eq(client.call("SET", "k", "v"), "OK", "SET")
    check_refused(sole.data, "running", "running", "in use", "lock")
    check_eq(sole.stop(), 0, "exit status")
    check_refused(sole.data, "cluster of one", "backup")
    sole.start()
    with sole.client() as client:
        check_eq(client.call("GET", "k"), b"v", "GET")
    sole.kill()

    for count in (3, 2):  # of two, the other one could not make it a voter again alone
        cluster = Cluster(count, groups=2).start()
        data = cluster.nodes[1].data
        check_refused(data, "running in a cluster", "running", "in use", "lock")
        check(cluster.takes_writes(cluster.nodes[1]), "it goes on")
        cluster.kill_all()
    check_refused(data, "one of two", "backup")

    check_refused(temp_dir(), "an empty directory", "file named node")
    check_refused("/nonexistent/dougong", "no directory", "file named node")
    done = subprocess.run([BINARY, "rebuild"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=30)
    check(done.returncode != 0 and "--data" in done.stderr, f"without --data: {done.stderr!r}")


if __name__ == "__main__":
    run(
        [
            test_a_damaged_node_is_rebuilt,
            test_log_of_an_earlier_life,
            test_rebuild_is_refused_where_it_would_lose_data,
        ],
        WATCHDOG_SECONDS,
    )
