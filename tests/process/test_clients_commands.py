#!/usr/bin/env python3
"""CLIENT, MONITOR and RESET on real sockets. Also true of the original:
DOUGONG=/usr/bin/redis-server tests/process/test_clients_commands.py
"""

import re
import socket
import time

from lib import ReplyError, Server, check, check_eq, is_redis, run, wait_until

LINE = re.compile(
    rb"id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ fd=-?\d+ name=(?P<name>\S*) age=\d+ "
    rb"idle=\d+ flags=(?P<flags>\w+) db=(?P<db>\d+) sub=0 psub=0 ssub=0 multi=-1 qbuf=\d+ "
    rb"qbuf-free=\d+ argv-mem=\d+ multi-mem=0 rbs=\d+ rbp=\d+ obl=\d+ oll=\d+ omem=\d+ "
    rb"tot-mem=\d+ events=rw? cmd=(?P<cmd>\S+) user=default redir=-1 resp=(?P<resp>[23])"
)
HELD_SECONDS = 0.3
MANY = 200


def lines(client, *args):
    text = client.call("CLIENT", "LIST", *args)
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    check(all(found), f"lines of Redis 7.0: {text}")
    return found


def is_silent(client, seconds=HELD_SECONDS):
    """Nothing comes; what does, stays to be read."""
    client.socket.settimeout(seconds)
    try:
        client.buffer = client.buffer[client.at :] + client.socket.recv(1 << 16)
        client.at = 0
        return False
    except socket.timeout:
        return True
    finally:
        client.socket.settimeout(20)


def test_client_list_and_names():
    server = Server().start()
    with server.client() as a, server.client() as b:
        check_eq(b.call("CLIENT", "SETNAME", "bob"), "OK", "SETNAME")
        check_eq(b.call("SELECT", 3), "OK", "SELECT")
        shown = lines(a)
        check_eq([m["name"] for m in shown], [b"", b"bob"], "names, oldest first")
        check_eq([m["db"] for m in shown], [b"0", b"3"], "databases")
        check_eq([m["cmd"] for m in shown], [b"client|list", b"select"], "last commands")
        number = b.call("CLIENT", "ID")
        check_eq(len(lines(a, "ID", number, 999999)), 1, "one line for one id")
        check_eq(b.call("RESET"), "RESET", "RESET")
        check_eq([m["name"] for m in lines(a)], [b"", b""], "names after RESET")


