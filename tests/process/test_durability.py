#!/usr/bin/env python3
"""What was acknowledged survives kill -9 and restart; damage in the log is refused, not served.

SEED=n repeats the random choices of a run (not its timing). ROUNDS=n: rounds of kill -9.
"""

import os
import random
import shutil
import struct
import threading
import time
from pathlib import Path

from lib import BINARY, Client, Server, check, check_eq, is_redis, run, seed, temp_dir, wait_until

ROUNDS = int(os.environ.get("ROUNDS", 6))
WRITERS = 8
KEYS_EACH = 40
SHARED = 4
PIPELINE_MAX = 200
REFUSE_SECONDS = 20
WATCHDOG_SECONDS = 280

# docs/disk-format.md: where batches begin, and what is needed to walk over them.
SEGMENT_HEADER = 4096
SALT_AT = 32
BATCH_HEADER = 48
RECORD_HEADER = 40
BATCH_MAGIC = b"DBat"
RECORD_MAGIC = b"DRec"

SEED = seed()


class Writer(threading.Thread):
    """One connection that pipelines writes on its own keys and INCRs on shared ones."""

    def __init__(self, number, rng_seed, port, state):
        super().__init__(daemon=True)
        self.number = number
        self.rng = random.Random(rng_seed)
        self.port = port
        self.state = dict(state)  # own keys as they were found
        self.sent = []  # (key, value after it) in the order sent
        self.acked = 0  # that many of sent have a reply
        self.shared_sent = [0] * SHARED
        self.shared_acked = [0] * SHARED
        self.shared_values = [[] for _ in range(SHARED)]
        self.wrong = None
        self.sequence = 0

    def batch(self, client):
        data, plan = [], []
        for _ in range(self.rng.randint(1, PIPELINE_MAX)):
            choice = self.rng.random()
            if choice < 0.1:
                which = self.rng.randrange(SHARED)
                self.shared_sent[which] += 1
                data.append(client.encode("INCR", f"shared:{which}"))
                plan.append(("shared", which, None))
            elif choice < 0.4:
                key = f"{self.number}:counter"
                value = int(self.state.get(key) or 0) + 1
                self.state[key] = str(value).encode()
                self.sent.append((key, self.state[key]))
                data.append(client.encode("INCR", key))
                plan.append(("own", key, value))
            else:
                self.sequence += 1
                key = f"{self.number}:{self.rng.randrange(KEYS_EACH)}"
                filler = "x" * self.rng.choice((0, 3, 100, 3000))
                value = f"{self.number}-{self.sequence}-{self.rng.random()}-{filler}".encode()
                self.state[key] = value
                self.sent.append((key, value))
                data.append(client.encode("SET", key, value))
                plan.append(("own", key, "OK"))
        return b"".join(data), plan

    def run(self):
        try:
            with Client(self.port) as client:
                while self.wrong is None:
                    data, plan = self.batch(client)
                    client.send(data)
                    self.take_replies(client, plan)
        except (OSError, EOFError):
            pass  # the server was killed: that is the test

    def take_replies(self, client, plan):
        for kind, key, wanted in plan:
            reply = client.read()
            if kind == "own":
                if reply != wanted:
                    self.wrong = f"{key}: reply {reply!r}, wanted {wanted!r}"
                    return
                self.acked += 1
            elif isinstance(reply, int):
                self.shared_acked[key] += 1
                self.shared_values[key].append(reply)
            else:
                self.wrong = f"shared:{key}: reply {reply!r}"
                return


