#!/usr/bin/env python3
"""The verbs people type: a cluster on one machine, and the questions about it."""

import binascii
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading

from lib import (BINARY, Client, Server, check, check_eq, free_port, run, shorten, temp_dir,
                 wait_until)

WATCHDOG_SECONDS = 280
QUERY_SECONDS = 30
READY_SECONDS = 40
SETTLE_SECONDS = 20
STOP_SECONDS = 30
PEER_DISTANCE = 10000
GROUPS = 16
SLOTS = 16384
VERBS = ["status", "nodes", "groups", "locate"]


# ---- what the tests share ------------------------------------------------------------------------


def dougong(*args):
    """Runs the program to its end: (exit status, stdout, stderr)."""
    done = subprocess.run([BINARY, *args], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=QUERY_SECONDS)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def query(port, verb, *args):
    """One of the questions; it must be answered."""
    status, out, complaint = dougong(verb, "--connect", f"127.0.0.1:{port}", *args)
    check_eq(status, 0, f"exit status of {verb} ({complaint})")
    check_eq(complaint, "", f"stderr of {verb}")
    return out.decode()


def query_json(port, verb, *args):
    out = query(port, verb, "--json", *args)
    check_eq(out.count("\n"), 1, f"lines of {verb} --json")
    return json.loads(out)


def rows(table):
    """The lines of a table as dictionaries; blanks within a cell are not expected."""
    header, *lines = [line.split() for line in table.splitlines()]
    for line in lines:
        check_eq(len(line), len(header), f"cells in {line} under {header}")
    return [dict(zip(header, line)) for line in lines]


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_ports(count):
    """The first of so many free ports in a row, whose peer ports are free too."""
    for _ in range(100):
        first = random.SystemRandom().randrange(20000, 30000)
        wanted = [first + i + d for i in range(count) for d in (0, PEER_DISTANCE)]
        if all(is_free(port) for port in wanted):
            return first
    raise RuntimeError("no free ports found")


