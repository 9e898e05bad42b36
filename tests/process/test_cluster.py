#!/usr/bin/env python3
"""Three real nodes, sixteen groups: what was acknowledged survives, any node answers, failover.

SEED=n repeats the random choices of a run (not its timing). QUIET_SECONDS=n: length of the load
without faults.
"""

import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import threading
import time

from cluster import Cluster, write_until_ok
from lib import Client, ReplyError, check, check_eq, die_with_parent, run, seed, wait_until

QUIET_SECONDS = int(os.environ.get("QUIET_SECONDS", 60))
FAILOVER_ROUNDS = 5
FAILOVER_SECONDS_MAX = 10
WATCHDOG_SECONDS = 280
SEED = seed()


class Counter(threading.Thread):
    """INCRs keys of its own through a random living node; counts what was acknowledged."""

    def __init__(self, cluster, number, rng_seed):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.number = number
        self.rng = random.Random(rng_seed)
        self.acked = {}
        self.sent = {}
        self.wrong = None
        self.is_done = False

    def keys(self):
        return [f"count:{self.number}:{i}" for i in range(8)]

    def batch(self, client):
        keys = [self.rng.choice(self.keys()) for _ in range(self.rng.randint(1, 20))]
        for key in keys:
            self.sent[key] = self.sent.get(key, 0) + 1
        client.send(b"".join(client.encode("INCR", key) for key in keys))
        for key in keys:
            reply = client.read()
            if isinstance(reply, int):
                if reply <= self.acked.get(key, 0):
                    self.wrong = f"{key}: {reply} after {self.acked[key]}"
                self.acked[key] = reply
            elif reply.startswith("CLUSTERDOWN"):
                self.sent[key] -= 1  # certainly not executed
            elif not reply.startswith("UNKNOWNRESULT"):
                self.wrong = f"{key}: {reply!r}"

    def run(self):
        while not self.is_done and self.wrong is None:
            try:
                node = self.rng.choice(self.cluster.nodes)
                with Client(node.port, 15.0) as client:
                    for _ in range(self.rng.randint(1, 30)):
                        if self.is_done or self.wrong:
                            break
                        self.batch(client)
            except (OSError, EOFError):
                time.sleep(0.01)

    def finish(self):
        self.is_done = True
        self.join(30)
        check(not self.is_alive(), "a client hangs")
        check(self.wrong is None, self.wrong)


def start_counters(cluster, rng, count=8):
    counters = [Counter(cluster, i, rng.randrange(1 << 60)) for i in range(count)]
    for counter in counters:
        counter.start()
    return counters


def check_counters(cluster, counters):
    total = 0
    for counter in counters:
        for key in counter.keys():
            values = set()
            for node in cluster.living():
                with node.client() as client:
                    values.add(int(client.call("GET", key) or 0))
            check_eq(len(values), 1, f"{key} on all nodes {values}")
            value = values.pop()
            low, high = counter.acked.get(key, 0), counter.sent.get(key, 0)
            check(low <= value <= high, f"{key}: {value}, acknowledged {low}, sent {high}")
            total += low
    return total


