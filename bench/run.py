#!/usr/bin/env python3
"""Figures side by side: same machine, same disk, one after the other, taking turns (A/B/A/B).

Two tables: one node beside redis-server, and three nodes beside redis-server with two replicas and
etcd with three members. Everything that acknowledges a write has synced it. Prints the tables and
writes bench/results/latest.md if nothing was left out.

    bench/run [--seconds 4] [--repeats 3] [--nodes 1|3] [--only TEXT] [--systems redis,etcd]

DOUGONG names another binary than build/dougong. For state on disk: bench/run state.
"""

import argparse
import base64
import json
import re
import shutil
import subprocess
import sys
import urllib.request

from lib import (
    FOLDER, KEYS, RESULTS, VALUE_BYTES, Cell, Dougong, Figures, RespSystem, Server, System,
    add_run_options, free_port, machine_lines, now_text, output_of, run_systems, run_together,
    shares, table, together,
)

RESULT = RESULTS / "latest.md"
NODES = 3
ETCD_KEY = b"key:000000000001"
ETCD_OTHER_KEY = b"key:000000000002"

ONE_NODE_CELLS = [
    Cell("SET, 1 client", "set", 1, 1, False),
    Cell("SET, 50 clients", "set", 50, 1, False),
    Cell("SET, 50 clients, pipeline 16", "set", 50, 16, False),
    Cell("GET, 50 clients", "get", 50, 1, False),
    Cell("INCR, 50 clients", "incr", 50, 1, False),
]
CLUSTER_CELLS = [
    *ONE_NODE_CELLS,
    Cell("SET, 50 clients over all nodes", "set", 50, 1, True),
]


class Redis(RespSystem):
    name = "redis"

    def start(self):
        program = shutil.which("redis-server") or "/usr/bin/redis-server"
        ports = [free_port() for _ in range(self.count)]
        for i, port in enumerate(ports):
            data = self.folder / str(i)
            data.mkdir()
            argv = [
                program,
                *f"--port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always".split(),
                "--save", "", "--dir", str(data),
            ]
            if i > 0:
                argv += ["--replicaof", "127.0.0.1", str(ports[0])]
            self.servers.append(Server(f"redis-{i}", port, argv))

    def is_ready(self):
        said = self.servers[0].ask(b"INFO replication\r\n")
        return said.count(b"state=online") == self.count - 1 and b"role:master" in said

    def can(self, cell):
        return not cell.is_spread  # replicas take no writes


def protobuf_bytes(field, value):
    """A length-delimited protobuf field; lengths below 16 KiB."""
    size = len(value)
    varint = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([field << 3 | 2]) + varint + value


def grpc_frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


