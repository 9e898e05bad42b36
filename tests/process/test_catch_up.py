#!/usr/bin/env python3
"""A node that was away for long comes back by snapshots, under load; the others do not keep all of
the log for it."""

import re
import subprocess
import time

from cluster import Cluster
from lib import check, check_eq, die_with_parent, run, wait_until
from load import Load, info

MIB = 1 << 20
WRITES = 100_000
VALUE_BYTES = 1000  # so that what the others keep of it in memory is not enough
LOG_MIB = 32
LOG_BYTES_MAX = 2 * LOG_MIB * MIB  # with what is written while older ones are made superfluous
WRITE_SECONDS = 90
CATCH_UP_SECONDS = 60
WATCHDOG_SECONDS = 200


def write_many(port):
    """Random keys, so that old values die; acknowledged, all of them."""
    words = f"-n {WRITES} -r 20000 -d {VALUE_BYTES} -c 50 -P 4 -t set -q".split()
    done = subprocess.run(["redis-benchmark", "-p", str(port), *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=WRITE_SECONDS,
                          preexec_fn=die_with_parent)
    check(done.returncode == 0 and "rror" not in done.stdout + done.stderr,
          f"redis-benchmark: {done.stdout[-300:]} {done.stderr[-300:]}")
    rate = re.search(r"([0-9.]+) requests per second", done.stdout)
    return float(rate[1]) if rate else 0.0


def applied(cluster, node):
    return {row["group"]: row["applied"] for row in cluster.rows(node, "GROUPS")}


def test_a_node_that_missed_much_catches_up():
    cluster = Cluster(more=["--log-size", f"{LOG_MIB}mb"]).start()
    first, second, away = cluster.nodes
    load = Load([first, second], value_bytes=500, keys=3000)
    load.start()
    load.wait_writes(1000, 20)
    away.kill()
    rate = write_many(first.port)
    for node in (first, second):
        facts = info(node)
        print(f"    node {node.number}: {facts['log_segments']} segments, "
              f"{facts['log_disk_bytes'] / MIB:.0f} MiB of log, "
              f"{facts['store_disk_bytes'] / MIB:.0f} MiB of state, "
              f"{node.memory_bytes() / MIB:.0f} MiB of memory")
        check(facts["log_disk_bytes"] <= LOG_BYTES_MAX, f"{facts['log_disk_bytes']} bytes of log")

    before = load.count
    away.spawn()
    wait_until(lambda: cluster.takes_writes(away), 30, "it is back")
    target = applied(cluster, first)
    started = time.monotonic()

    def has_all():
        own = applied(cluster, away)
        return all((own[g] or 0) >= index for g, index in target.items())

    wait_until(has_all, CATCH_UP_SECONDS, "it has caught up")
    facts = info(away)
    print(f"    away for {WRITES} writes of {VALUE_BYTES} bytes ({rate:.0f}/s); caught up in "
          f"{time.monotonic() - started:.1f} s with {facts['snapshots_taken']} snapshots, "
          f"{load.count - before} writes meanwhile")
    check(facts["snapshots_taken"] > 0, "no snapshot was taken")
    check(load.count > before, "writes stood still while it caught up")
    first.kill()  # the one that was away is needed now
    cluster.wait_ready([second, away])
    load.finish()
    load.verify(away, "after it caught up")
    first.spawn()
    cluster.wait_ready()
    check_eq(cluster.stop_all(), [0, 0, 0], "exit status")


if __name__ == "__main__":
    run([test_a_node_that_missed_much_catches_up], WATCHDOG_SECONDS)