class Load:
    """All writers of one round, and what must hold afterwards."""

    def __init__(self, rng, server, known, shared):
        self.shared_before = shared
        self.writers = [
            Writer(i, rng.randrange(1 << 60), server.port, known[i])
            for i in range(WRITERS)
        ]
        for writer in self.writers:
            writer.start()

    def join(self):
        for writer in self.writers:
            writer.join(30)
            check(not writer.is_alive(), "a writer hangs after its server is gone")
            check(writer.wrong is None, f"wrong reply: {writer.wrong}")

    def verify(self, server, known):
        """Own keys are as after some prefix of what was sent, no shorter than acknowledged."""
        with server.client() as client:
            found = []
            for i, writer in enumerate(self.writers):
                keys = [f"{i}:{n}" for n in range(KEYS_EACH)] + [f"{i}:counter"]
                values = client.pipeline([("GET", key) for key in keys])
                now = {k: v for k, v in zip(keys, values) if v is not None}
                self.verify_writer(writer, known[i], now)
                found.append(now)
            shared = [int(v or 0) for v in client.pipeline(
                [("GET", f"shared:{n}") for n in range(SHARED)])]
        for n in range(SHARED):
            acked = self.shared_before[n] + sum(w.shared_acked[n] for w in self.writers)
            sent = self.shared_before[n] + sum(w.shared_sent[n] for w in self.writers)
            check(acked <= shared[n] <= sent,
                  f"shared:{n} is {shared[n]}, acknowledged {acked}, sent {sent}")
            values = [v for w in self.writers for v in w.shared_values[n]]
            check_eq(len(set(values)), len(values), f"shared:{n}: distinct INCR replies")
            check(not values or max(values) <= shared[n], f"shared:{n} went backwards")
        return found, shared

    @staticmethod
    def verify_writer(writer, before, now):
        state = dict(before)
        for key, value in writer.sent[: writer.acked]:
            state[key] = value
        different = {k for k in state.keys() | now.keys() if state.get(k) != now.get(k)}
        acked_state = dict(state)
        position = writer.acked
        while different and position < len(writer.sent):
            key, value = writer.sent[position]
            position += 1
            state[key] = value
            if state[key] == now.get(key):
                different.discard(key)
            else:
                different.add(key)
        if different:
            key = sorted(different)[0]
            raise AssertionError(
                f"key {key} holds {str(now.get(key))[:60]!r}; acknowledged was "
                f"{str(acked_state.get(key))[:60]!r}; no prefix of the {len(writer.sent)} writes "
                f"sent, with at least the {writer.acked} acknowledged, explains all keys"
            )

    def counts(self):
        acked = sum(w.acked + sum(w.shared_acked) for w in self.writers)
        sent = sum(len(w.sent) + sum(w.shared_sent) for w in self.writers)
        return acked, sent


def test_acknowledged_writes_survive_kill():
    rng = random.Random(SEED)
    server = Server().start()
    known = [{} for _ in range(WRITERS)]
    shared = [0] * SHARED
    for number in range(ROUNDS):
        load = Load(rng, server, known, shared)
        wait_until(lambda: load.counts()[0] > 0, 20, "a first acknowledgement")
        time.sleep(rng.uniform(0.0, 1.0))
        server.kill()
        load.join()
        if number % 2 == 1:
            server.spawn()  # and once more, somewhere in recovery
            time.sleep(rng.uniform(0.0, 0.15))
            server.kill()
        server.start()
        acked, sent = load.counts()
        print(f"round {number}: {acked} acknowledged of {sent}")
        known, shared = load.verify(server, known)
    check_eq(server.stop(), 0, "exit status after SIGTERM")


def test_sigterm_under_load_keeps_what_was_acknowledged():
    rng = random.Random(SEED + 1)
    server = Server().start()
    known = [{} for _ in range(WRITERS)]
    shared = [0] * SHARED
    for _ in range(2):
        load = Load(rng, server, known, shared)
        time.sleep(0.3)
        check_eq(server.stop(), 0, "exit status after SIGTERM")
        load.join()
        server.start()
        known, shared = load.verify(server, known)


def test_types_and_expiry_survive_restart():
    server = Server().start()
    with server.client() as client:
        check_eq(client.call("SET", "plain", b"\x00\r\n\xff"), "OK", "SET")
        check_eq(client.call("SET", "short", "v", "PX", 400), "OK", "SET PX")
        check_eq(client.call("SET", "long", "v", "EX", 1000), "OK", "SET EX")
        check_eq(client.call("SET", "gone", "v"), "OK", "SET")
        check_eq(client.call("DEL", "gone"), 1, "DEL")
        check_eq(client.call("SET", "", "empty key"), "OK", "SET of the empty key")
    check_eq(server.stop(), 0, "exit status after SIGTERM")
    time.sleep(0.5)
    server.start()
    with server.client() as client:
        check_eq(client.call("GET", "plain"), b"\x00\r\n\xff", "GET plain")
        check_eq(client.call("GET", "short"), None, "GET of an expired key")
        check_eq(client.call("GET", "long"), b"v", "GET long")
        check_eq(client.call("EXISTS", "gone", "short", "long", ""), 2, "EXISTS")


def test_second_process_on_a_directory_is_refused():
    if is_redis(BINARY):
        return
    server = Server().start()
    second = Server(data=server.data)
    second.spawn()
    status = second.wait(REFUSE_SECONDS)
    check(status is not None, "the second process does not end")
    check(status != 0, "the second process ended with status 0")
    lines = second.said().splitlines()
    check_eq(len(lines), 1, f"lines of the refusal {lines}")
    check(server.data in lines[0], f"the refusal names no directory: {lines[0]}")
    with server.client() as client:
        check_eq(client.call("SET", "k", "still served"), "OK", "SET on the first")