class Etcd(System):
    """gRPC by h2load, which posts one body again and again: always the same key."""

    name = "etcd"
    calls = {"set": "Put", "get": "Range"}

    def start(self):
        ports = [(free_port(), free_port()) for _ in range(self.count)]
        members = ",".join(f"m{i}=http://127.0.0.1:{peer}" for i, (_, peer) in enumerate(ports))
        for i, (port, peer) in enumerate(ports):
            client_url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
            argv = [
                "etcd", "--name", f"m{i}", "--data-dir", str(self.folder / str(i)),
                "--listen-client-urls", client_url, "--advertise-client-urls", client_url,
                "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
                "--initial-cluster", members, "--initial-cluster-state", "new",
                "--logger", "zap", "--log-level", "error",
            ]
            self.servers.append(Server(f"etcd-{i}", port, argv))
        put = self.put(ETCD_KEY)
        puts = [protobuf_bytes(2, self.put(key)) for key in (ETCD_KEY, ETCD_OTHER_KEY)]
        txn = b"".join(protobuf_bytes(2, put) for put in puts)
        (self.folder / "Put").write_bytes(grpc_frame(put))
        (self.folder / "Txn").write_bytes(grpc_frame(txn))
        (self.folder / "Range").write_bytes(grpc_frame(protobuf_bytes(1, ETCD_KEY)))

    @staticmethod
    def put(key):
        return protobuf_bytes(1, key) + protobuf_bytes(2, b"x" * VALUE_BYTES)

    @staticmethod
    def call(server, path, body):
        """Over the JSON gateway of etcd; None if it does not answer."""
        url = f"http://127.0.0.1:{server.port}/v3/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=2) as reply:
                return json.load(reply)
        except (OSError, ValueError):
            return None

    def is_ready(self):
        """Once all know the leader (it becomes servers[0], where etcd is fastest) and it writes."""
        said = [self.call(s, "maintenance/status", {}) for s in self.servers]
        if not all(s and s.get("leader", "0") != "0" for s in said):
            return False
        leads = [s["header"]["member_id"] == s["leader"] for s in said]
        if leads.count(True) != 1:
            return False
        leader = self.servers[leads.index(True)]
        self.servers.sort(key=lambda s: s is not leader)
        pair = {"key": base64.b64encode(ETCD_KEY), "value": base64.b64encode(b"x" * VALUE_BYTES)}
        return self.call(leader, "kv/put", {k: v.decode() for k, v in pair.items()}) is not None

    def can(self, cell):
        return cell.test in self.calls

    def state(self):
        """(revision, whether the key is there with its value)."""
        key = base64.b64encode(ETCD_KEY).decode()
        said = self.call(self.servers[0], "kv/range", {"key": key})
        if said is None:
            raise RuntimeError("etcd does not answer")
        values = [base64.b64decode(pair["value"]) for pair in said.get("kvs", [])]
        return int(said["header"]["revision"]), values == [b"x" * VALUE_BYTES]

    def measure(self, cell, requests):
        """h2load does not look at the status of gRPC, so etcd's own counter is compared."""
        loads = shares(cell, self.servers)
        each = max(cell.clients * cell.pipeline, requests // len(loads))
        call = self.calls[cell.test]
        logs = [self.folder / f"h2load-{i}" for i in range(len(loads))]
        argvs = [
            [
                "h2load", "-n", str(each), "-c", str(clients), "-m", str(cell.pipeline),
                "-d", str(self.folder / call), "-H", "content-type: application/grpc",
                "-H", "te: trailers", "--log-file", str(log),
                f"http://127.0.0.1:{server.port}/etcdserverpb.KV/{call}",
            ]
            for (server, clients), log in zip(loads, logs)
        ]
        before = self.state()[0]
        texts = run_together(argvs)
        revision, is_there = self.state()
        if call != "Range" and revision - before != each * len(loads):
            raise RuntimeError(f"etcd made {revision - before} of {each * len(loads)} writes")
        if not is_there:
            raise RuntimeError("etcd does not have what was put")
        parts = [self.figures_of(text, log, each) for text, log in zip(texts, logs)]
        return together(parts, each)

    @staticmethod
    def figures_of(text, log, requests):
        rate = re.search(r"finished in [^,]+, ([0-9.]+) req/s", text)
        done = re.search(r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout", text)
        if rate is None or done is None or int(done[1]) != requests:
            raise RuntimeError(f"h2load: {text[-500:]}")
        times = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        log.unlink()
        if len(times) != requests:
            raise RuntimeError(f"h2load wrote {len(times)} of {requests} times")
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        return Figures(float(rate[1]), p50 / 1000, p99 / 1000)


def header(options, kinds):
    redis = output_of("redis-server", "--version").split(" sha=")[0]
    lines = [
        f"# Figures of {now_text()}",
        "",
        *machine_lines(),
        f"- redis: {redis}; `--appendonly yes --appendfsync always --save \"\"`; its replicas "
        "follow asynchronously: a reply does not wait for them",
        f"- client: redis-benchmark over loopback, values of {VALUE_BYTES} bytes, {KEYS} random "
        "keys, all clients on the first node (of redis the primary) unless said otherwise",
    ]
    if Etcd in kinds:
        lines += [
            f"- etcd: {output_of('etcd', '--version')}, defaults; every write is synced on a "
            "majority, reads are linearizable",
            f"- client of etcd: {output_of('h2load', '--version')}, gRPC KV/Put and KV/Range of "
            f"one key, values of {VALUE_BYTES} bytes, on its leader; pipeline 16 is 16 streams",
        ]
    return lines + [
        f"- about {options.seconds:g} s a run, {options.repeats} runs each, taking turns; medians; "
        "over all nodes: all requests by the time of the slowest client program, and the worst "
        "latencies",
    ]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_options(parser)
    parser.add_argument("--nodes", type=int, choices=(1, NODES), help="one of the two tables")
    parser.add_argument("--systems", default="redis,etcd,dougong", help="which, with commas")
    return parser.parse_args()


def main():
    options = arguments()
    kinds = [k for k in (Redis, Etcd, Dougong) if k.name in options.systems.split(",")]
    if Etcd in kinds and not (shutil.which("etcd") and shutil.which("h2load")):
        print("bench: without etcd; `tools/setup bench` installs it", file=sys.stderr)
        kinds.remove(Etcd)
    phases = [
        ("One node", 1, ONE_NODE_CELLS, [k for k in kinds if k is not Etcd]),
        ("Three nodes", NODES, CLUSTER_CELLS, kinds),
    ]
    is_whole = len(kinds) == 3 and not options.only and not options.nodes
    FOLDER.mkdir(parents=True, exist_ok=True)
    is_done = False
    try:
        lines = header(options, kinds)
        for title, count, cells, able in phases:
            cells = [c for c in cells if options.only.lower() in c.name.lower()]
            if cells and able and options.nodes in (None, count):
                lines += table(title, run_systems(able, count, cells, options), cells, able)
                is_done = True
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    if not is_done:
        sys.exit("bench: nothing to measure; see --help")

    text = "\n".join([*lines, ""])
    print(text)
    if is_whole:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
