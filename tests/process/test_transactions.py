#!/usr/bin/env python3
"""MULTI, WATCH and commands over several groups, on three nodes with 16 groups. What is Redis' own
is also true of the original: DOUGONG=/usr/bin/redis-server tests/process/test_transactions.py
"""

import json
import random
import subprocess
import threading
import time

from cluster import Cluster
from isolation import orders, parse, play
from lib import BINARY, REDIS, Client, ReplyError, Server, check, check_eq, is_redis, run, seed
from lib import wait_until

IS_REDIS = is_redis(BINARY)
ACCOUNTS = 12
BALANCE = 100
BANKERS = 6
BANK_SECONDS = 3.0
FREE_SECONDS = 5.0  # the promise is 2 s once there is a leader; elections take some
MANY_KEYS = 200

ABORTED = "EXECABORT Transaction discarded because of previous errors."


class World:
    """Three nodes, or one redis-server."""

    def __init__(self):
        if IS_REDIS:
            self.nodes = [Server().start()] * 3
            self.cluster = None
        else:
            self.cluster = Cluster().start()
            self.nodes = self.cluster.nodes
        self.clients = 0

    def client(self):
        self.clients += 1
        return self.nodes[self.clients % len(self.nodes)].client()


# ---- transcripts ---------------------------------------------------------------------------------

TRANSCRIPTS = """
MULTI -> OK | MULTI -> ERR MULTI calls can not be nested | PING -> QUEUED | EXEC -> [PONG]
EXEC -> ERR EXEC without MULTI | DISCARD -> ERR DISCARD without MULTI | UNWATCH -> OK
MULTI -> OK | WATCH a -> ERR WATCH inside MULTI is not allowed | EXEC -> []
MULTI -> OK | SET a 1 -> QUEUED | SET b 2 -> QUEUED | MGET a b c -> QUEUED | EXEC -> [OK OK [1 2 nil]]
MULTI -> OK | SET a 5 -> QUEUED | DISCARD -> OK | GET a -> 1
MULTI -> OK | SET s abc -> QUEUED | INCR s -> QUEUED | SET t 1 -> QUEUED | EXEC -> [OK ERR value is not an integer or out of range OK] | MGET s t -> [abc 1]
MULTI -> OK | SET s -> ERR wrong number of arguments for 'set' command | SET t 2 -> QUEUED | EXEC -> ABORTED | GET t -> 1
MULTI -> OK | SET t 3 -> QUEUED | PING a b -> QUEUED | EXEC -> [OK ERR wrong number of arguments for 'ping' command]
MULTI -> OK | EXEC 1 -> EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command | EXEC -> ERR EXEC without MULTI
MULTI -> OK | SELECT 3 -> QUEUED | SET d 3 -> QUEUED | SELECT 0 -> QUEUED | GET d -> QUEUED | EXEC -> [OK OK OK nil] | SELECT 3 -> OK | GET d -> 3 | SELECT 0 -> OK
MULTI -> OK | GET d -> QUEUED | RESET -> RESET | EXEC -> ERR EXEC without MULTI
MULTI -> OK | SHUTDOWN -> ERR Command not allowed inside a transaction | EXEC -> ABORTED
MULTI -> OK | MONITOR -> QUEUED | EXEC -> [ERR MONITOR isn't allowed for DENY BLOCKING client]
MULTI -> OK | MSET k1 1 k2 2 k3 3 k4 4 -> QUEUED | EXISTS k1 k2 k3 k4 k5 k1 -> QUEUED | DEL k1 k3 -> QUEUED | MGET k1 k2 k3 k4 -> QUEUED | EXEC -> [OK 5 2 [nil 2 nil 4]]
MULTI -> OK | SET from 1 -> QUEUED | RENAME from to -> QUEUED | GET to -> QUEUED | INCR to -> QUEUED | COPY to there -> QUEUED | RENAMENX to there -> QUEUED | GET there -> QUEUED | EXEC -> [OK OK 1 2 1 0 2]
MULTI -> OK | RENAME nosuch to -> QUEUED | EXEC -> [ERR no such key]
WATCH w1 w2 -> OK | SET w2 1 -> OK | MULTI -> OK | SET w3 1 -> QUEUED | EXEC -> nil | GET w3 -> nil
WATCH w1 -> OK | SET w1 1 -> OK | UNWATCH -> OK | MULTI -> OK | SET w3 1 -> QUEUED | EXEC -> [OK]
WATCH w1 -> OK | SET w1 2 -> OK | MULTI -> OK | DISCARD -> OK | MULTI -> OK | GET w1 -> QUEUED | EXEC -> [2]
WATCH w1 -> OK | SET w1 3 -> OK | MULTI -> OK | PING -> QUEUED | EXEC -> nil
WATCH w1 -> OK | SET w1 4 -> OK | MULTI -> OK | EXEC -> nil | MULTI -> OK | EXEC -> []
WATCH w1 -> OK | SELECT 1 -> OK | SET w1 1 -> OK | SELECT 0 -> OK | MULTI -> OK | PING -> QUEUED | EXEC -> [PONG]
WATCH w1 -> OK | SET w1 5 -> OK | WATCH w1 -> OK | MULTI -> OK | PING -> QUEUED | EXEC -> nil
WATCH w1 -> OK | DEL w1 -> OK | MULTI -> OK | PING -> QUEUED | EXEC -> nil
SET e 1 PX 40 -> OK | WATCH e -> OK | SLEEP -> | MULTI -> OK | PING -> QUEUED | EXEC -> nil
SET e 1 -> OK | WATCH e -> OK | EXPIRE e 100 -> 1 | MULTI -> OK | GET e -> QUEUED | EXEC -> nil
SET e 1 -> OK | WATCH e -> OK | GET e -> 1 | MULTI -> OK | GET e -> QUEUED | EXEC -> [1]
"""


