"""What the process tests share: servers of their own, a RESP2 client, checks.

Every wait has an end. Only processes started here are ended, by their id; they also die with us.
DOUGONG names the binary (default: build/dougong). A redis-server works too, so that a test can be
tried against the original: DOUGONG=/usr/bin/redis-server tests/process/test_x.py
"""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("DOUGONG", str(ROOT / "build/dougong"))
REDIS = shutil.which("redis-server") or "/usr/bin/redis-server"

START_SECONDS = 20.0
STOP_SECONDS = 20.0
REPLY_SECONDS = 20.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def is_redis(binary):
    return Path(binary).name.startswith("redis-server")


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    # Not above 55535: a node may also want the port 10000 higher.
    for _ in range(100):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port found")


class ReplyError(str):
    """An error reply: a value, not an exception, as pipelines may hold many."""


class Client:
    """A RESP2 client on one blocking socket. Closed: EOFError or ConnectionError."""

    def __init__(self, port, seconds=REPLY_SECONDS):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.at = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def encode(*args):
        parts = [b"*%d\r\n" % len(args)]
        for arg in args:
            if not isinstance(arg, bytes):
                arg = str(arg).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
        return b"".join(parts)

    def send(self, data):
        self.socket.sendall(data)

    def call(self, *args):
        self.send(self.encode(*args))
        return self.read()

    def pipeline(self, commands):
        self.send(b"".join(self.encode(*c) for c in commands))
        return [self.read() for _ in commands]

    def _fill(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError("connection closed")
        self.buffer = self.buffer[self.at :] + data
        self.at = 0

    def _line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.at)
            if end >= 0:
                line = self.buffer[self.at : end]
                self.at = end + 2
                return line
            self._fill()

    def _exactly(self, size):
        if len(self.buffer) - self.at < size:
            parts = [self.buffer[self.at :]]
            have = len(parts[0])
            while have < size:
                data = self.socket.recv(1 << 20)
                if not data:
                    raise EOFError("connection closed")
                parts.append(data)
                have += len(data)
            self.buffer = b"".join(parts)
            self.at = 0
        data = self.buffer[self.at : self.at + size]
        self.at += size
        return data

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._exactly(size + 2)[:-2]
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else [self.read() for _ in range(count)]
        raise ValueError(f"not RESP2: {line[:80]!r}")


class Server:
    """One node (or redis-server) on a directory; start() after stop() or kill() opens it again."""

    def __init__(self, binary=BINARY, data=None, redis_options=(), node_options=()):
        self.binary = binary
        self.node_options = node_options  # ignored by redis-server
        self.redis_options = redis_options  # ignored by a node
        self.data = data or temp_dir()
        self.port = free_port()
        self.process = None
        self.output = os.path.join(temp_dir(), "output")

    def argv(self):
        if is_redis(self.binary):
            os.makedirs(self.data, exist_ok=True)
            words = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync always"
            return [self.binary, *words.split(), "--save", "", "--dir", self.data,
                    *self.redis_options]
        listen = f"127.0.0.1:{self.port}"
        words = ["server", "--data", self.data, "--listen", listen]
        return [self.binary, *words, *self.node_options]

    def spawn(self):
        with open(self.output, "ab") as out:
            self.process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,
            )
        _servers.append(self)

    def start(self):
        self.spawn()
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"server ended with {self.process.returncode}: {self.said()}")
            try:
                with Client(self.port, 2.0) as client:
                    if client.call("PING") == "PONG":
                        return self
            except (OSError, EOFError):
                pass
            time.sleep(0.01)
        raise RuntimeError(f"server did not answer within {START_SECONDS} s: {self.said()}")

    def said(self):
        with open(self.output, "rb") as out:
            return out.read().decode(errors="replace")[-2000:].strip()

    def wait(self, seconds=STOP_SECONDS):
        """Exit status; a server that does not end is killed and counts as None."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def memory_bytes(self, field="VmRSS"):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def client(self, seconds=REPLY_SECONDS):
        return Client(self.port, seconds)


_servers = []
_dirs = []


def temp_dir():
    path = tempfile.mkdtemp(prefix="dougong-process-")
    _dirs.append(path)
    return path


def clean_up():
    for server in _servers:
        server.kill()
    _servers.clear()
    for path in _dirs:
        shutil.rmtree(path, ignore_errors=True)
    _dirs.clear()


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def check_eq(got, wanted, what):
    check(got == wanted, f"{what}: got {shorten(got)}, wanted {shorten(wanted)}")


def shorten(value, size=300):
    text = repr(value)
    return text if len(text) <= size else f"{text[:size]}... ({len(text)} characters)"


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.02)


def seed():
    """From SEED, or new; printed, so that a failure can be run again."""
    value = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SEED={value}")
    return value


def give_up(what):
    print(f"FAIL {what}")
    for thread, frame in sys._current_frames().items():
        print(f"thread {thread}\n" + "".join(traceback.format_stack(frame)))
    print("0 passed, 1 failed", flush=True)
    clean_up()
    os._exit(1)


def run(tests, seconds):
    """Runs the functions one after the other; ends the script with the closing line."""
    wanted = sys.argv[1:]
    watchdog = threading.Timer(seconds, give_up, [f"not done within {seconds} s"])
    watchdog.daemon = True
    watchdog.start()
    passed = failed = 0
    for test in tests:
        name = test.__name__.removeprefix("test_")
        if wanted and not any(w in name for w in wanted):
            continue
        started = time.monotonic()
        try:
            test()
            print(f"ok {name} ({time.monotonic() - started:.1f} s)")
            passed += 1
        except Exception as error:  # a test may fail in any way
            print(f"FAIL {name}: {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc(file=sys.stdout)
            for server in _servers:
                print(f"  {Path(server.binary).name} said: {server.said()[-600:]}")
            failed += 1
        finally:
            clean_up()
        sys.stdout.flush()
    watchdog.cancel()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)
