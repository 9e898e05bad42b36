#!/usr/bin/env python3
"""What one client asks for never kills, freezes or bloats a node, and no reply that was due is lost."""

import socket
import threading
import time

from lib import Client, Server, check, check_eq, run, wait_until

MIB = 1024 * 1024
WATCHDOG_SECONDS = 240


class Tight(Server):
    """A node with a small budget for input, replies and proposals."""

    budget = "64mb"

    def argv(self):
        return super().argv() + ["--buffer-memory", self.budget]


def slow_socket(server):
    """A connection that takes little at a time."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(30)
    s.connect(("127.0.0.1", server.port))
    return s


def test_stop_sends_what_is_due():
    server = Server().start()
    with server.client() as client:
        client.call("SET", "k", b"x" * (8 * MIB))
    slow = slow_socket(server)
    slow.sendall(Client.encode("GET", "k"))
    time.sleep(0.3)
    slow.sendall(Client.encode("INCR", "n") + Client.encode("INCR", "n"))
    time.sleep(0.3)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    tail = b""
    while True:
        data = slow.recv(MIB)
        if not data:
            break
        tail = (tail + data)[-64:]
    stopper.join()
    check_eq(tail[-8:], b":1\r\n:2\r\n", "the last replies")
    check_eq(server.process.returncode, 0, "exit status")


def test_half_closed_reader_gets_all():
    server = Server().start()
    size = 40 * MIB
    with server.client() as client:
        client.call("SET", "k", b"x" * size)
    slow = slow_socket(server)
    slow.sendall(Client.encode("GET", "k"))
    slow.shutdown(socket.SHUT_WR)
    time.sleep(3)
    got = 0
    while True:
        data = slow.recv(MIB)
        if not data:
            break
        got += len(data)
    check_eq(got, size + len(f"${size}\r\n\r\n"), "bytes of the reply")
    check_eq(server.stop(), 0, "exit status")


def test_replies_behind_a_write_stay_bounded():
    server = Tight().start()
    with server.client() as client:
        client.call("SET", "k", b"x" * (8 * MIB))
    before = server.memory_bytes()
    for words in (["GET", "k"], ["SET", "k", b"y" * 8, "XX", "GET"]):
        s = slow_socket(server)
        s.sendall(Client.encode("SET", "x", "1") + Client.encode(*words) * 1000)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            check(server.memory_bytes() - before < 400 * MIB, "replies are not bounded")
            time.sleep(0.02)
        check(server.is_running(), "the node died")
        s.close()
    check_eq(server.stop(), 0, "exit status")


def test_large_replies_behind_a_write_all_come():
    server = Server().start()
    with server.client() as client:
        client.call("SET", "k", b"x" * (30 * MIB))
    before = server.memory_bytes()
    with server.client(30) as client:
        client.send(Client.encode("SET", "x", "1") + Client.encode("GET", "k") * 8)
        time.sleep(1)  # nobody reads: the reads wait
        check(server.memory_bytes() - before < 200 * MIB, "replies are not bounded")
        check_eq(client.read(), "OK", "the reply of the write")
        for _ in range(8):
            check_eq(len(client.read()), 30 * MIB, "a reply")
    check_eq(server.stop(), 0, "exit status")


def test_deep_pipeline_of_large_replies():
    server = Server().start()
    with server.client() as client:
        client.call("SET", "k", b"x" * (1100 * 1024))
    s = socket.create_connection(("127.0.0.1", server.port))
    request = Client.encode("GET", "k") * 2000

    def send():
        try:
            for _ in range(400):
                s.sendall(request)
        except OSError:
            pass

    threading.Thread(target=send, daemon=True).start()
    before = server.memory_bytes()
    end = time.monotonic() + 6
    got = 0
    while time.monotonic() < end:
        got += len(s.recv(4 * MIB))
    check(got > 100 * MIB, "replies flow")
    check(server.memory_bytes() - before < 40 * MIB, "the input is not bounded")
    s.close()
    check_eq(server.stop(), 0, "exit status")


def test_famine_ends():
    server = Tight().start()
    with server.client() as client:
        client.call("SET", "k", b"x" * (20 * MIB))
    idle = server.client(20)
    check_eq(idle.call("PING"), "PONG", "before")
    reader = slow_socket(server)
    reader.sendall(Client.encode("GET", "k"))  # and never reads
    time.sleep(0.5)
    hogs = []
    for _ in range(3):
        hog = slow_socket(server)
        hog.settimeout(1)
        try:
            hog.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$60000000\r\n" + b"y" * (40 * MIB))
        except OSError:
            pass
        hogs.append(hog)
    check_eq(idle.call("SET", "a", "1"), "OK", "a patient client")
    wait_until(lambda: idle.call("GET", "a") == b"1" or idle.call("GET", "a") == "1", 10, "reads")
    check_eq(server.stop(), 0, "exit status")


def test_large_local_reply_behind_a_read():
    """What is answered at once must not stop the older read that it waits for."""
    server = Server().start()
    for late in ([("PING", b"x" * MIB)], [("NOSUCH", b"x" * 60)] * 12000):
        with server.client() as client:
            replies = client.pipeline([("SET", "a", "b"), ("GET", "a"), *late])
            check_eq(replies[:2], ["OK", b"b"], "the commands before it")
    check_eq(server.stop(), 0, "exit status")


def test_many_small_hoarders_do_not_stop_the_node():
    """Each holds little, all together more than the budget: they go in seconds, not one a second."""
    server = Server(node_options=("--buffer-memory", "16mb")).start()
    with server.client() as client:
        client.call("SET", "a", "b")
        part = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n" + b"x" * 100000
        hoarders = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(400)]
        for s in hoarders:
            s.setblocking(False)
            s.send(part)
        time.sleep(1)
        started = time.monotonic()
        check_eq(client.call("GET", "a"), b"b", "GET")
        check(time.monotonic() - started < 8, "the famine went on")
        for s in hoarders:
            s.close()
    check_eq(server.stop(), 0, "exit status")


def test_idle_connections_are_no_famine():
    """Buffers kept for the next command are given back when memory is short."""
    server = Server(node_options=("--buffer-memory", "16mb")).start()
    clients = []
    for _ in range(800):
        clients.append(server.client())
        clients[-1].pipeline([("SET", "a", b"v" * 12000), ("GET", "a")])
    time.sleep(2)
    for client in clients:
        check_eq(client.call("PING"), "PONG", "PING of an idle connection")
        client.close()
    check_eq(server.stop(), 0, "exit status")


def test_unread_replies_of_many_stay_bounded():
    server = Tight().start()
    with server.client() as client:
        client.call("SET", "k", b"x" * (16 * MIB))
    before = server.memory_bytes()
    readers = []
    for _ in range(30):
        s = slow_socket(server)
        s.sendall(Client.encode("GET", "k"))
        readers.append(s)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        check(server.memory_bytes() - before < 300 * MIB, "unread replies are not bounded")
        time.sleep(0.05)
    for s in readers:
        s.close()
    check_eq(server.stop(), 0, "exit status")


if __name__ == "__main__":
    run(
        [
            test_stop_sends_what_is_due,
            test_half_closed_reader_gets_all,
            test_replies_behind_a_write_stay_bounded,
            test_large_replies_behind_a_write_all_come,
            test_deep_pipeline_of_large_replies,
            test_famine_ends,
            test_large_local_reply_behind_a_read,
            test_many_small_hoarders_do_not_stop_the_node,
            test_idle_connections_are_no_famine,
            test_unread_replies_of_many_stay_bounded,
        ],
        WATCHDOG_SECONDS,
    )