# ---- damage --------------------------------------------------------------------------------------


class Segment:
    """The last segment file of a directory, and where its batches stand."""

    def __init__(self, data):
        self.path = sorted(Path(data, "log").glob("*.log"))[-1]
        self.bytes = bytearray(self.path.read_bytes())
        self.batches = []  # (offset, size with header, records)
        at = SEGMENT_HEADER
        while self.bytes[at : at + 4] == BATCH_MAGIC:
            size, count = struct.unpack_from("<II", self.bytes, at + 16)
            self.batches.append((at, BATCH_HEADER + size, count))
            at += BATCH_HEADER + size
        self.end = at

    def save(self):
        self.path.write_bytes(self.bytes)

    def covered_offsets(self, batch):
        """Offsets of a batch that carry meaning: all but the padding behind payloads."""
        at, size, count = batch
        yield from range(at, at + BATCH_HEADER)
        at += BATCH_HEADER
        salt = self.bytes[SALT_AT : SALT_AT + 4]
        magic = bytes(a ^ b for a, b in zip(RECORD_MAGIC, salt))
        for _ in range(count):
            check_eq(bytes(self.bytes[at : at + 4]), magic, f"record magic at {at}")
            payload = struct.unpack_from("<I", self.bytes, at + 8)[0]
            yield from range(at, at + RECORD_HEADER + payload)
            at += (RECORD_HEADER + payload + 7) & ~7


def write_and_kill(pairs, idle_seconds):
    """A directory whose server was killed idle_seconds after its last acknowledged write."""
    server = Server().start()
    with server.client() as client:
        for key, value in pairs:
            check_eq(client.call("SET", key, value), "OK", "SET")
    time.sleep(idle_seconds)
    server.kill()
    return server.data


def copy_of(data):
    path = temp_dir() + "/data"
    shutil.copytree(data, path)
    return path


def check_refuses(data, what):
    server = Server(data=data)
    server.spawn()
    status = server.wait(REFUSE_SECONDS)
    check(status is not None, f"{what}: serves on a damaged log")
    check(status != 0, f"{what}: exit status 0")
    lines = server.said().splitlines()
    check_eq(len(lines), 1, f"{what}: lines of the refusal {lines}")
    said = lines[0].lower()
    check("damage" in said or "corrupt" in said, f"{what}: names no damage: {said}")
    check("segment" in said, f"{what}: does not say where: {said}")


PAIRS = [(f"key{i}", f"value{i}" * 20) for i in range(30)]


def check_serves(data, pairs, what):
    server = Server(data=data).start()
    with server.client() as client:
        for key, value in pairs:
            check_eq(client.call("GET", key), value.encode(), f"{what}: GET {key}")
        check_eq(client.call("SET", "after", what), "OK", f"{what}: SET")
    check_eq(server.stop(), 0, f"{what}: exit status after SIGTERM")
    server.start()  # what was written behind the repaired tail reads back
    with server.client() as client:
        check_eq(client.call("GET", "after"), what.encode(), f"{what}: GET after restart")
        for key, value in pairs:
            check_eq(client.call("GET", key), value.encode(), f"{what}: GET {key} again")
    server.kill()


