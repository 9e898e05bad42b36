#!/usr/bin/env python3
"""Figures beside redis-server: same machine, same disk, same client, one after the other (A/B/A/B).

Both acknowledge a write only after it was synced. Prints a table and writes bench/results/latest.md.

    bench/run.py [--seconds 4] [--repeats 3] [--only TEXT]

DOUGONG names another binary than build/dougong.
"""

import argparse
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

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / f"build/bench/{os.getpid()}"  # two runs at a time must not meet
RESULT = ROOT / "bench/results/latest.md"
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

# What is measured: name, test of redis-benchmark, clients, pipeline.
CELLS = [
    ("SET, 1 client", "set", 1, 1),
    ("SET, 50 clients", "set", 50, 1),
    ("SET, 50 clients, pipeline 16", "set", 50, 16),
    ("GET, 50 clients", "get", 50, 1),
    ("INCR, 50 clients", "incr", 50, 1),
]

_libc = ctypes.CDLL(None)


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    for _ in range(100):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit("bench: no free port found")


class Server:
    """One of the two; its data lies under build/bench, on the disk of the project."""

    def __init__(self, name, argv_of):
        self.name = name
        self.port = free_port()
        self.data = FOLDER / name
        self.log = FOLDER / f"{name}.log"
        if name == "redis":
            self.data.mkdir(parents=True)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv_of(self),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def wait_ready(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            self.check_alive()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as conn:
                    conn.sendall(b"PING\r\n")
                    if conn.recv(64) == b"+PONG\r\n":
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready after {START_SECONDS} s")

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
        shutil.rmtree(self.data, ignore_errors=True)


def redis_argv(server):
    return [
        shutil.which("redis-server") or "/usr/bin/redis-server",
        *f"--port {server.port} --bind 127.0.0.1 --appendonly yes --appendfsync always".split(),
        "--save", "", "--dir", str(server.data),
    ]


def dougong_argv(server):
    listen = f"127.0.0.1:{server.port}"
    return [BINARY, "server", "--data", str(server.data), "--listen", listen]


def measure(server, cell, requests):
    """One run of redis-benchmark: (requests per second, p50 ms, p99 ms)."""
    _, test, clients, pipeline = cell
    argv = [
        "redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-t", test,
        "-c", str(clients), "-P", str(pipeline), "-n", str(requests),
        "-d", str(VALUE_BYTES), "-r", str(KEYS), "--csv",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
    server.check_alive()
    rows = [r for r in csv.DictReader(io.StringIO(done.stdout)) if r.get("rps")]
    if done.returncode != 0 or len(rows) != 1:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout[-300:]} {done.stderr[-300:]}")
    row = rows[0]
    return float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"])


def calibrate(server, cell, seconds):
    """How many requests take about that long; a first short run warms up and sizes a second."""
    rate = measure(server, cell, CALIBRATION_REQUESTS)[0]
    rate = measure(server, cell, max(CALIBRATION_REQUESTS, int(rate * CALIBRATION_SECONDS)))[0]
    return max(1000, int(rate * seconds))


def run_cells(servers, cells, options):
    results = {}
    for cell in cells:
        counts = {s.name: calibrate(s, cell, options.seconds) for s in servers}
        for repeat in range(options.repeats):
            for server in servers:
                figures = measure(server, cell, counts[server.name])
                results.setdefault((cell[0], server.name), []).append(figures)
                print(
                    f"{cell[0]} | {server.name} {repeat + 1}/{options.repeats}: "
                    f"{figures[0]:.0f}/s, p50 {figures[1]} ms, p99 {figures[2]} ms",
                    file=sys.stderr,
                )
    return results


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


def output_of(*argv):
    try:
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else "unknown"


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


def header(options):
    redis = output_of("redis-server", "--version").split(" sha=")[0]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"# Figures of {now}",
        "",
        f"- machine: {cpu_model()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB; kernel "
        f"{platform.release()}",
        f"- disk: {disk()}; 4 KiB write and fdatasync: {sync_microseconds():.0f} µs (median)",
        f"- dougong: {output_of(BINARY, '--version')}, commit "
        f"{output_of('git', 'describe', '--always', '--dirty')}, one node; every write is synced "
        "before its reply",
        f"- redis: {redis}; `--appendonly yes --appendfsync always --save \"\"`",
        f"- client: redis-benchmark on the same machine over loopback, values of {VALUE_BYTES} "
        f"bytes, {KEYS} random keys",
        f"- about {options.seconds:g} s a run, {options.repeats} runs each, taking turns; medians",
    ]


def table(results, cells):
    lines = [
        "| | redis /s | dougong /s | ratio | redis p50 / p99 ms | dougong p50 / p99 ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for cell in cells:
        medians = {}
        for name in ("redis", "dougong"):
            medians[name] = [statistics.median(c) for c in zip(*results[(cell[0], name)])]
        redis, ours = medians["redis"], medians["dougong"]
        lines.append(
            f"| {cell[0]} | {redis[0]:,.0f} | {ours[0]:,.0f} | {ours[0] / redis[0]:.2f} | "
            f"{redis[1]:.2f} / {redis[2]:.2f} | {ours[1]:.2f} / {ours[2]:.2f} |"
        )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cells whose name contains this")
    options = parser.parse_args()
    cells = [c for c in CELLS if options.only.lower() in c[0].lower()]
    if not cells:
        sys.exit(f"bench: no cell is called {options.only}")
    FOLDER.mkdir(parents=True, exist_ok=True)

    servers = []
    try:
        lines = header(options)
        for name, argv_of in (("redis", redis_argv), ("dougong", dougong_argv)):
            servers.append(Server(name, argv_of))
        for server in servers:
            server.wait_ready()
        results = run_cells(servers, cells, options)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)

    text = "\n".join([*lines, "", *table(results, cells), ""])
    print(text)
    if len(cells) == len(CELLS):
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
