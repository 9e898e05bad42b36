#!/usr/bin/env python3
"""Broken, huge, slow and senseless clients: the reply of Redis or a closed connection, bounded
memory, and everybody else is served.

Replies are compared byte by byte with a real redis-server on the side. SEED=n repeats the random
choices of a run; CASES=n: how many mutated streams are compared.
"""

import os
import random
import socket
import struct
import time

from lib import REDIS, Client, ReplyError, Server, check, check_eq, run, seed, shorten, wait_until

MIB = 1 << 20
VALUE_BYTES_MAX = 64 * MIB  # src/base/limits.h, as all of these
COMMAND_BYTES_MAX = VALUE_BYTES_MAX + 16 * MIB
OUTPUT_BYTES_MAX = 64 * MIB
ARGUMENTS_MAX = 1048576
KEY_BYTES_MAX = 64 * 1024

IDLE_MEMORY_GROWTH_MAX = 64 * MIB  # for clients that only claim to send much
EXCHANGE_SECONDS = 15
LATENCY_SECONDS_MAX = 5.0
WATCHDOG_SECONDS = 280
CASES = int(os.environ.get("CASES", 400))

SEED = seed()


def exchange(port, data):
    """Sends data and our end of stream; returns all that comes until the other end closes."""
    with socket.create_connection(("127.0.0.1", port), EXCHANGE_SECONDS) as conn:
        try:
            conn.sendall(data)
            conn.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed on us: what it said before still counts
        received = []
        try:
            while True:
                piece = conn.recv(1 << 16)
                if not piece:
                    break
                received.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(received)


class Pair:
    """A node and a redis-server with the same limit for values."""

    def __init__(self):
        # Redis has one key space: with several groups DEL of many keys is refused.
        self.node = Server(node_options=("--groups", "1")).start()
        limit = ("--proto-max-bulk-len", str(VALUE_BYTES_MAX))
        self.redis = Server(REDIS, redis_options=limit).start()

    def compare(self, data):
        wanted = exchange(self.redis.port, data)
        got = exchange(self.node.port, data)
        if got != wanted:
            at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b),
                      min(len(got), len(wanted)))
            begin = max(0, at - 60)
            raise AssertionError(
                f"sent {shorten(data)}: reply differs at byte {at}: got "
                f"{shorten(got[begin:])}, Redis says {shorten(wanted[begin:])}"
            )

    def compare_all(self, cases):
        wrong = []
        for case in cases:
            try:
                self.compare(case)
            except (AssertionError, OSError) as error:
                wrong.append(str(error) or repr(error))
        check(self.node.is_running(), "the node is dead")
        check(not wrong, f"{len(wrong)} of {len(cases)} differ:\n  " + "\n  ".join(wrong[:40]))


def command(*args):
    return Client.encode(*args)


PING = b"*1\r\n$4\r\nPING\r\n"


def test_broken_framing_is_answered_as_redis_does():
    streams = [
        b"*0\r\n",
        b"*-1\r\n",
        b"*-5\r\n",
        b"*abc\r\n",
        b"*\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"* 1\r\n$4\r\nPING\r\n",
        b"*01\r\n$4\r\nPING\r\n",
        b"*1x\r\n",
        b"*99999999999999999999\r\n",
        b"*9223372036854775808\r\n",
        b"*1\r\n+PING\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$abc\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*1\r\n$+4\r\nPING\r\n",
        b"*1\r\n$9223372036854775808\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$%d\r\n" % (VALUE_BYTES_MAX + 1),
        b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % (VALUE_BYTES_MAX + 1),
        b"*1\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$3\r\nabcXY",  # the two bytes behind a bulk are not looked at
        b"*1\n$4\nPING\n",
        b"*1\r$4\rPING\r",
        b"\r\n\r\n\n",
        b"\r",
        b"\n",
        b"   \r\n",
        b"PING\n",
        b"ping\r\n",
        b"  PING  \r\n",
        b"PING\rPING\r\n",
        b'ECHO "a b\\x41\\n\\t\\"\\\\"\r\n',
        b"ECHO 'a \\' \"b'\r\n",
        b'ECHO ""\r\n',
        b'ECHO "a b\r\n',
        b"ECHO 'a b\r\n",
        b'ECHO "a"b\r\n',
        b"ECHO a\"b c\"\r\n",
        b"ECHO \x01\xff\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"Host: localhost\r\n",
        b"A" * 65535 + b"\r\n",
        b"$4\r\nPING\r\n",
        b"+PING\r\n",
        b"\x16\x03\x01\x02\x01\xfc\x03\x03",  # like a TLS hello
    ]
    # Endless lines. How much is too much depends in Redis on what one read brings.
    endless = [b"A" * 70000, b"*" + b"1" * 70000, b"*1\r\n$" + b"1" * 70000]
    pair = Pair()
    cases = endless + [PING + stream for stream in endless]
    for stream in streams:
        cases += [stream, PING + stream, stream + PING, PING + stream + PING]
    pair.compare_all(cases)