def shown(value):
    if isinstance(value, list):
        return "[" + " ".join(shown(v) for v in value) + "]"
    if value is None:
        return "nil"
    return value.decode() if isinstance(value, bytes) else str(value)


def test_transcripts():
    world = World()
    for line in TRANSCRIPTS.strip().splitlines():
        with world.client() as client:
            for step in line.split(" | "):
                said, _, wanted = step.partition("->")
                if said.strip() == "SLEEP":
                    time.sleep(0.1)
                    continue
                wanted = wanted.strip().replace("ABORTED", ABORTED)
                if said.startswith("DEL w1"):
                    wanted = "1"
                check_eq(shown(client.call(*said.split())), wanted, f"{said.strip()} in: {line}")


def test_one_pipeline():
    """All at once: EXEC waits for WATCH, what is behind EXEC for SELECT inside."""
    world = World()
    words = "WATCH p; GET p; MULTI; INCR p; SELECT 2; INCR q; EXEC; GET q; SELECT 0; GET p; PING"
    with world.client() as client:
        for round_number in range(1, 20):
            replies = client.pipeline([w.split() for w in words.split(";")])
            n = str(round_number).encode()
            before = str(round_number - 1).encode() if round_number > 1 else None
            wanted = ["OK", before, "OK", "QUEUED", "QUEUED", "QUEUED"]
            wanted += [[round_number, "OK", round_number], n, "OK", n, "PONG"]
            check_eq(replies, wanted, "replies")


def test_pipelines_keep_order():
    """Transactions over groups among single commands of the same connection."""
    world = World()
    rng = random.Random(seed())
    with world.client() as client:
        counts = dict.fromkeys("abcdefgh", 0)
        commands, wanted = [], []
        for _ in range(300):
            keys = rng.sample(sorted(counts), rng.randrange(1, 4))
            for key in keys:
                counts[key] += 1
            if len(keys) == 1:
                commands.append(["INCR", keys[0]])
                wanted.append(counts[keys[0]])
            elif rng.random() < 0.3:
                commands.append(["MSET"] + [w for k in keys for w in (k, counts[k])])
                wanted.append("OK")
            else:
                commands += [["MULTI"]] + [["INCR", k] for k in keys] + [["EXEC"]]
                wanted += ["OK"] + ["QUEUED"] * len(keys) + [[counts[k] for k in keys]]
        check_eq(client.pipeline(commands), wanted, "replies in order")


def test_disconnect_unwatches_and_discards():
    world = World()
    with world.client() as other:
        client = world.client()
        check_eq(client.pipeline([["WATCH", "x"], ["MULTI"], ["SET", "x", "1"]])[2], "QUEUED", "SET")
        client.close()
        check_eq(other.call("GET", "x"), None, "what was gathered is gone")


def test_resp3_nil():
    world = World()
    with world.client() as client, world.client() as other:
        client.call("WATCH", "x")
        other.call("SET", "x", 1)
        client.send(client.encode("HELLO", "3") + b"MULTI\r\nGET x\r\nEXEC\r\n")
        client.socket.settimeout(5)
        got = b""
        while not got.endswith(b"+QUEUED\r\n_\r\n"):
            got += client.socket.recv(4096)


