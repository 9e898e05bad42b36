"""What the benchmarks share: servers of their own, load by redis-benchmark, tables, the machine.

DOUGONG names another binary than build/dougong.
"""

import csv
import ctypes
import datetime
import io
import os
import platform
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / f"build/bench/{os.getpid()}"  # two runs at a time must not meet
RESULTS = ROOT / "bench/results"
BINARY = os.environ.get("DOUGONG", str(ROOT / "build/dougong"))

START_SECONDS = 20
STOP_SECONDS = 20
RUN_SECONDS_MAX = 60
CALIBRATION_REQUESTS = 3000
CALIBRATION_SECONDS = 0.5
PR_SET_PDEATHSIG = 1
VALUE_BYTES = 128
KEYS = 100000
SYNC_SAMPLES = 300


class Cell(NamedTuple):
    """What is measured; for etcd set is a Put, get a Range, and a pipeline so many streams."""

    name: str
    test: str  # of redis-benchmark, unless there are commands
    clients: int
    pipeline: int
    is_spread: bool  # a third of the clients on each node
    commands: tuple = ()  # each with its share of the clients, on the first node


class Figures(NamedTuple):
    rate: float  # requests per second
    p50: float  # milliseconds
    p99: float


_libc = ctypes.CDLL(None)


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_taken = set()


def free_port():
    for _ in range(100):
        port = random.SystemRandom().randrange(20000, 32000)
        if port in _taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                _taken.add(port)
                return port
            except OSError:
                continue
    sys.exit("bench: no free port found")


def run_together(argvs):
    """Load programs at the same time: their outputs."""
    running = []
    try:
        for argv in argvs:
            running.append(
                subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    preexec_fn=die_with_parent,
                )
            )
        texts = [process.communicate(timeout=RUN_SECONDS_MAX)[0] for process in running]
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    for process, argv, text in zip(running, argvs, texts):
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {text[-500:]}")
    return texts


def together(parts, requests):
    """Of programs that ran at the same time: all requests by the time of the slowest, the worst
    latencies."""
    seconds = max(requests / part.rate for part in parts)
    return Figures(
        len(parts) * requests / seconds,
        max(part.p50 for part in parts),
        max(part.p99 for part in parts),
    )


