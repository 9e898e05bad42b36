"""The two sides: a redis-server with the limits of Dougong, and what is compared with it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "process"))

import lib  # noqa: E402
from cluster import Cluster  # noqa: E402

NODES = 3
GROUPS = 16
# A value may have 64 MiB in Dougong (LIMIT_VALUE_BYTES); with that the reference agrees.
REDIS_OPTIONS = "--appendonly no --proto-max-bulk-len 64mb --enable-debug-command yes".split()


class Redis(lib.Server):
    def __init__(self, more=()):
        super().__init__(binary=lib.REDIS, redis_options=[*REDIS_OPTIONS, *more])

    def ports(self):
        return [self.port]


class Dougong:
    def __init__(self):
        self.cluster = Cluster(NODES, GROUPS)

    def start(self):
        self.cluster.start()
        return self

    def ports(self):
        return [node.port for node in self.cluster.nodes]

    def said(self):
        return "\n".join(node.said()[-600:] for node in self.cluster.nodes)


class Running:
    """Servers that were started by hand, for a quick look: 127.0.0.1:PORT,PORT..."""

    def __init__(self, ports):
        self.known_ports = ports

    def start(self):
        return self

    def ports(self):
        return self.known_ports

    def said(self):
        return ""


def clean_up():
    lib.clean_up()