# ---- isolation -----------------------------------------------------------------------------------

SPECS = """
lost update, unguarded
given  SET x 10
a      GET x | SET x 11
b      GET x | SET x 21
ends   GET x = 11 / 21

lost update, watched
given  SET x 10
a      WATCH x | GET x | MULTI; SET x 11; EXEC
b      WATCH x | GET x | MULTI; SET x 21; EXEC
ends   GET x = 11 / 21

increments inside
a      MULTI; INCR x; INCR y; EXEC | MULTI; INCR y; INCR x; EXEC
b      MULTI; INCR y; INCR x; EXEC | MULTI; INCR x; INCR y; EXEC
ends   MGET x y = 4 4

write skew
given  MSET x 1 y 1
a      WATCH x y | MGET x y | MULTI; SET x 0; EXEC
b      WATCH x y | MGET x y | MULTI; SET y 0; EXEC
ends   MGET x y = 0 1 / 1 0 / 0 0

read skew
given  MSET x 0 y 0
a      MGET x y | MULTI; GET y; GET x; EXEC | MGET y x
b      MSET x 1 y 1 | MULTI; SET y 2; SET x 2; EXEC
ends   MGET x y = 2 2

gathered, then run
given  MSET x 1 y 1
a      MULTI | INCR x | INCR y | EXEC
b      INCR x | MGET x y | SET y 10
ends   MGET x y = 3 11 / 3 10

a type that turns
given  SET x 1
a      MULTI | INCR x | SET y 1 | EXEC
b      SET x word | DEL y | SET x 5
ends   GET x = 5 / 6

deleted while watched
given  MSET x 1 y 1
a      WATCH x | MULTI; INCR y; EXEC
b      DEL x | SET x 1
ends   GET y = 1 / 2

unwatched in time
given  SET x 1
a      WATCH x | UNWATCH | MULTI; INCR x; EXEC
b      SET x 5 | INCR x
ends   GET x = 6 / 7

renamed away
given  MSET x 1 y 2
a      WATCH x | RENAME x y | MULTI; GET y; GET x; EXEC
b      RENAMENX y x | GET x | RENAME y x
ends   EXISTS x y = 1

all or none exist
a      MSETNX x a y a | MGET x y
b      MSETNX y b z b | MGET y z
ends   MGET x y z = a a nil / nil b b

copies
given  MSET x 1 y 2 z 3
a      COPY x y REPLACE | MGET x y
b      COPY y z REPLACE | MGET y z
ends   MGET x y z = 1 1 2 / 1 1 1

three in a ring
given  MSET x 3 y 3 z 3
a      WATCH x y | MULTI; DECR x; INCR y; EXEC
b      WATCH y z | MULTI; DECR y; INCR z; EXEC
c      WATCH z x | MULTI; DECR z; INCR x; EXEC
ends   MGET x y z = 2 4 3 / 3 2 4 / 4 3 2 / 2 3 4 / 3 4 2 / 4 2 3 / 3 3 3

appended by three
a      MULTI; APPEND x a; APPEND y a; EXEC | MGET x y
b      MULTI; APPEND y b; APPEND x b; EXEC | MGET x y
c      MGET x y | MULTI; GET y; GET x; EXEC
ends   MGET x y = ab ab / ba ba
"""


def test_isolation_specs():
    """Every order, each replied as Redis does."""
    world = World()
    reference = Server(REDIS).start().client()
    number = 0
    for spec in parse(SPECS):
        clients = {name: world.client() for name in spec.sessions}
        models = {name: Client(reference_port(reference)) for name in spec.sessions}
        with world.client() as setup:
            for order in orders({name: len(steps) for name, steps in spec.sessions.items()}):
                number += 1
                got, end = play(spec, order, number, clients, setup)
                wanted, _ = play(spec, order, number, models, reference)
                check_eq(got, wanted, f"{spec.name}, {' '.join(order)}")
                check(end in spec.ends[1], f"{spec.name}, {' '.join(order)}: ends with {end}")
        for client in [*clients.values(), *models.values()]:
            client.close()
    check(number > 300, f"only {number} orders")


def reference_port(client):
    return client.socket.getpeername()[1]


# ---- concurrency ---------------------------------------------------------------------------------