def test_any_node_any_key():
    cluster = Cluster().start()
    with cluster.nodes[0].client() as a, cluster.nodes[2].client() as c:
        for group, key in cluster.keys.items():
            check_eq(a.call("SET", key, f"value {group}"), "OK", f"SET {key}")
            check_eq(c.call("GET", key), f"value {group}".encode(), f"GET {key} elsewhere")
        keys = list(cluster.keys.values())
        wanted = [f"value {group}".encode() for group in cluster.keys]
        check_eq(c.call("MGET", *keys, "none"), wanted + [None], "MGET over all groups")
        check_eq(a.call("EXISTS", *keys, "none", keys[0]), len(keys) + 1, "EXISTS over all groups")
        check_eq(a.call("DEL", *keys[:2], "none"), 2, "DEL over groups")
        check_eq(c.call("MGET", *keys[:3]), [None, None, wanted[2]], "two are gone")
        replies = a.pipeline([("INCR", f"p:{i % 40}") for i in range(2000)])
        check_eq(replies, [i // 40 + 1 for i in range(2000)], "a pipeline over all groups, in order")
    check_eq(cluster.stop_all(), [0, 0, 0], "exit status")


def test_death_of_one_and_of_all():
    rng = random.Random(SEED)
    cluster = Cluster().start()
    counters = start_counters(cluster, rng)
    for _ in range(3):
        victim = rng.choice(cluster.nodes)
        time.sleep(rng.uniform(0.3, 1.0))
        victim.kill()
        time.sleep(rng.uniform(0.3, 2.0))
        victim.spawn()
    for _ in range(2):
        time.sleep(rng.uniform(0.3, 1.0))
        cluster.kill_all()
        cluster.spawn()
        cluster.wait_ready()
    time.sleep(0.5)
    for counter in counters:
        counter.finish()
    print(f"    {check_counters(cluster, counters)} acknowledged increments, none lost, none doubled")


def test_failover():
    cluster = Cluster().start()
    took = []
    for round_number in range(FAILOVER_ROUNDS):
        wait_until(lambda: len(cluster.leaders()) == cluster.groups + 1, 20, "all groups have leaders")
        leaders = list(cluster.leaders().values())
        victim = cluster.nodes[max(set(leaders), key=leaders.count) - 1]
        other = next(node for node in cluster.nodes if node is not victim)
        ends = {}

        def probe(group, key):
            ends[group] = write_until_ok(other.port, key, str(round_number), time.monotonic() + 30)

        victim.kill()
        killed = time.monotonic()
        probes = [threading.Thread(target=probe, args=item) for item in cluster.keys.items()]
        for thread in probes:
            thread.start()
        for thread in probes:
            thread.join(40)
        check_eq(len(ends), cluster.groups, "groups that answered")
        check(None not in ends.values(), f"groups without a write: {ends}")
        took.append(max(ends.values()) - killed)
        victim.spawn()
        cluster.wait_ready()
    worst, median = max(took), statistics.median(took)
    print(f"    writes to every group after a kill -9: median of {len(took)} {median:.2f} s, "
          f"worst {worst:.2f} s")
    check(worst <= FAILOVER_SECONDS_MAX, f"failover took {worst:.2f} s")


def test_wiped_founder_is_refused():
    cluster = Cluster(groups=4).start()
    victim = cluster.nodes[1]
    with cluster.nodes[0].client() as client:
        check_eq(client.call("SET", "k", "v"), "OK", "SET")
    victim.kill()
    shutil.rmtree(victim.data)
    victim.spawn()
    status = victim.wait(20)
    check(status not in (0, None), f"a wiped founder ended with {status}")
    check("--join" in victim.said(), f"it does not name --join: {victim.said()}")
    for node in cluster.living():
        with node.client() as client:
            check_eq(client.call("GET", "k"), b"v", "the others go on")
    # With a second one gone nobody has a majority, and the wiped one must not make one.
    cluster.nodes[2].kill()
    victim.spawn()
    status = victim.wait(20)
    check(status not in (0, None), f"a wiped founder ended with {status}")
    with cluster.nodes[0].client(30) as client:
        reply = client.call("SET", "k", "w")
        check(isinstance(reply, ReplyError), f"a write without a majority: {reply!r}")


def test_other_flags_are_refused():
    cluster = Cluster(groups=4).start()
    node = cluster.nodes[0]
    check_eq(node.stop(), 0, "exit status")
    cluster.groups = 5
    node.spawn()
    check(node.wait(20) not in (0, None), "another number of groups was accepted")
    check("4" in node.said() and "5" in node.said(), f"both values are named: {node.said()}")
    cluster.groups = 4
    node.start()


class Benchmarks:
    """redis-benchmark at every node, all they can take, until stop()."""

    def __init__(self, cluster):
        words = "-c 50 -n 100000000 -r 100000 -d 128 -t set -q".split()
        self.processes = [
            subprocess.Popen(
                ["redis-benchmark", "-p", str(node.port), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent,
            )
            for node in cluster.nodes
        ]

    def stop(self):
        for process in self.processes:
            check(process.poll() is None, "redis-benchmark gave up: it met an error")
            process.kill()
            process.wait()


def test_no_elections_under_load():
    cluster = Cluster().start()
    wait_until(lambda: len(cluster.leaders()) == cluster.groups + 1, 20, "all groups have leaders")
    time.sleep(1)
    before = {node.number: cluster.terms(node) for node in cluster.nodes}
    load = Benchmarks(cluster)
    counters = start_counters(cluster, random.Random(SEED), 2)
    time.sleep(QUIET_SECONDS)
    for counter in counters:
        counter.finish()
    load.stop()
    after = {node.number: cluster.terms(node) for node in cluster.nodes}
    applied = sum(row["applied"] for row in cluster.rows(cluster.nodes[0], "GROUPS"))
    print(f"    {applied} log entries in {QUIET_SECONDS} s, {check_counters(cluster, counters)} increments")
    check_eq(after, before, "terms after the load")


def test_deep_pipeline_of_reads_elsewhere():
    """What does not fit a turn of the leader's must not cost its length squared at the gateway."""
    cluster = Cluster().start()
    leader = cluster.leaders()[1]
    gateway = next(node for node in cluster.nodes if node.number != leader)
    with gateway.client() as busy, gateway.client() as other:
        busy.call("SET", cluster.keys[1], b"v" * 100000)
        terms = cluster.terms(gateway)
        sender = threading.Thread(
            target=busy.send, args=(Client.encode("GET", cluster.keys[1]) * 8000,)
        )
        sender.start()
        slowest = 0
        for _ in range(8000):
            busy.read()
            if _ % 200 == 0:
                started = time.monotonic()
                other.call("PING")
                slowest = max(slowest, time.monotonic() - started)
        sender.join()
        check(slowest < 0.5, f"the gateway stood still for {slowest:.1f} s")
        check_eq(cluster.terms(gateway), terms, "terms")
    check(cluster.stop_all() == [0, 0, 0], "exit status")


def test_stop_tells_what_is_undecided():
    """DUP-7: also when the time-out of requests is longer than a stop may take."""
    cluster = Cluster(more=["--request-timeout", "60000"]).start()
    node = cluster.nodes[0]
    group = next(g for g, n in cluster.leaders().items() if g and n == node.number)
    others = cluster.nodes[1:]
    for other in others:
        other.process.send_signal(signal.SIGSTOP)
    try:
        with node.client() as client:
            client.send(Client.encode("SET", cluster.keys[group], "v"))
            time.sleep(0.2)
            node.process.send_signal(signal.SIGTERM)
            reply = client.read()
            check(str(reply).startswith("UNKNOWNRESULT"), f"reply: {reply}")
        check_eq(node.wait(), 0, "exit status")
    finally:
        for other in others:
            other.process.send_signal(signal.SIGCONT)
    cluster.kill_all()


def test_clients_leave_room_for_nodes():
    """Clients that take all connections of a node must not keep the other nodes out."""
    cluster = Cluster().start()
    first, last = cluster.nodes[0], cluster.nodes[2]
    check_eq(last.stop(), 0, "exit status")
    words = last.argv()
    last.argv = lambda: ["prlimit", "--nofile=200:200", *words]
    last.spawn()
    cluster.wait_ready()
    idle = [socket.create_connection(("127.0.0.1", last.port)) for _ in range(90)]
    first.process.kill()
    first.process.wait()
    first.spawn()
    cluster.wait_ready([first])
    wait_until(
        lambda: all(row["connected"] for row in cluster.rows(first, "NODES")),
        10,
        "the full node lets another node in",
    )
    for s in idle:
        s.close()
    cluster.kill_all()


def test_garbage_on_the_peer_port():
    cluster = Cluster(groups=2).start()
    node = cluster.nodes[0]
    rng = random.Random(SEED)
    before = node.memory_bytes()
    for attempt in range(200):
        with socket.create_connection(("127.0.0.1", node.port + 10000), 5) as s:
            s.settimeout(10)
            kind = attempt % 4
            try:
                if kind == 0:
                    s.sendall(rng.randbytes(rng.randint(1, 5000)))
                elif kind == 1:
                    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                elif kind == 2:
                    s.sendall(b"DGONGPER" + b"\xff" * 4096)
                else:
                    s.sendall(b"*1\r\n$4\r\nPING\r\n" * 100)
                while s.recv(65536):
                    pass
            except (ConnectionError, TimeoutError):
                pass
    grown = node.memory_bytes() - before
    check(grown < 32 << 20, f"memory grew by {grown} bytes")
    check(cluster.takes_writes(node), "the node still serves")


def test_minority_refuses():
    cluster = Cluster(groups=4, more=["--request-timeout", "1000"]).start()
    cluster.nodes[1].kill()
    cluster.nodes[2].kill()
    with cluster.nodes[0].client(30) as client:
        for command in (("SET", "k", "v"), ("GET", "k")):
            reply = client.call(*command)
            check(isinstance(reply, ReplyError), f"{command}: {reply!r}")
        check(client.call("GET", "k").startswith("CLUSTERDOWN"), "a read says that nothing was done")
    cluster.nodes[1].spawn()
    cluster.wait_ready(cluster.nodes[:2])


if __name__ == "__main__":
    run(
        [
            test_any_node_any_key,
            test_death_of_one_and_of_all,
            test_failover,
            test_wiped_founder_is_refused,
            test_other_flags_are_refused,
            test_deep_pipeline_of_reads_elsewhere,
            test_stop_tells_what_is_undecided,
            test_clients_leave_room_for_nodes,
            test_garbage_on_the_peer_port,
            test_minority_refuses,
            test_no_elections_under_load,
        ],
        WATCHDOG_SECONDS,
    )