def test_nul_bytes_in_lines_do_no_harm():
    """Redis reads lines as C strings and waits for ever behind a NUL; we may answer instead."""
    server = Server().start()
    for data in (b"PING\x00PING\r\n", b"ECHO \x00\x01\xff\r\n", b"*1\x00\r\n$4\r\nPING\r\n",
                 b"*1\r\n$4\x00\r\nPING\r\n", b"\x00", command("no\x00such", "a\x00b"),
                 command("ECHO", b"\x00"), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        reply = exchange(server.port, PING + data)
        check(reply.startswith(b"+PONG\r\n"), f"{data!r}: {reply!r}")
        check(server.is_running(), f"{data!r}: the node is dead")
    check_eq(exchange(server.port, command("ECHO", b"\x00")), b"$1\r\n\x00\r\n", "ECHO of a NUL")


def test_incomplete_requests_at_the_end_of_stream():
    pair = Pair()
    whole = PING + command("SET", "partial", "value") + command("GET", "partial") + b"PING\r\n"
    pair.compare_all([whole[:size] for size in range(len(whole) + 1)])


def test_commands_are_refused_in_the_words_of_redis():
    lines = """
        NOSUCH | NOSUCH a | nosuch a b c d e f g h i j | GET | GET a b | SET | SET a | DEL | EXISTS
        INCR | INCR a b | ECHO | ECHO a b | PING a b | PING a | SELECT | SELECT 1 2 | SELECT 16
        SELECT -1 | SELECT abc | SELECT 9999999999999999999 | SELECT 1.5 | SELECT 15
        SET k v NX XX | SET k v EX | SET k v EX 0 | SET k v EX -1 | SET k v EX abc
        SET k v PX 0 | SET k v EX 10 PX 10 | SET k v KEEPTTL EX 10 | SET k v EX 10 KEEPTTL
        SET k v EX 9223372036854775807 | SET k v PX 9223372036854775807 | SET k v EXAT 0
        SET k v EXAT -5 | SET k v PXAT 0 | SET k v EX 9223372036854775808 | SET k v BOGUS
        SET k v NX NX | SET k v XX XX | SET k v GET GET | SET k v EX 10 EX 20 | SET k v ex 10 nx get
        SET k v EXAT 1 | SET k v GET NX | SET missing v XX GET | SET k v KEEPTTL KEEPTTL
        SET k v PERSIST | SET n 9223372036854775807 | INCR n | SET n -9223372036854775808 | INCR n
        SET n 01 | INCR n | SET n abc | INCR n | SET n 1.0 | INCR n | SET n 9223372036854775806
        INCR n | INCR n | GET n | HELLO 4 | HELLO 1 | HELLO abc | HELLO 3 BOGUS | HELLO 2 SETNAME
        HELLO -1 | CLIENT | CLIENT NOSUCH | CLIENT ID x | CLIENT SETNAME | CLIENT SETNAME a b
        CLIENT GETNAME x | CLIENT GETNAME | CLIENT SETNAME me | CLIENT GETNAME | CLIENT INFO x
        COMMAND NOSUCH | COMMAND COUNT x | COMMAND GETKEYS | COMMAND GETKEYS GET
        COMMAND GETKEYS GET a | COMMAND GETKEYS SET a b | COMMAND GETKEYS PING
        COMMAND GETKEYS NOSUCH a | COMMAND GETKEYS DEL a b c | COMMAND GETKEYS EXISTS a b
        COMMAND GETKEYS INCR n | COMMAND GETKEYS SET a | COMMAND INFO nosuch | COMMAND INFO nosuch x
        COMMAND DOCS nosuch | COMMAND LIST FILTERBY | COMMAND LIST FILTERBY BOGUS x | COMMAND LIST x
        COMMAND LIST FILTERBY MODULE none | COMMAND LIST FILTERBY PATTERN incr
        COMMAND LIST FILTERBY ACLCAT nosuch | EXISTS n n n | DEL n n | EXISTS n | QUIT
        QUIT x | GET k | SELECT 0
    """
    commands = [
        command(*line.split()) for text in lines.splitlines() for line in text.split("|")
        if line.strip()
    ]
    special = [
        command("nosuch", "x" * 500, "y" * 500),
        command("n" * 500, "x"),
        command("no\r\nsuch", "a\r\nb"),
        command("", "a"),
        command("nosuch", ""),
        command(b"\xff\xfe", b"\x80"),
        command("SET", "n2", " 1") + command("INCR", "n2"),
        command("SET", "n3", "1 ") + command("INCR", "n3"),
        command("SET", "n4", "") + command("INCR", "n4"),
        command("SET", "n5", "-0") + command("INCR", "n5"),
        command("CLIENT", "SETNAME", "a b"),
        command("CLIENT", "SETNAME", "a\nb"),
        command("CLIENT", "SETNAME", ""),
        command("HELLO", "3", "SETNAME", "a b"),
        command("QUIT") + PING,
        command("CLIENT", "NO\r\nSUCH"),
    ]
    pair = Pair()
    pair.compare_all(commands + special + [b"".join(c for c in commands if b"QUIT" not in c)])


def test_resp3_replies_are_those_of_redis():
    pair = Pair()
    body = [
        command("GET", "missing"), command("SET", "k", "v", "GET"), command("SET", "k", "v", "NX"),
        command("GET", "k"), command("EXISTS", "k"), command("INCR", "n"), command("CLIENT", "GETNAME"),
        command("NOSUCH"), command("COMMAND", "INFO", "nosuch"), command("COMMAND", "DOCS", "nosuch"),
    ]

    def after_hello(port):
        reply = exchange(port, command("HELLO", "3") + command("ECHO", "body") + b"".join(body))
        return reply[reply.index(b"$4\r\nbody\r\n") :]

    check_eq(after_hello(pair.node.port), after_hello(pair.redis.port), "replies after HELLO 3")


def test_limits_of_our_own_are_told():
    server = Server().start()
    reply = exchange(server.port, b"*%d\r\n" % (ARGUMENTS_MAX + 1) + PING)
    check_eq(reply, b"-ERR Protocol error: invalid multibulk length\r\n", "too many arguments")
    with server.client() as client:
        for args in (("SET", "k" * (KEY_BYTES_MAX + 1), "v"), ("GET", "k" * (KEY_BYTES_MAX + 1))):
            reply = client.call(*args)
            check(isinstance(reply, ReplyError), f"a key over the limit: {shorten(reply)}")
        check_eq(client.call("SET", "k" * KEY_BYTES_MAX, "v"), "OK", "a key at the limit")
        check_eq(client.call("GET", "k" * KEY_BYTES_MAX), b"v", "a key at the limit")
    half = "x" * (COMMAND_BYTES_MAX // 2 + MIB)
    reply = exchange(server.port, command("DEL", half, half))
    check(reply.startswith(b"-ERR"), f"a command over the limit: {shorten(reply)}")
    check(server.is_running(), "the node is dead")


def test_the_largest_value_goes_in_and_out():
    server = Server().start()
    value = random.Random(SEED).randbytes(VALUE_BYTES_MAX)
    with server.client(60) as client:
        check_eq(client.call("SET", "large", value), "OK", "SET of 64 MiB")
        check(client.call("GET", "large") == value, "GET of 64 MiB differs")
    server.kill()
    server.start()
    with server.client(60) as client:
        check(client.call("GET", "large") == value, "GET of 64 MiB differs after kill -9")


def open_many(server, count, data):
    conns = []
    for _ in range(count):
        conn = socket.create_connection(("127.0.0.1", server.port), EXCHANGE_SECONDS)
        conn.sendall(data)
        conns.append(conn)
    return conns


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def check_others_are_served(server, what):
    with server.client() as client:
        for i in range(20):
            started = time.monotonic()
            check_eq(client.call("SET", "other", i), "OK", f"{what}: SET")
            check_eq(client.call("GET", "other"), str(i).encode(), f"{what}: GET")
            took = time.monotonic() - started
            check(took < LATENCY_SECONDS_MAX, f"{what}: SET and GET took {took:.1f} s")


def test_claims_cost_no_memory():
    """What a client announces and does not send is not allocated."""
    server = Server().start()
    before = server.memory_bytes()
    claims = [
        b"*1000000\r\n",
        b"*1000000\r\n$60000000\r\n",
        b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % VALUE_BYTES_MAX,
        b"*2\r\n$4\r\nECHO\r\n$%d\r\nabc" % VALUE_BYTES_MAX,
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % VALUE_BYTES_MAX,
        b"PING",
    ]
    conns = []
    for claim in claims:
        conns += open_many(server, 200, claim)
        check_others_are_served(server, f"{len(conns)} clients that claim")
        grown = server.memory_bytes() - before
        check(grown < IDLE_MEMORY_GROWTH_MAX,
              f"{len(conns)} clients, the last with {claim!r}, cost {grown / MIB:.0f} MiB")
    print(f"{len(conns)} claiming clients cost {(server.memory_bytes() - before) / MIB:.1f} MiB")
    for conn in conns:
        reset(conn)


def test_many_tiny_arguments():
    server = Server().start()
    before = server.memory_bytes()
    count = ARGUMENTS_MAX
    data = b"*%d\r\n$6\r\nNOSUCH\r\n" % count + b"$1\r\na\r\n" * (count - 1)
    reply = exchange(server.port, data)
    check(reply.startswith(b"-ERR unknown command 'NOSUCH'"), f"reply {shorten(reply)}")
    grown = server.memory_bytes("VmHWM") - before
    print(f"{count} arguments cost {grown / MIB:.1f} MiB at the peak")
    check(grown < 256 * MIB, f"{count} arguments cost {grown / MIB:.0f} MiB")
    check_others_are_served(server, "after many arguments")


def test_half_open_and_reset_connections_leave_nothing():
    server = Server().start()
    fd_dir = f"/proc/{server.process.pid}/fd"
    check_others_are_served(server, "before")
    before = len(os.listdir(fd_dir))
    halves = [b"", b"*", b"*2\r\n$3\r\nGET", b"SET k", PING + b"*1\r\n", command("INCR", "c") * 50]
    rng = random.Random(SEED)
    for _ in range(5):
        conns = []
        for half in halves:
            conns += open_many(server, 60, half)
        check_others_are_served(server, f"{len(conns)} half-open clients")
        rng.shuffle(conns)
        for i, conn in enumerate(conns):
            if i % 2:
                reset(conn)
            else:
                conn.close()
    wait_until(lambda: len(os.listdir(fd_dir)) <= before, 10,
               f"connections are gone (before {before} files, now {len(os.listdir(fd_dir))})")
    check_others_are_served(server, "after")


def test_slow_readers_cost_bounded_memory():
    """Clients that ask for much and read nothing; then one of them reads after all."""
    readers, gets = 10, 300
    server = Server().start()
    value = random.Random(SEED).randbytes(MIB)
    with server.client() as client:
        check_eq(client.call("SET", "big", value), "OK", "SET")
    before = server.memory_bytes()
    conns = open_many(server, readers, command("GET", "big") * gets)
    peak = 0
    for _ in range(10):
        check_others_are_served(server, "slow readers")
        time.sleep(0.1)
        peak = max(peak, server.memory_bytes("VmHWM") - before)
    print(f"{readers} readers of {gets} MiB each that do not read cost {peak / MIB:.1f} MiB")
    bound = readers * OUTPUT_BYTES_MAX + IDLE_MEMORY_GROWTH_MAX
    check(peak < bound, f"slow readers cost {peak / MIB:.0f} MiB, bound {bound / MIB:.0f}")
    client = Client.__new__(Client)
    client.socket, client.buffer, client.at = conns[0], b"", 0
    try:
        for i in range(gets):
            check(client.read() == value, f"reply {i} of a slow reader differs")
        print("a slow reader that wakes up gets everything")
    except (EOFError, ConnectionError):
        print("slow readers are closed")
    for conn in conns:
        reset(conn)
    check_others_are_served(server, "after slow readers")


def test_slow_readers_of_small_replies():
    """Many small commands whose replies nobody reads: the server stops reading, not working."""
    server = Server().start()
    before = server.memory_bytes()
    conns = []
    for _ in range(20):
        conn = socket.create_connection(("127.0.0.1", server.port), EXCHANGE_SECONDS)
        conn.setblocking(False)
        conns.append(conn)
    data = command("ECHO", "x" * 1000) * 1000
    sent = 0
    end = time.monotonic() + 4
    while time.monotonic() < end:
        for conn in conns:
            try:
                sent += conn.send(data)
            except BlockingIOError:
                pass
            except OSError:
                pass  # closed: a fair answer too
    check_others_are_served(server, "readers of small replies")
    peak = server.memory_bytes("VmHWM") - before
    print(f"{sent / MIB:.0f} MiB of ECHO taken from clients that do not read, {peak / MIB:.1f} MiB")
    bound = 20 * OUTPUT_BYTES_MAX + IDLE_MEMORY_GROWTH_MAX
    check(peak < bound, f"they cost {peak / MIB:.0f} MiB")
    for conn in conns:
        reset(conn)


def test_garbage_is_answered_as_redis_does():
    rng = random.Random(SEED)
    cases = []
    for _ in range(60):
        data = rng.randbytes(rng.choice((1, 10, 100, 1000, 20000)))
        data = data.replace(b"\x00", b"\x01")  # see test_nul_bytes_in_lines_do_no_harm
        cases.append(rng.choice((b"", PING, b"*1\r\n", b"*3\r\n$3\r\nSET\r\n", b"$")) + data)
    Pair().compare_all(cases)


def valid_stream(rng, commands_max=8):
    key = lambda: f"m{rng.randrange(4)}"
    makers = [
        lambda: PING,
        lambda: b"PING\r\n",
        lambda: command("SET", key(), rng.randrange(1000)),
        lambda: command("SET", key(), "x" * rng.randrange(30), rng.choice(("NX", "XX", "GET"))),
        lambda: command("GET", key()),
        lambda: command("INCR", key()),
        lambda: command("DEL", key(), key()),
        lambda: command("EXISTS", key(), key()),
        lambda: command("ECHO", "there"),  # HELLO would tell the connection's number
        lambda: command("SELECT", rng.randrange(3)),
        lambda: b"set %s 'quoted \\' value'\r\n" % key().encode(),
    ]
    return b"".join(rng.choice(makers)() for _ in range(rng.randint(1, commands_max)))


def test_pipelines_are_answered_in_order():
    """A read in a pipeline sees the writes before it, and none behind it."""
    rng = random.Random(SEED)
    first = command("SET", "m0", 1) + command("GET", "m1") + command("SET", "m1", 2)
    second = command("INCR", "m2") + command("EXISTS", "m3") + command("SET", "m3", 2)
    Pair().compare_all([first, second] + [valid_stream(rng, 60) for _ in range(CASES // 4)])


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        choice = rng.random()
        piece = rng.choice((b"\r\n", b"*", b"$", b"-1", b"0", b"9", b"\"", b"'", b" ", b"\n"))
        if choice < 0.3:
            data[at:at] = piece
        elif choice < 0.6:
            del data[at : at + rng.randint(1, 4)]
        elif at < len(data):
            data[at] = rng.choice((rng.randrange(1, 256), piece[0]))
        if not data:
            data = bytearray(b"\r\n")
    return bytes(data)


def test_mutated_streams_are_answered_as_redis_does():
    """And leave the same values behind."""
    rng = random.Random(SEED)
    look = b"".join(
        command("SELECT", database) + b"".join(command("GET", f"m{i}") for i in range(4))
        for database in range(3)
    )
    clear = b"".join(
        command("SELECT", database) + command("DEL", "m0", "m1", "m2", "m3") for database in range(3)
    )
    pair = Pair()
    wrong = []
    for _ in range(CASES):
        stream = mutate(rng, valid_stream(rng))
        try:
            pair.compare(stream)
            pair.compare(look)
        except AssertionError as error:
            wrong.append(f"after {shorten(stream, 500)}: {error}")
            exchange(pair.node.port, clear)
            exchange(pair.redis.port, clear)
    check(pair.node.is_running(), "the node is dead")
    check(not wrong, f"{len(wrong)} of {CASES} differ:\n  " + "\n  ".join(wrong[:20]))


if __name__ == "__main__":
    run(
        [
            test_broken_framing_is_answered_as_redis_does,
            test_nul_bytes_in_lines_do_no_harm,
            test_incomplete_requests_at_the_end_of_stream,
            test_commands_are_refused_in_the_words_of_redis,
            test_resp3_replies_are_those_of_redis,
            test_limits_of_our_own_are_told,
            test_the_largest_value_goes_in_and_out,
            test_claims_cost_no_memory,
            test_many_tiny_arguments,
            test_half_open_and_reset_connections_leave_nothing,
            test_slow_readers_cost_bounded_memory,
            test_slow_readers_of_small_replies,
            test_garbage_is_answered_as_redis_does,
            test_pipelines_are_answered_in_order,
            test_mutated_streams_are_answered_as_redis_does,
        ],
        WATCHDOG_SECONDS,
    )