class Server:
    """One process; its data lies under build/bench, on the disk of the project."""

    def __init__(self, name, port, argv):
        self.name = name
        self.port = port
        self.log = FOLDER / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def ask(self, request):
        """The first bytes of the reply to one RESP request; empty if there is none yet."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as conn:
                conn.settimeout(2)
                conn.sendall(request)
                return conn.recv(4096)
        except OSError:
            return b""

    def check_alive(self):
        if self.process.poll() is not None:
            said = self.log.read_text(errors="replace")[-500:].strip()
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {said}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class System:
    """One of those compared: `count` servers that start together."""

    name = ""

    def __init__(self, count):
        self.count = count
        self.folder = FOLDER / f"{self.name}-{count}"
        self.folder.mkdir(parents=True)
        self.servers = []

    def start(self):
        """Fills self.servers."""
        raise NotImplementedError

    def is_ready(self):
        raise NotImplementedError

    def can(self, cell):
        return True

    def measure(self, cell, requests):
        """One run of about so many requests."""
        raise NotImplementedError

    def wait_ready(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check_alive()
            if self.is_ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready after {START_SECONDS} s")

    def check_alive(self):
        for server in self.servers:
            server.check_alive()

    def stop(self):
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def shares(cell, servers):
    """(server, clients) of the load programs of one run."""
    if not cell.is_spread:
        servers = [servers[0]] * max(1, len(cell.commands))
    count = len(servers)
    return [(s, cell.clients // count + (i < cell.clients % count)) for i, s in enumerate(servers)]


class RespSystem(System):
    def measure(self, cell, requests):
        loads = shares(cell, self.servers)
        each = max(1, requests // len(loads))
        whats = cell.commands or [("-t", cell.test)] * len(loads)
        argvs = [
            [
                "redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port),
                "-c", str(clients), "-P", str(cell.pipeline), "-n", str(each),
                "-d", str(VALUE_BYTES), "-r", str(KEYS), "--csv", *what,
            ]
            for (server, clients), what in zip(loads, whats)
        ]
        parts = []
        for text in run_together(argvs):
            figures = text[max(0, text.find('"test"')):]  # behind warnings
            rows = [r for r in csv.DictReader(io.StringIO(figures)) if r.get("rps")]
            if len(rows) != 1:
                raise RuntimeError(f"redis-benchmark of {self.name}: {text[-500:]}")
            values = [rows[0][k] for k in ("rps", "p50_latency_ms", "p99_latency_ms")]
            parts.append(Figures(*map(float, values)))
        return together(parts, each)


class Dougong(RespSystem):
    name = "dougong"
    more = ()  # options

    def start(self):
        ports = [(free_port(), free_port()) for _ in range(self.count)]
        peers = ",".join(f"127.0.0.1:{peer}" for _, peer in ports)
        for i, (port, peer) in enumerate(ports):
            argv = [BINARY, "server", "--data", str(self.folder / str(i))]
            argv += ["--listen", f"127.0.0.1:{port}", *self.more]
            if self.count > 1:
                argv += ["--peer", f"127.0.0.1:{peer}", "--cluster", peers]
            self.servers.append(Server(f"{self.name}-{i}", port, argv))

    def is_ready(self):
        # Keys all over the slots, so every group has a leader.
        sets = b"".join(b"SET ready:%d 1\r\n" % i for i in range(256))
        for server in self.servers:
            if not self.does_all(server, sets, 256):
                return False
        return True

    @staticmethod
    def does_all(server, requests, count):
        said = b""
        try:
            with socket.create_connection(("127.0.0.1", server.port), 1) as conn:
                conn.settimeout(START_SECONDS)
                conn.sendall(requests)
                while said.count(b"\r\n") < count:
                    more = conn.recv(65536)
                    if not more:
                        return False
                    said += more
        except OSError:
            return False
        return said == b"+OK\r\n" * count


def calibrate(system, cell, seconds):
    """How many requests take about that long; a first short run warms up and sizes a second."""
    rate = system.measure(cell, CALIBRATION_REQUESTS).rate
    rate = system.measure(cell, max(CALIBRATION_REQUESTS, int(rate * CALIBRATION_SECONDS))).rate
    return max(1000, int(rate * seconds))


def run_cells(systems, cells, options):
    """{(cell name, system name): medians}."""
    results = {}
    for cell in cells:
        able = [s for s in systems if s.can(cell)]
        counts = {s.name: calibrate(s, cell, options.seconds) for s in able}
        runs = {s.name: [] for s in able}
        for repeat in range(options.repeats):
            for system in able:
                figures = system.measure(cell, counts[system.name])
                system.check_alive()
                runs[system.name].append(figures)
                print(
                    f"{cell.name} | {system.name} x{system.count} "
                    f"{repeat + 1}/{options.repeats}: {figures.rate:.0f}/s, "
                    f"p50 {figures.p50:.2f} ms, p99 {figures.p99:.2f} ms",
                    file=sys.stderr,
                )
        for name, figures in runs.items():
            results[(cell.name, name)] = Figures(*map(statistics.median, zip(*figures)))
    return results


def run_systems(kinds, count, cells, options):
    systems = []
    try:
        for kind in kinds:
            systems.append(kind(count))
            systems[-1].start()
        for system in systems:
            system.wait_ready()
        return run_cells(systems, cells, options)
    finally:
        for system in systems:
            system.stop()


def sync_microseconds():
    """What one write of 4 KiB and its fdatasync cost here, inside a preallocated file."""
    path = FOLDER / "sync"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, bytes(4096 * SYNC_SAMPLES), 0)
        os.fsync(fd)
        times = []
        for i in range(SYNC_SAMPLES):
            started = time.perf_counter()
            os.pwrite(fd, b"x" * 4096, 4096 * i)
            os.fdatasync(fd)
            times.append((time.perf_counter() - started) * 1e6)
    finally:
        os.close(fd)
        path.unlink()
    return statistics.median(times)


def output_of(*argv, is_whole=False):
    try:
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        return "unknown"
    return done.stdout if is_whole else lines[0]


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def memory_gib():
    kib = int(Path("/proc/meminfo").read_text().split()[1])
    return kib / (1 << 20)


def disk():
    """Device and type of the file system under build/bench."""
    best = ("", "unknown", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, where, kind = line.split()[:3]
        if FOLDER.is_relative_to(where) and len(where) >= len(best[0]):
            best = (where, device, kind)
    return f"{best[1]}, {best[2]}"


def now_text():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def machine_lines():
    return [
        f"- machine: {cpu_model()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB; kernel "
        f"{platform.release()}; servers and clients share it",
        f"- disk: {disk()}; 4 KiB write and fdatasync: {sync_microseconds():.0f} µs (median); "
        "all nodes share it",
        f"- dougong: {output_of(BINARY, '--version')}, commit "
        f"{output_of('git', 'describe', '--always', '--dirty')}; every write is synced, on a "
        "majority of three nodes, before its reply",
    ]


def add_run_options(parser):
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cells whose name contains this")


def cell_text(figures):
    return f"{figures.rate:,.0f}" if figures else "–"


def latency_text(figures):
    return f"{figures.p50:.2f} / {figures.p99:.2f}" if figures else "–"


def table(title, results, cells, kinds):
    names = [kind.name for kind in kinds]
    others = [name for name in names if name != Dougong.name] if Dougong in kinds else []
    columns = [f"{name} /s" for name in names] + [f"dougong : {name}" for name in others]
    columns += [f"{name} p50 / p99 ms" for name in names]
    lines = ["", f"## {title}", "", "| | " + " | ".join(columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for cell in cells:
        row = {name: results.get((cell.name, name)) for name in names}
        ours = row.get(Dougong.name)
        texts = [cell_text(row[name]) for name in names]
        for name in others:
            theirs = row[name]
            texts.append(f"{ours.rate / theirs.rate:.2f}" if ours and theirs else "–")
        texts += [latency_text(row[name]) for name in names]
        lines.append(f"| {cell.name} | " + " | ".join(texts) + " |")
    return lines
