#!/usr/bin/python3
"""ioredis, unmodified, in the versions that package.json names: ioredis.js has the tests."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from harness import start_cluster
import lib

HERE = Path(__file__).resolve().parent
SECONDS = 120
NODE_OF_IOREDIS_6 = 20  # the oldest Node.js it runs on


def node_version():
    try:
        done = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20)
    except OSError:
        return 0
    return int(re.match(r"v(\d+)", done.stdout)[1])


def run_tests(package, cluster):
    """Relays the lines about tests; returns (passed, failed)."""
    environment = {
        **os.environ,
        "PORTS": ",".join(str(node.port) for node in cluster.nodes),
        "PIDS": ",".join(str(node.process.pid) for node in cluster.nodes),
    }
    child = subprocess.Popen(
        ["node", "ioredis.js", package],
        cwd=HERE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lib.die_with_parent,
    )
    watchdog = threading.Timer(SECONDS, child.kill)
    watchdog.start()
    closing = None
    for line in child.stdout:
        line = line.rstrip("\n")
        closing = re.fullmatch(r"(\d+) passed, (\d+) failed", line)
        if line == "start again":
            cluster.nodes[0].process.wait()
            cluster.nodes[0].start()
        elif closing is None:
            print(re.sub(r"^(ok|FAIL) ", rf"\1 {package}: ", line), flush=True)
    watchdog.cancel()
    status = child.wait()
    if closing is None:
        print(f"FAIL {package}: no closing line, exit status {status}")
        return 0, 1
    return int(closing[1]), int(closing[2])


def main():
    packages = ["ioredis"]
    if node_version() >= NODE_OF_IOREDIS_6:
        packages.append("ioredis6")
    passed = failed = 0
    for package in packages:
        if not (HERE / "node_modules" / package).exists():
            print(f"FAIL {package}: not installed: tools/setup test")
            failed += 1
            continue
        try:
            counts = run_tests(package, start_cluster())
            passed, failed = passed + counts[0], failed + counts[1]
        except Exception as error:
            print(f"FAIL {package}: {type(error).__name__}: {error}")
            failed += 1
        finally:
            lib.clean_up()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