def test_client_kill():
    server = Server().start()
    with server.client() as a, server.client() as b, server.client() as c:
        address = "%s:%d" % b.socket.getsockname()
        check_eq(a.call("CLIENT", "KILL", address), "OK", "KILL by address")
        check(not b.socket.recv(1), "the killed connection ends")
        check_eq(a.call("CLIENT", "KILL", address), ReplyError("ERR No such client"), "once more")
        check_eq(a.call("CLIENT", "KILL", "ID", c.call("CLIENT", "ID")), 1, "KILL by id")
        check(not c.socket.recv(1), "the other one ends, too")
        check_eq(a.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"), 1, "KILL of itself")
        check(not a.socket.recv(1), "its reply was the last one")


def test_client_reply():
    server = Server().start()
    with server.client() as a:
        commands = [["SET", "k", i] for i in range(MANY)]
        a.send(a.encode("CLIENT", "REPLY", "OFF"))
        for command in commands:
            a.send(a.encode(*command))
        check_eq(a.call("CLIENT", "REPLY", "ON"), "OK", "the first reply is that of ON")
        a.send(a.encode("CLIENT", "REPLY", "SKIP") + a.encode("GET", "k") + a.encode("PING"))
        check_eq(a.read(), "PONG", "one reply was skipped")
        check_eq(a.call("GET", "k"), b"%d" % (MANY - 1), "the silent writes")


def test_monitor():
    server = Server().start()
    with server.client() as a, server.client() as gone:
        check_eq(gone.call("MONITOR"), "OK", "MONITOR")
        with server.client() as m:
            check_eq(m.call("MONITOR"), "OK", "MONITOR")
            gone.close()  # with lines on their way
            a.pipeline([["SET", "k", "a\n\"\\\x01"], ["auth", "secret"], ["SELECT", 2], ["GET", "k"]])
            port = a.socket.getsockname()[1]
            wanted = [
                rf'[0 127.0.0.1:{port}] "SET" "k" "a\n\"\\\x01"',
                rf'[0 127.0.0.1:{port}] "auth" "(redacted)"',
                rf'[2 127.0.0.1:{port}] "SELECT" "2"',
                rf'[2 127.0.0.1:{port}] "GET" "k"',
            ]
            for line in wanted:
                said = m.read()
                stamp, rest = said.split(" ", 1)
                check(re.fullmatch(r"\d+\.\d{6}", stamp), f"a time: {said}")
                check(abs(float(stamp) - time.time()) < 60, f"the time: {said}")
                check_eq(rest, line, "a line")
            check_eq(m.call("RESET"), "RESET", "RESET")
            a.call("PING")
            check(is_silent(m), "no lines after RESET")
        wait_until(lambda: len(lines(a)) == 1, 10, "monitors are gone")


def test_client_pause():
    server = Server().start()
    with server.client() as a, server.client() as b, server.client() as leaves:
        check_eq(a.call("CLIENT", "PAUSE", 100000, "WRITE"), "OK", "PAUSE WRITE")
        check_eq(b.call("GET", "k"), None, "reads go on")
        b.send(b.encode("SET", "k", 1) + b.encode("GET", "k"))
        leaves.send(leaves.encode("SET", "k", 2))
        check(is_silent(b), "a write waits, and what is behind it")
        check_eq([m["flags"] for m in lines(a)], [b"N", b"b", b"b"], "who is blocked")
        leaves.close()
        wait_until(lambda: len(lines(a)) == 2, 10, "a held connection that left")
        check_eq(a.call("CLIENT", "UNPAUSE"), "OK", "UNPAUSE")
        check_eq([b.read(), b.read()], ["OK", b"1"], "both go on, in order")
        check_eq(a.call("CLIENT", "PAUSE", int(HELD_SECONDS * 1000)), "OK", "PAUSE ALL")
        start = time.monotonic()
        check_eq(b.call("PING"), "PONG", "PING")
        check(time.monotonic() - start > HELD_SECONDS * 0.9, "not before its time")


def test_limits_of_clients():
    server = Server().start()
    with server.client() as a, server.client() as b:
        check_eq(a.call("CONFIG", "SET", "maxclients", 2), "OK", "CONFIG SET maxclients")
        with server.client() as c:
            check_eq(c.read(), ReplyError("ERR max number of clients reached"), "the third one")
        check_eq(a.call("CONFIG", "SET", "timeout", 1), "OK", "CONFIG SET timeout")
        wait_until(lambda: a.call("PING") and len(lines(a)) == 1, 10, "the idle one is closed")
        check(not b.socket.recv(1), "and has noticed")


def test_slow_commands():
    server = Server(redis_options=["--enable-debug-command", "yes"]).start()
    with server.client() as a, server.client() as b:
        check_eq(a.call("CONFIG", "SET", "latency-monitor-threshold", 10), "OK", "threshold")
        check_eq(a.call("CLIENT", "SETNAME", "bob"), "OK", "SETNAME")
        check_eq(a.call("SLOWLOG", "RESET"), "OK", "RESET")
        start = time.monotonic()
        a.send(a.encode("DEBUG", "SLEEP", "0.5") + a.encode("ECHO", "behind"))
        if not is_redis(server.binary):
            check_eq(b.call("PING"), "PONG", "others go on")
            check(time.monotonic() - start < 0.4, "at once")
        check_eq([a.read(), a.read()], ["OK", b"behind"], "the sleeper's replies")
        check(time.monotonic() - start >= 0.5, "not before its time")
        entry = a.call("SLOWLOG", "GET")[0]
        check_eq(entry[3:], [[b"DEBUG", b"SLEEP", b"0.5"], b"%s:%d" % local(a), b"bob"], "entry")
        check(500_000 <= entry[2] < 5_000_000, f"microseconds: {entry}")
        event, _, newest_ms, worst_ms = a.call("LATENCY", "LATEST")[0]
        check_eq(event, b"command", "event")
        check(500 <= newest_ms <= worst_ms < 5000, f"milliseconds: {newest_ms}, {worst_ms}")
        check_eq(a.call("LATENCY", "HISTOGRAM", "echo")[1][:2], [b"calls", 1], "histogram")


def local(client):
    host, port = client.socket.getsockname()
    return host.encode(), port


if __name__ == "__main__":
    run(
        [
            test_client_list_and_names,
            test_client_kill,
            test_client_reply,
            test_monitor,
            test_client_pause,
            test_limits_of_clients,
            test_slow_commands,
        ],
        120,
    )
