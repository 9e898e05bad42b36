"""RESP2 and RESP3 as they are on the wire: a reader that keeps types, and text for people.

A reply is a tuple (type byte, value): ("$", b"x"), (":", 5), ("*", [reply, ...]),
("%", [key, value, ...]). The two nulls of RESP2 are ("$", None) and ("*", None), that of RESP3 is
("_", None).
"""

import socket
import time

REPLY_SECONDS = 30.0
LINE_KINDS = {b"+": "+", b"-": "-", b":": ":", b"_": "_", b",": ",", b"#": "#", b"(": "("}
BULK_KINDS = {b"$": "$", b"=": "=", b"!": "!"}
MANY_KINDS = {b"*": "*", b"~": "~", b">": ">", b"%": "%"}
CLOSED = ("closed", None)  # what is read when the server has closed the connection
SHOWN_BYTES = 120
SHOWN_ELEMENTS = 40


def encode(args):
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(parts)


class Connection:
    """One blocking socket; every wait has an end."""

    def __init__(self, port):
        self.port = port
        self.socket = None
        self.open()

    def open(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), REPLY_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.at = 0

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the reader sees it, behind the replies that are still there

    def call(self, *args):
        self.send(encode([a if isinstance(a, bytes) else str(a).encode() for a in args]))
        return self.read()

    def read(self):
        """The next reply, or CLOSED."""
        try:
            return self._reply()
        except (EOFError, ConnectionResetError):
            return CLOSED

    def _fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.buffer = self.buffer[self.at :] + data
        self.at = 0

    def _line(self):
        while (end := self.buffer.find(b"\r\n", self.at)) < 0:
            self._fill()
        line = self.buffer[self.at : end]
        self.at = end + 2
        return line

    def _exactly(self, size):
        have = [self.buffer[self.at :]]
        missing = size - len(have[0])
        while missing > 0:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            have.append(data)
            missing -= len(data)
        if len(have) > 1:
            self.buffer, self.at = b"".join(have), 0
        data = self.buffer[self.at : self.at + size]
        self.at += size
        return data

    def _reply(self):
        line = self._line()
        head, rest = line[:1], line[1:]
        if head in LINE_KINDS:
            kind = LINE_KINDS[head]
            if kind == ":":
                return kind, int(rest)
            return kind, None if kind == "_" else rest
        if head in BULK_KINDS:
            size = int(rest)
            return BULK_KINDS[head], None if size < 0 else self._exactly(size + 2)[:-2]
        if head in MANY_KINDS:
            count = int(rest) * (2 if head == b"%" else 1)
            return MANY_KINDS[head], None if count < 0 else [self._reply() for _ in range(count)]
        return "garbage", line


def quote(data, limit=SHOWN_BYTES):
    """As redis-cli reads it."""
    shown = data[:limit]
    text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in shown)
    more = f"...({len(data)} bytes)" if len(data) > limit else ""
    return f'"{text}"{more}'


def show(reply):
    """One line, the type first. Patterns of known_differences.toml are matched against it."""
    kind, value = reply
    if kind in MANY_KINDS.values():
        if value is None:
            return "*-1"
        parts = [show(element) for element in value[:SHOWN_ELEMENTS]]
        if len(value) > SHOWN_ELEMENTS:
            parts.append(f"...({len(value)} elements)")
        return f"{kind}[{' '.join(parts)}]"
    if value is None:
        return {"$": "$-1", "closed": "(connection closed)"}.get(kind, kind)
    if kind in "$=!":
        return kind + quote(value)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return f"{kind}{value}"


def show_command(args, limit=SHOWN_BYTES):
    plain = [arg.isascii() and arg.isalnum() and len(arg) <= limit for arg in args]
    return " ".join(a.decode() if p else quote(a, limit) for a, p in zip(args, plain))


def now_ms():
    return int(time.time() * 1000)