class Bank:
    """Accounts, and threads that move money between them, each on a connection of its own."""

    def __init__(self, world, prefix="account"):
        self.world = world
        self.accounts = [f"{prefix}:{i}" for i in range(ACCOUNTS)]
        self.is_over = False
        self.victim = None  # the node that will be killed
        self.problems = []
        self.moved = 0
        with world.client() as client:
            client.call("MSET", *[w for a in self.accounts for w in (a, BALANCE)])

    def start(self, nodes):
        bodies = [self.move_watched, self.move_blindly, self.look]
        self.threads = [
            threading.Thread(target=self.guard, args=(bodies[i % 3], nodes[i % len(nodes)], i))
            for i in range(BANKERS)
        ]
        for thread in self.threads:
            thread.start()

    def guard(self, body, node, number):
        rng = random.Random(number)
        try:
            with node.client() as client:
                while not self.is_over:
                    body(client, rng)
        except Exception as error:  # whatever it is, the test has to hear of it
            if node is not self.victim or not isinstance(error, (EOFError, OSError)):
                self.problems.append(f"{body.__name__}: {error!r}")

    def move_watched(self, client, rng):
        a, b = rng.sample(self.accounts, 2)
        check_eq(client.call("WATCH", a, b), "OK", "WATCH")
        x, y = (int(v) for v in client.call("MGET", a, b))
        client.pipeline([["MULTI"], ["SET", a, x - 1], ["SET", b, y + 1]])
        reply = client.call("EXEC")
        check(reply is None or reply == ["OK", "OK"], f"EXEC: {reply}")
        self.moved += reply is not None

    def move_blindly(self, client, rng):
        a, b = rng.sample(self.accounts, 2)
        replies = client.pipeline([["MULTI"], ["DECR", a], ["INCR", b], ["EXEC"]])
        reply = replies[3]
        check(isinstance(reply, list) or str(reply).startswith("UNKNOWNRESULT"), f"EXEC: {reply}")
        self.moved += 1

    def look(self, client, _rng):
        values = client.call("MGET", *self.accounts)
        check(isinstance(values, list), f"MGET: {values}")
        check_eq(sum(int(v) for v in values), ACCOUNTS * BALANCE, "sum")

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(60)
            check(not thread.is_alive(), "a banker hangs")
        check_eq(self.problems, [], "problems")
        check(self.moved > 10, f"only {self.moved} moves")
        with self.world.client() as client:
            self.look(client, None)


def test_bank():
    world = World()
    bank = Bank(world)
    bank.start(world.nodes)
    time.sleep(BANK_SECONDS)
    bank.stop()