def is_alive(pid):
    """While any of its threads is there: the first one may be a zombie, and the ports are taken yet."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] not in ("Z", "X"):
                    return True
    except (FileNotFoundError, ProcessLookupError):
        return os.path.exists(f"/proc/{pid}") and is_alive(pid)
    return False


def children_of(pid):
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return sorted(found)


class Local(Server):
    """`dougong local` and the nodes it starts."""

    def __init__(self, nodes=3, data=None, port=None):
        super().__init__(data=data or os.path.join(temp_dir(), "cluster"))
        self.nodes = nodes
        self.port = port or free_ports(nodes)
        self.pids = []

    def argv(self):
        words = f"local --nodes {self.nodes} --port {self.port} --groups {GROUPS} --data"
        return [BINARY, *words.split(), self.data]

    def said(self):
        """All of it, where the other tests need the end only."""
        with open(self.output, "rb") as out:
            return out.read().decode(errors="replace").strip()

    def ports(self):
        return range(self.port, self.port + self.nodes)

    def start(self):
        self.spawn()
        wait_until(lambda: "Ctrl-C" in self.said() or not self.is_running(), READY_SECONDS,
                   "the nodes are named")
        # A child is `dougong local` too until it becomes a node; its id stays.
        self.pids = children_of(self.process.pid)
        return self

    def wait_ready(self):
        wait_until(lambda: "\nready: " in self.said() or not self.is_running(), READY_SECONDS,
                   f"the cluster is ready; it said {self.said()}")
        check(self.is_running(), f"local ended: {self.said()}")
        return self

    def node_pid(self, number):
        """By the data directory on its command line."""
        wanted = os.path.join(self.data, str(number)).encode()
        for pid in filter(is_alive, self.pids):
            with open(f"/proc/{pid}/cmdline", "rb") as line:
                if wanted in line.read().split(b"\0"):
                    return pid
        raise AssertionError(f"node {number} does not run")

    def end_with(self, signal_number):
        self.process.send_signal(signal_number)
        return self.wait(STOP_SECONDS)

    def check_all_gone(self):
        check_eq(len(self.pids), self.nodes, "processes that were started")
        wait_until(lambda: not any(map(is_alive, self.pids)), SETTLE_SECONDS, "no node is left")
        for port in self.ports():
            check(is_free(port), f"port {port} is still taken")


class FakeNode:
    """Answers every connection with the same bytes once it heard a DOUGONG command."""

    HELLO = b"%1\r\n+proto\r\n:3\r\n"

    def __init__(self, answer, hello=HELLO):
        self.answer = hello + answer
        self.heard = b""
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(QUERY_SECONDS)
                self.heard = b""
                while b"DOUGONG" not in self.heard:
                    data = connection.recv(1 << 16)
                    if not data:
                        break
                    self.heard += data
                connection.sendall(self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


# ---- words ---------------------------------------------------------------------------------------


def test_help_names_every_verb_and_option():
    for args in [["--help"], ["server", "--help"], ["local", "--help"], ["locate", "--help"]]:
        status, out, complaint = dougong(*args)
        check_eq((status, complaint), (0, ""), f"{args}")
        for word in ["server", "local", *VERBS, "--data", "--listen", "--cluster", "--peer",
                     "--groups", "--request-timeout", "--election-timeout", "--buffer-memory",
                     "--insecure", "--nodes", "--port", "--connect", "--json", "Exit status"]:
            check(word in out.decode(), f"{args} does not name {word}")
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, "--help"], stdout=full, timeout=QUERY_SECONDS)
    check_eq(done.returncode, 1, "exit status of --help without room to write")


def test_wrong_arguments():
    cases = [
        ([], "dougong --help"),
        (["nosuch"], "nosuch: unknown verb"),
        (["local"], "--data DIR is required"),
        (["local", "--data"], "--data needs a value"),
        (["local", "--data", "d", "--nodes", "0"], "from 1 to 16"),
        (["local", "--data", "d", "--nodes", "17"], "from 1 to 16"),
        (["local", "--data", "d", "--port", "55534"], "over 65535"),
        (["local", "--data", "d", "--listen", "127.0.0.1:1"], "unknown option"),
        (["status", "--connect"], "--connect needs a value"),
        (["status", "--connect", "7379"], "HOST:PORT"),
        (["status", "key"], "unknown option"),
        (["nodes", "--nosuch"], "unknown option"),
        (["locate"], "KEY is required"),
        (["locate", "a", "b"], "one key only"),
        (["locate", "k" * 65537], "65536 bytes"),
        (["server", "--data", "d", "--groups", "0"], "from 1 to 1024"),
        (["server", "--data", "d", "--peer", "127.0.0.1:1"], "--cluster"),
        (["server", "--data", "d", "--cluster", "127.0.0.1:1"], "127.0.0.1:17379"),
        (["server", "--data", "d", "--cluster", "10.0.0.1:1", "--peer", "10.0.0.1:1"],
         "--insecure"),
        (["server", "--data", "d", "--listen", "127.0.0.1:60000", "--cluster", "a:1"],
         "over 65535"),
    ]
    for args, hint in cases:
        status, out, complaint = dougong(*args)
        check_eq((status, out), (2, b""), f"{shorten(args)}: {complaint}")
        check(complaint.startswith("dougong: ") and complaint.count("\n") == 1,
              f"{shorten(args)}: not one line: {complaint!r}")
        check(hint in complaint, f"{shorten(args)}: {complaint!r} does not say {hint!r}")
    check(not os.path.exists("d"), "a directory was made")


# ---- questions, to a node that says whatever the test wants ----------------------------------------


def test_questions_reach_the_node():
    with FakeNode(b"%0\r\n") as node:
        for verb in VERBS:
            key = [b"a \xff\n"] if verb == "locate" else []
            query(node.port, verb, *[os.fsdecode(word) for word in key])
            wanted = Client.encode("HELLO", "3") + Client.encode("DOUGONG", verb.upper(), *key)
            check_eq(node.heard, wanted, f"what {verb} sends")
        query_json(node.port, "locate", "--", "--json")
        check_eq(node.heard, Client.encode("HELLO", "3") +
                 Client.encode("DOUGONG", "LOCATE", "--json"), "a key that looks like an option")


def test_tables_and_json_of_an_answer():
    answer = (b"*2\r\n%3\r\n+node\r\n:1\r\n+client\r\n" + bulk(b"127.0.0.1:7379") +
              b"+self\r\n#t\r\n%3\r\n+node\r\n:12\r\n+client\r\n" + bulk(b"") + b"+self\r\n#f\r\n")
    with FakeNode(answer) as node:
        check_eq(query(node.port, "nodes"),
                 "NODE  CLIENT          SELF\n"
                 "1     127.0.0.1:7379  yes\n"
                 "12    -               no\n", "the table")
        check_eq(query_json(node.port, "nodes"),
                 [{"node": 1, "client": "127.0.0.1:7379", "self": True},
                  {"node": 12, "client": "", "self": False}], "the JSON")
    text = b'a\xff"\\\n\x00\x1b[2J\xc3\xa9'
    with FakeNode(b"%2\r\n+key\r\n" + bulk(text) + b"+leader\r\n_\r\n") as node:
        found = query_json(node.port, "locate", "k")
        check_eq(found, {"key": 'a\xff"\\\n\0\x1b[2J\xe9', "leader": None}, "hostile text")
        check_eq(query(node.port, "locate", "k"),
                 "FIELD   VALUE\n"
                 'key     a\\xff"\\\\x0a\\x00\\x1b[2J\xe9\n'
                 "leader  -\n", "hostile text in a table")


def test_failed_questions_are_one_line():
    closed = free_port()
    with FakeNode(b"-ERR unknown command 'DOUGONG'\r\n") as redis, \
            FakeNode(b"", b"-NOPROTO unsupported protocol\r\n-ERR x\r\n") as old, \
            FakeNode(b"", b"HTTP/1.1 400 Bad Request\r\n\r\n") as http, \
            FakeNode(b"%2\r\n+a\r\n:1\r\n") as short, \
            FakeNode(b"+OK\r\n") as simple, \
            FakeNode(b"", b"") as silent:
        cases = [
            (f"127.0.0.1:{closed}", "refused; is a node running there?"),
            (f"127.0.0.1:{redis.port}", "is it a dougong node"),
            (f"127.0.0.1:{old.port}", "does not speak RESP3"),
            (f"127.0.0.1:{http.port}", "is that the port for clients"),
            (f"127.0.0.1:{short.port}", "closed the connection"),
            (f"127.0.0.1:{simple.port}", "cannot be shown"),
            (f"127.0.0.1:{silent.port}", "closed the connection"),
            ("nosuch.invalid:1", "--connect HOST:PORT"),
        ]
        for address, hint in cases:
            status, out, complaint = dougong("status", "--connect", address)
            check_eq((status, out), (1, b""), f"{hint}: {complaint}")
            check(complaint.startswith("dougong: ") and complaint.count("\n") == 1,
                  f"not one line: {complaint!r}")
            check(hint in complaint, f"{complaint!r} does not say {hint!r}")


def test_a_mute_node_is_not_waited_for_long():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        status, _, complaint = dougong("status", "--connect", f"127.0.0.1:{port}")
        check_eq(status, 1, "exit status")
        check("no answer in time" in complaint, complaint)


# ---- a cluster -----------------------------------------------------------------------------------


def slot_of(key):
    return binascii.crc_hqx(key, 0) % SLOTS


def check_status(cluster):
    ids = set()
    for number, port in enumerate(cluster.ports(), 1):
        wait_until(lambda: query_json(port, "status")["healthy"] is True, SETTLE_SECONDS,
                   f"node {number} says that the cluster is healthy")
        status = query_json(port, "status")
        ids.add(status["cluster_id"])
        check_eq((status["node"], status["nodes"], status["groups"], status["formed"],
                  status["groups_without_leader"]),
                 (number, cluster.nodes, GROUPS + 1, True, 0), f"status of node {number}")
        lines = {row["FIELD"]: row["VALUE"] for row in rows(query(port, "status"))}
        check_eq(lines.keys(), status.keys(), "fields of the table and of the JSON")
        check_eq((lines["node"], lines["formed"]), (str(number), "yes"), "the table")
    check_eq(len(ids), 1, "cluster ids")
    check(re.fullmatch(r"[0-9a-f]{32}", ids.pop()), "the cluster id is not hexadecimal")


def check_nodes(cluster):
    for number, port in enumerate(cluster.ports(), 1):
        nodes = query_json(port, "nodes")
        check_eq([n["node"] for n in nodes], list(range(1, cluster.nodes + 1)), "nodes")
        check_eq([n["self"] for n in nodes], [n["node"] == number for n in nodes], "self")
        check_eq([n["connected"] for n in nodes], [True] * cluster.nodes, "connected")
        check_eq([n["peer"] for n in nodes],
                 [f"127.0.0.1:{p + PEER_DISTANCE}" for p in cluster.ports()], "peer addresses")
        check_eq([n["replicas"] for n in nodes], [GROUPS + 1] * cluster.nodes, "replicas")
        check_eq([row["NODE"] for row in rows(query(port, "nodes"))],
                 [str(n["node"]) for n in nodes], "nodes in the table")


def check_groups(cluster):
    everyone = list(range(1, cluster.nodes + 1))
    for port in cluster.ports():
        groups = query_json(port, "groups")
        check_eq([g["group"] for g in groups], list(range(GROUPS + 1)), "groups")
        check_eq(groups[0]["slots"], "", "slots of the metadata group")
        at = 0
        for group in groups[1:]:
            first, last = map(int, group["slots"].split("-"))
            check_eq(first, at, f"first slot of group {group['group']}")
            at = last + 1
        check_eq(at, SLOTS, "slots of all groups")
        for group in groups:
            check_eq(sorted(group["replicas"]), everyone, "replicas")
            check(group["leader"] in everyone, f"a group without a leader: {group}")
            check(group["here"] is True and group["term"] > 0, f"not here: {group}")
            check(group["applied"] <= group["commit"], f"applied before it was committed: {group}")
        check_eq(len(rows(query(port, "groups"))), GROUPS + 1, "lines of the table")


def check_locate(cluster):
    for key in ["foo", "{user}:1", "", "a\nb", "\u6597"]:
        data = key.encode()
        slot = slot_of(b"user" if key == "{user}:1" else data)
        for port in cluster.ports():
            place = query_json(port, "locate", key)
            check_eq((place["key"], place["slot"]), (key, slot), "place")
            group = query_json(port, "groups")[place["group"]]
            first, last = map(int, group["slots"].split("-"))
            check(first <= slot <= last, f"slot {slot} is not in group {group}")
            check_eq(place["replicas"], group["replicas"], "replicas")
    fields = {row["FIELD"]: row["VALUE"] for row in rows(query(cluster.port, "locate", "foo"))}
    check_eq((fields["key"], fields["slot"]), ("foo", str(slot_of(b"foo"))), "the table")


def test_local_answers_on_every_node():
    cluster = Local().start().wait_ready()
    said = cluster.said()
    for number, port in enumerate(cluster.ports(), 1):
        data = os.path.join(cluster.data, str(number))
        for text in [f"127.0.0.1:{port} ", f"127.0.0.1:{port + PEER_DISTANCE} ", f"{data}, ",
                     f"{data}.log"]:
            check(text in said, f"local does not say {text}: {said}")
        check(os.path.getsize(data + ".log") > 0, f"{data}.log is empty")
    check(f"redis-cli -p {cluster.port}" in said, f"no hint what to type: {said}")
    clients = [Client(port) for port in cluster.ports()]
    for client in clients:
        check_eq(client.call("PING"), "PONG", "PING")
    for i in range(64):
        check_eq(clients[i % 3].call("SET", f"key:{i}", i), "OK", f"SET key:{i}")
    for i in range(64):
        check_eq(clients[(i + 1) % 3].call("GET", f"key:{i}"), b"%d" % i, f"GET key:{i}")
    for ask in (check_status, check_nodes, check_groups, check_locate):
        ask(cluster)
    check_eq(cluster.end_with(signal.SIGINT), 0, f"exit status; it said {cluster.said()}")
    check_eq(cluster.said().splitlines()[-1], "stopped", "the last line")
    cluster.check_all_gone()


def test_local_starts_again_on_its_data():
    first = Local().start().wait_ready()
    with Client(first.port) as client:
        check_eq(client.call("SET", "k", "v"), "OK", "SET")
    status = query_json(first.port, "status")
    check_eq(first.end_with(signal.SIGTERM), 0, f"exit status; it said {first.said()}")
    first.check_all_gone()
    again = Local(data=first.data, port=first.port).start().wait_ready()
    for port in again.ports():
        with Client(port) as client:
            check_eq(client.call("GET", "k"), b"v", "GET")
    check_eq(query_json(again.port, "status")["cluster_id"], status["cluster_id"], "cluster id")
    check_eq(again.end_with(signal.SIGHUP), 0, f"exit status; it said {again.said()}")
    again.check_all_gone()


def test_local_of_one_node():
    cluster = Local(nodes=1).start().wait_ready()
    check_eq(query_json(cluster.port, "status")["nodes"], 1, "nodes")
    check_eq(cluster.end_with(signal.SIGINT), 0, f"exit status; it said {cluster.said()}")
    cluster.check_all_gone()


def test_local_goes_on_with_a_majority():
    cluster = Local().start().wait_ready()
    os.kill(cluster.node_pid(2), signal.SIGKILL)
    wait_until(lambda: "going on with 2 of 3 nodes" in cluster.said(), SETTLE_SECONDS, "going on")
    check("node 2 ended by itself (signal 9)" in cluster.said(), cluster.said())
    with Client(cluster.port) as client:
        for i in range(32):
            check_eq(client.call("SET", f"key:{i}", i), "OK", f"SET key:{i} on two nodes")
    wait_until(lambda: query_json(cluster.port, "status")["healthy"] is False, SETTLE_SECONDS,
               "the cluster is not healthy any more")
    check_eq([n["connected"] for n in query_json(cluster.port, "nodes")], [True, False, True],
             "connected")
    check_eq(cluster.end_with(signal.SIGINT), 1, "exit status")
    cluster.check_all_gone()


def test_local_stops_without_a_majority():
    cluster = Local().start().wait_ready()
    for pid in [cluster.node_pid(number) for number in (1, 3)]:
        os.kill(pid, signal.SIGKILL)
    check_eq(cluster.wait(STOP_SECONDS), 1, "exit status")
    check("no majority" in cluster.said(), cluster.said())
    cluster.check_all_gone()


def test_local_tells_why_a_node_cannot_start():
    port = free_ports(3)
    with socket.create_server(("127.0.0.1", port + 1)):
        cluster = Local(port=port).start()
        wait_until(lambda: "going on with 2 of 3 nodes" in cluster.said(), SETTLE_SECONDS,
                   f"node 2 ended; local said {cluster.said()}")
        line = next(s for s in cluster.said().splitlines() if "node 2 ended" in s)
        check("exit status 1" in line and f"127.0.0.1:{port + 1}" in line, line)
        check_eq(cluster.end_with(signal.SIGTERM), 1, "exit status")
    cluster.check_all_gone()


def test_local_kills_what_does_not_stop():
    cluster = Local().start().wait_ready()
    os.kill(cluster.node_pid(3), signal.SIGSTOP)
    cluster.process.send_signal(signal.SIGINT)
    wait_until(lambda: sum(map(is_alive, cluster.pids)) == 1, STOP_SECONDS, "two nodes stopped")
    check(cluster.is_running(), "local did not wait")
    check_eq(cluster.end_with(signal.SIGINT), 1, "exit status after the second Ctrl-C")
    check("did not stop in time, killed: 1 of 3" in cluster.said(), cluster.said())
    cluster.check_all_gone()


def test_nodes_die_with_local():
    cluster = Local().start().wait_ready()
    cluster.kill()
    cluster.check_all_gone()


if __name__ == "__main__":
    run(
        [
            test_help_names_every_verb_and_option,
            test_wrong_arguments,
            test_questions_reach_the_node,
            test_tables_and_json_of_an_answer,
            test_failed_questions_are_one_line,
            test_a_mute_node_is_not_waited_for_long,
            test_local_answers_on_every_node,
            test_local_starts_again_on_its_data,
            test_local_of_one_node,
            test_local_goes_on_with_a_majority,
            test_local_stops_without_a_majority,
            test_local_tells_why_a_node_cannot_start,
            test_local_kills_what_does_not_stop,
            test_nodes_die_with_local,
        ],
        WATCHDOG_SECONDS,
    )