def test_one_flipped_bit_in_the_log_is_refused():
    if is_redis(BINARY):
        return
    rng = random.Random(SEED + 2)
    data = write_and_kill(PAIRS, 0.5)
    whole = Segment(data)
    check(len(whole.batches) > 5, "too few batches to damage one in the middle")
    offsets = [rng.choice(list(whole.covered_offsets(b)))
               for b in rng.sample(whole.batches[:-1], 5)]
    middle = whole.batches[len(whole.batches) // 2]
    offsets += [middle[0], middle[0] + 16, middle[0] + BATCH_HEADER + RECORD_HEADER]
    offsets += [0, 20]  # the segment's own header
    for offset in offsets:
        broken = Segment(copy_of(data))
        broken.bytes[offset] ^= 1 << rng.randrange(8)
        broken.save()
        before = bytes(broken.bytes)
        check_refuses(broken.path.parent.parent, f"bit flipped at {offset}")
        check(broken.path.read_bytes() == before, f"bit flipped at {offset}: the log was changed")


def test_a_synced_tail_that_is_missing_is_refused():
    """A mark behind the last write proves that it was synced."""
    if is_redis(BINARY):
        return
    data = write_and_kill(PAIRS, 0.5)
    whole = Segment(data)
    check_eq(whole.batches[-1][2], 0, "records of the batch after an idle time: a mark")
    at, size, _ = whole.batches[-2]
    broken = Segment(copy_of(data))
    broken.bytes[at : at + size] = bytes(size)
    broken.save()
    check_refuses(broken.path.parent.parent, "last batch before the mark zeroed")


def test_a_missing_log_is_refused():
    """An initialised directory without its log has lost what it acknowledged."""
    if is_redis(BINARY):
        return
    data = write_and_kill(PAIRS[:2], 0.5)
    for path in Path(data, "log").glob("*.log"):
        path.unlink()
    server = Server(data=data)
    server.spawn()
    status = server.wait(REFUSE_SECONDS)
    check(status is not None and status != 0, f"serves without its log: {status}")


def test_garbage_behind_the_end_is_cut():
    if is_redis(BINARY):
        return
    rng = random.Random(SEED + 3)
    data = write_and_kill(PAIRS, 0.0)
    for size in (1, 8, 100, 5000):
        broken = Segment(copy_of(data))
        broken.bytes[broken.end : broken.end + size] = rng.randbytes(size)
        broken.save()
        check_serves(broken.path.parent.parent, PAIRS, f"{size} bytes of garbage at the end")


def test_a_torn_last_batch_is_cut():
    """Killed before a mark was written, the newest batch may have been torn: only it is lost."""
    if is_redis(BINARY):
        return
    for attempt in range(20):
        data = write_and_kill([*PAIRS, ("last", "x" * 2000)], 0.0)
        whole = Segment(data)
        if whole.batches[-1][2] > 0:
            break
        check(attempt < 19, "a mark always came before the kill")
    at, size, _ = whole.batches[-1]
    for cut in (8, 100, size - 8):
        broken = Segment(copy_of(data))
        broken.bytes[at + size - cut : at + size] = bytes(cut)
        broken.save()
        check_serves(broken.path.parent.parent, PAIRS, f"last {cut} bytes zeroed")
    broken = Segment(copy_of(data))
    broken.bytes[at + 60] ^= 1
    broken.save()
    check_serves(broken.path.parent.parent, PAIRS, "a bit flipped in the unproven batch")
    broken = Segment(copy_of(data))
    del broken.bytes[at + size - 5 :]
    broken.save()
    check_refuses(broken.path.parent.parent, "a segment that lost its end")


def test_many_segments_replay():
    """More than one segment of log, then kill -9: all there, and a middle one missing is refused."""
    server = Server().start()
    value = "v" * 1000000
    with server.client() as client:
        for i in range(80):
            check_eq(client.call("SET", f"big{i}", f"{i}{value}"), "OK", "SET")
    server.kill()
    server.start()
    with server.client() as client:
        for i in range(80):
            check_eq(len(client.call("GET", f"big{i}")), len(value) + len(str(i)), f"GET big{i}")
    server.kill()
    if is_redis(BINARY):
        return
    segments = sorted(Path(server.data, "log").glob("*.log"))
    check(len(segments) >= 3, f"only {len(segments)} segments: raise the amount written")
    segments[1].unlink()
    check_refuses(server.data, "a segment in the middle removed")


def test_broken_start_conditions_are_told_in_one_line():
    if is_redis(BINARY):
        return
    taken = Server().start()
    second = Server()
    second.port = taken.port
    second.spawn()
    check(second.wait(REFUSE_SECONDS) not in (0, None), "started on a port that is taken")
    lines = second.said().splitlines()
    check_eq(len(lines), 1, f"lines about a port that is taken {lines}")
    check("in use" in lines[0], f"does not say why: {lines[0]}")
    third = Server(data="/proc/dougong")
    third.spawn()
    check(third.wait(REFUSE_SECONDS) not in (0, None), "started without a directory")
    wait_until(taken.is_running, 1, "the first server still runs")


if __name__ == "__main__":
    run(
        [
            test_acknowledged_writes_survive_kill,
            test_sigterm_under_load_keeps_what_was_acknowledged,
            test_types_and_expiry_survive_restart,
            test_second_process_on_a_directory_is_refused,
            test_one_flipped_bit_in_the_log_is_refused,
            test_a_synced_tail_that_is_missing_is_refused,
            test_a_missing_log_is_refused,
            test_garbage_behind_the_end_is_cut,
            test_a_torn_last_batch_is_cut,
            test_many_segments_replay,
            test_broken_start_conditions_are_told_in_one_line,
        ],
        WATCHDOG_SECONDS,
    )
