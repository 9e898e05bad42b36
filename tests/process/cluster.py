"""A cluster of real processes on this machine, for the process tests."""

import socket
import time

from lib import START_SECONDS, Client, ReplyError, Server, check, free_port, wait_until

SLOTS = 16384


def free_port_pair():
    """A client port whose port 10000 higher is free, too."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 10000))
                return port
            except OSError:
                continue


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def group_of(key, groups):
    return 1 + crc16(key.encode()) % SLOTS * groups // SLOTS


def keys_of_all_groups(groups, prefix="key"):
    """One key for each group: {group: key}."""
    found = {}
    number = 0
    while len(found) < groups:
        key = f"{prefix}:{number}"
        found.setdefault(group_of(key, groups), key)
        number += 1
    return found


class Node(Server):
    def __init__(self, cluster, number, port):
        super().__init__()
        self.cluster = cluster
        self.number = number
        self.port = port

    def argv(self):
        words = [
            self.binary, "server", "--data", self.data,
            "--listen", f"127.0.0.1:{self.port}",
            "--peer", f"127.0.0.1:{self.port + 10000}",
            "--cluster", ",".join(f"127.0.0.1:{n.port + 10000}" for n in self.cluster.nodes),
            "--groups", str(self.cluster.groups),
        ]
        return words + self.cluster.more


class Cluster:
    """Founders with the same list. start() returns when every group takes a write."""

    def __init__(self, count=3, groups=16, more=()):
        self.groups = groups
        self.more = list(more)
        self.nodes = []
        self.nodes += [Node(self, i + 1, free_port_pair()) for i in range(count)]
        self.keys = keys_of_all_groups(groups)

    def spawn(self):
        for node in self.nodes:
            node.spawn()

    def start(self):
        self.spawn()
        self.wait_ready()
        return self

    def wait_ready(self, nodes=None, seconds=START_SECONDS):
        for node in nodes or self.nodes:
            wait_until(lambda: self.takes_writes(node), seconds, f"node {node.number} takes writes")

    def takes_writes(self, node):
        check(node.is_running(), f"node {node.number} ended: {node.said()}")
        try:
            with Client(node.port, 10.0) as client:
                replies = client.pipeline([("SET", key, "ready") for key in self.keys.values()])
                return all(reply == "OK" for reply in replies)
        except (OSError, EOFError):
            return False

    def rows(self, node, what):
        """DOUGONG NODES or GROUPS as a list of dictionaries."""
        with node.client() as client:
            reply = client.call("DOUGONG", what)
        check(not isinstance(reply, ReplyError), f"DOUGONG {what}: {reply}")
        return [as_dict(row) for row in reply]

    def leaders(self, node=None):
        """{group: node number}, as one node sees it, of the groups with a known leader."""
        rows = self.rows(node or self.living()[0], "GROUPS")
        return {row["group"]: row["leader"] for row in rows if row["leader"]}

    def terms(self, node=None):
        return {row["group"]: row["term"] for row in self.rows(node or self.living()[0], "GROUPS")}

    def living(self):
        return [node for node in self.nodes if node.is_running()]

    def kill_all(self):
        for node in self.nodes:
            if node.is_running():
                node.process.kill()
        for node in self.nodes:
            node.process.wait(START_SECONDS)

    def stop_all(self):
        return [node.stop() for node in self.living()]


def as_dict(flat):
    names = [name.decode() for name in flat[::2]]
    return dict(zip(names, flat[1::2]))


def write_until_ok(port, key, value, until):
    """Writes one key, again and again, until it is acknowledged; seconds since the epoch then."""
    while time.monotonic() < until:
        try:
            with Client(port, 10.0) as client:
                if client.call("SET", key, value) == "OK":
                    return time.monotonic()
        except (OSError, EOFError):
            pass
        time.sleep(0.005)
    return None
