#!/usr/bin/env python3
"""Pipelines of 10 000 mixed commands over all groups, from several clients at once: replies come in
order and are never swapped, also while leaders are killed with -9 and come back (scenario 15).

Each client has keys that nobody else writes, and the commands of a connection take effect in their
order: so what each reply may say is known. "Not executed" is believed, and a write with an unknown
outcome may take effect once, at any time. SEED=n repeats the random choices of a run.
"""

import os
import random
import threading
import time

from cluster import Cluster, group_of
from lib import Client, ReplyError, check, check_eq, run, seed, shorten, wait_until

COMMANDS = int(os.environ.get("PIPELINE_COMMANDS", 10000))
CLIENTS = 3
GROUPS = 16
TEXTS = 32  # keys of each client
COUNTERS = 16
ALIKE_MAX = 12  # commands of one kind and group behind each other
REPLY_SECONDS = 120
WATCHDOG_SECONDS = 280
DOWN_SECONDS = 0.5
KILLS_MAX = 6
NOT_EXECUTED = ("CLUSTERDOWN ", "TRYAGAIN ", "LOADING ")
UNKNOWN = "UNKNOWNRESULT "

SEED = seed()


class Text:
    """A key that holds one of some texts, or nothing."""

    def __init__(self):
        self.value = None
        self.late = set()  # what writes with an unknown outcome may still make of it

    def may_be(self, value):
        return value == self.value or value in self.late

    def may_exist(self):
        return {v is not None for v in self.late | {self.value}}


class Counter:
    def __init__(self):
        self.value = 0
        self.late = 0  # increments with an unknown outcome

    def may_be(self, value):
        low, high = self.value, self.value + self.late
        return low == 0 if value is None else low <= int(value) <= high

    def may_exist(self):
        return {self.value > 0} | ({True} if self.late else set())


class Pipeline:
    """Makes commands, and judges replies in the same order."""

    def __init__(self, name):
        self.name = name
        self.random = random.Random(f"{SEED}-{name}")
        self.keys = {f"{name}:t{i}": Text() for i in range(TEXTS)}
        self.keys |= {f"{name}:c{i}": Counter() for i in range(COUNTERS)}
        self.by_group = {}
        for key in self.keys:
            self.by_group.setdefault(group_of(key, GROUPS), []).append(key)
        self.numbers = 0
        self.refused = self.unknown = self.judged = 0

    def unique(self):
        self.numbers += 1
        filler = "x" * self.random.choice((0, 0, 10, 300))
        return f"{self.name}-{self.numbers}-{filler}".encode()

    def one(self, kind, key):
        is_text = isinstance(self.keys[key], Text)
        if kind == "write":
            if not is_text:
                return ("INCR", key)
            return ("SET", key, self.unique()) if self.random.random() < 0.8 else ("DEL", key)
        if kind == "read":
            return (self.random.choice(("GET", "GET", "EXISTS")), key)
        if kind == "many":
            some = self.random.sample(sorted(self.keys), self.random.randint(2, 8))
            return (self.random.choice(("MGET", "MGET", "EXISTS")), *some)
        return self.random.choice(
            (
                ("ECHO", self.unique()),
                ("DBSIZE",),
                ("SCAN", "0", "COUNT", "5"),
                ("KEYS", self.name + ":*"),
                ("RANDOMKEY",),
            )
        )

    def make(self, count):
        commands = []
        while len(commands) < count:
            kind = self.random.choices(("write", "read", "many", "other"), (45, 35, 12, 8))[0]
            keys = self.by_group[self.random.choice(sorted(self.by_group))]
            alike = self.random.randint(1, ALIKE_MAX) if kind in ("write", "read") else 1
            commands += [self.one(kind, self.random.choice(keys)) for _ in range(alike)]
        return commands[:count]

    # ---- judging

    def judge(self, command, reply):
        if isinstance(reply, ReplyError):
            self.judge_error(command, reply)
        else:
            check(
                getattr(self, "told_" + command[0].lower())(reply, *command[1:]),
                f"{self.name}: {shorten(command)} was answered {shorten(reply)}; "
                f"{[vars(self.keys[k]) for k in command[1:] if k in self.keys][:8]}",
            )
        self.judged += 1

    def judge_error(self, command, reply):
        if reply.startswith(NOT_EXECUTED):
            self.refused += 1
            return
        check(reply.startswith(UNKNOWN), f"{shorten(command)} was answered {reply}")
        self.not_told(command)

    def not_told(self, command):
        self.unknown += 1
        if command[0] == "SET":
            self.keys[command[1]].late.add(command[2])
        elif command[0] == "DEL":
            self.keys[command[1]].late.add(None)
        elif command[0] == "INCR":
            self.keys[command[1]].late += 1

    def count_fits(self, number, keys):
        exist = [self.keys[k].may_exist() for k in keys]
        least = sum(e == {True} for e in exist)
        return isinstance(number, int) and least <= number <= sum(True in e for e in exist)

    def told_set(self, reply, key, value):
        self.keys[key].value = value
        return reply == "OK"

    def told_del(self, reply, key):
        fits = self.count_fits(reply, [key])
        self.keys[key].value = None
        return fits

    def told_incr(self, reply, key):
        counter = self.keys[key]
        low = counter.value + 1
        fits = isinstance(reply, int) and low <= reply <= low + counter.late
        counter.value = reply
        return fits

    def told_get(self, reply, key):
        return self.keys[key].may_be(reply)

    def told_mget(self, reply, *keys):
        return len(reply) == len(keys) and all(map(self.told_get, reply, keys))

    def told_exists(self, reply, *keys):
        return self.count_fits(reply, keys)

    def told_echo(self, reply, text):
        return reply == text

    def told_dbsize(self, reply):
        least = sum(k.may_exist() == {True} for k in self.keys.values())
        return isinstance(reply, int) and reply >= least

    def told_scan(self, reply, *_):
        return len(reply) == 2 and reply[0].isdigit() and all(k.isascii() for k in reply[1])

    def told_keys(self, reply, _):
        found = {k.decode() for k in reply}
        return (
            len(found) == len(reply)
            and found <= set(self.keys)
            and all((k in found) in key.may_exist() for k, key in self.keys.items())
        )

    def told_randomkey(self, reply):
        return reply is None or b":" in reply