def test_no_watch_no_conflict():
    """Everybody wants the same two keys: EXEC without WATCH never tells of a conflict."""
    world = World()

    def work(node, problems):
        with node.client() as client:
            for _ in range(30):
                reply = client.pipeline([["MULTI"], ["INCR", "one"], ["INCR", "two"], ["EXEC"]])[3]
                if not isinstance(reply, list) or reply[0] != reply[1]:
                    problems.append(reply)

    problems = []
    threads = [threading.Thread(target=work, args=(n, problems)) for n in world.nodes * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check_eq(problems, [], "replies")
    with world.client() as client:
        check_eq(client.call("MGET", "one", "two"), [b"180", b"180"], "all of them")


# ---- our own -------------------------------------------------------------------------------------


def test_commands_over_groups():
    """From each node, over all groups; redis-server gives the same replies."""
    world = World()
    keys = [f"k:{i}" for i in range(MANY_KEYS)]
    pairs = [w for i, k in enumerate(keys) for w in (k, i)]
    for node in world.nodes:
        with node.client() as client:
            client.call("FLUSHALL")
            check_eq(client.call("MSETNX", *pairs), 1, "MSETNX")
            check_eq(client.call("MSETNX", *pairs[:4]), 0, "MSETNX of what is there")
            check_eq(client.call("MSET", *pairs), "OK", "MSET")
            values = [str(i).encode() for i in range(MANY_KEYS)]
            check_eq(client.call("MGET", *keys), values, "MGET")
            check_eq(client.call("EXISTS", *keys, "nosuch"), MANY_KEYS, "EXISTS")
            check_eq(client.call("TOUCH", *keys, "nosuch"), MANY_KEYS, "TOUCH")
            check_eq(client.call("RENAME", keys[0], "r"), "OK", "RENAME")
            check_eq(client.call("RENAMENX", "r", keys[1]), 0, "RENAMENX")
            check_eq(client.call("COPY", "r", "s"), 1, "COPY")
            check_eq(client.call("COPY", "r", "s", "DB", 1), 1, "COPY DB")
            check_eq(client.call("BITOP", "XOR", "t", *keys[1:9]), 1, "BITOP")
            check_eq(client.call("MSET", "l1", "ohmytext", "l2", "mynewtext"), "OK", "MSET")
            check_eq(client.call("LCS", "l1", "l2"), b"mytext", "LCS")
            check_eq(client.call("DEL", *keys[:100]), 99, "DEL")
            check_eq(client.call("UNLINK", *keys[100:], "nosuch"), 100, "UNLINK")


def test_strict():
    if IS_REDIS:
        return
    world = World()
    with world.client() as client:
        client.call("MSET", "a", 1, "word", "x", "b", 1)
        words = [["MULTI", "STRICT"], ["INCR", "a"], ["INCR", "word"], ["INCR", "b"], ["EXEC"]]
        replies = client.pipeline(words)
        wanted = "EXECABORT Transaction discarded because of: ERR value is not an integer or out of range"
        check_eq(replies[4], wanted, "EXEC")
        check_eq(client.call("MGET", "a", "b"), [b"1", b"1"], "nothing was done")
        client.call("SET", "word", 7)
        check_eq(client.pipeline(words)[4], [2, 8, 2], "all of it")
        one = [["MULTI", "STRICT"], ["SET", "word", "x"], ["INCR", "word"], ["EXEC"]]
        check_eq(client.pipeline(one)[3], wanted, "in one group")
        check_eq(client.call("GET", "word"), b"8", "nothing was done there")


def test_refused_inside():
    """Commands over whole groups have no versions."""
    if IS_REDIS:
        return
    world = World()
    with world.client() as client:
        for words in (["DBSIZE"], ["FLUSHALL"], ["FLUSHDB"], ["SCAN", "0"], ["KEYS", "*"], ["RANDOMKEY"]):
            client.call("MULTI")
            reply = client.call(*words)
            check(isinstance(reply, ReplyError) and reply.startswith("ERR "), f"{words}: {reply}")
            check_eq(client.call("EXEC"), ABORTED, "EXEC")


def test_shown():
    """INFO transactions, DOUGONG TRANSACTIONS and `dougong transactions`."""
    if IS_REDIS:
        return
    world = World()
    node = world.nodes[0]
    with node.client() as client:
        keys = list(world.cluster.keys.values())
        client.pipeline([["MULTI"]] + [["INCR", f"n{k}"] for k in keys] + [["EXEC"]])
        text = client.call("INFO", "transactions").decode()
        facts = dict(line.split(":") for line in text.splitlines() if ":" in line)
        check(int(facts["transactions_committed"]) >= 1, f"INFO: {text}")
        wait_until(lambda: client.call("DOUGONG", "TRANSACTIONS") == [], 5, "none is open")
    for words, wanted in ((["--json"], "[]"), ([], "")):
        out = subprocess.run(
            [BINARY, "transactions", "--connect", f"127.0.0.1:{node.port}", *words],
            capture_output=True, timeout=20, check=True, text=True,
        ).stdout.strip()
        check(out == wanted if words else "\n" not in out, f"shown: {out!r}")
        if words:
            check_eq(json.loads(out), [], "JSON")


def test_gateway_dies():
    """kill -9 of a node in the middle: its transactions end, nothing stays locked, no money goes."""
    if IS_REDIS:
        return
    world = World()
    bank = Bank(world)
    victim, *others = world.nodes
    bank.start(world.nodes)
    time.sleep(1.0)
    bank.victim = victim
    victim.kill()
    world.nodes = others
    started = time.monotonic()
    with others[0].client() as client:
        for account in bank.accounts:
            wait_until(lambda: client.call("INCRBY", account, 0) is not None
                       and not isinstance(client.call("INCRBY", account, 0), ReplyError),
                       FREE_SECONDS, f"{account} is free")
    took = time.monotonic() - started
    check(took < 2 * FREE_SECONDS, f"all are free after {took:.1f} s")
    time.sleep(1.0)
    bank.stop()


if __name__ == "__main__":
    run(
        [
            test_transcripts,
            test_one_pipeline,
            test_pipelines_keep_order,
            test_disconnect_unwatches_and_discards,
            test_resp3_nil,
            test_isolation_specs,
            test_bank,
            test_no_watch_no_conflict,
            test_commands_over_groups,
            test_strict,
            test_refused_inside,
            test_shown,
            test_gateway_dies,
        ],
        300,
    )