class Worker(threading.Thread):
    """One client, one connection, one pipeline; a lost connection ends it."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.pipeline = Pipeline(name)
        self.commands = self.pipeline.make(COMMANDS)
        self.client = Client(port, REPLY_SECONDS)
        self.is_lost = False
        self.error = None

    def send(self):
        try:
            self.client.send(b"".join(Client.encode(*c) for c in self.commands))
        except OSError:
            pass  # the reader sees the end, too

    def run(self):
        sender = threading.Thread(target=self.send, daemon=True)
        sender.start()
        try:
            for i, command in enumerate(self.commands):
                try:
                    reply = self.client.read()
                except (EOFError, ConnectionError):
                    self.is_lost = True
                    for rest in self.commands[i:]:
                        self.pipeline.not_told(rest)
                    break
                self.pipeline.judge(command, reply)
        except Exception as error:  # any way to fail is the test's failure
            self.error = error
        self.client.close()
        sender.join()


def wait_for(workers):
    for worker in workers:
        worker.join(WATCHDOG_SECONDS)
        if worker.error is not None:
            raise worker.error


def check_afterwards(port, workers):
    """What is there fits what was said, and nothing else is there."""
    with Client(port, REPLY_SECONDS) as client:
        for worker in workers:
            p = worker.pipeline
            names = sorted(p.keys)
            p.judge(("MGET", *names), client.call("MGET", *names))
            p.judge(("KEYS", p.name + ":*"), client.call("KEYS", p.name + ":*"))
            there = client.call("EXISTS", *names)
            check_eq(len(client.call("KEYS", p.name + ":*")), there, "keys of " + p.name)
        total = client.call("DBSIZE")
        groups_keys = client.call("KEYS", "*")
        check_eq(len(set(groups_keys)), total, "DBSIZE and KEYS")
        seen, cursor = set(), b"0"
        while True:
            cursor, keys = client.call("SCAN", cursor, "COUNT", "7")
            seen.update(keys)
            if cursor == b"0":
                break
        check_eq(seen, set(groups_keys), "SCAN and KEYS")


def test_replies_in_order():
    """Without faults: each reply is exactly right."""
    cluster = Cluster(3, GROUPS)
    cluster.start()
    terms = cluster.terms()
    workers = [Worker(cluster.nodes[i % 3].port, f"calm{i}") for i in range(CLIENTS)]
    for worker in workers:
        worker.start()
    wait_for(workers)
    check_afterwards(cluster.nodes[0].port, workers)
    for worker in workers:
        p = worker.pipeline
        check(not worker.is_lost, "a connection was lost")
        check(p.judged >= COMMANDS, f"{p.judged} replies")
        if cluster.terms() == terms:
            check_eq((p.refused, p.unknown), (0, 0), "errors without an election")
    cluster.stop_all()


def test_while_leaders_die():
    """Clients through a node that stays, and one through a node that is killed; leaders die."""
    cluster = Cluster(3, GROUPS)
    cluster.start()
    stays, *victims = cluster.nodes
    workers = [Worker(stays.port, f"kill{i}") for i in range(CLIENTS)]
    workers.append(Worker(victims[0].port, "lost"))
    for worker in workers:
        worker.start()
    kills = 0
    time.sleep(DOWN_SECONDS)
    while kills < 2 or any(w.is_alive() for w in workers):
        victim = victims[1 - kills % 2]
        victim.kill()
        kills += 1
        time.sleep(DOWN_SECONDS)
        victim.spawn()
        cluster.wait_ready([victim])
        if kills == KILLS_MAX:
            break  # let them come to their end
    wait_for(workers)
    wait_until(lambda: cluster.takes_writes(stays), REPLY_SECONDS, "writes after the kills")
    check_afterwards(stays.port, workers)
    for worker in workers[:CLIENTS]:
        check(not worker.is_lost, "a connection to a living node was lost")
        check(worker.pipeline.judged >= COMMANDS, "replies are missing")
    told = [(w.pipeline.judged, w.pipeline.refused, w.pipeline.unknown) for w in workers]
    print(f"  {kills} kills; judged, refused, unknown: {told}")
    cluster.stop_all()


run([test_replies_in_order, test_while_leaders_die], WATCHDOG_SECONDS)
