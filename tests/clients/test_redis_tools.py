#!/usr/bin/python3
"""redis-cli and redis-benchmark, as people have them, against three nodes with 16 groups.

tests/process/test_redis_tools.py has what one node shows.
"""

import csv
import io
import re
import shutil
import subprocess

from harness import run
from lib import check, check_eq, wait_until

TOOL_SECONDS = 40
REQUESTS = 20000
BULK = 5000
BENCHMARKS = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"]


def tool(name, node, *args, stdin=b""):
    path = shutil.which(name)
    check(path is not None, f"{name} is not installed")
    done = subprocess.run(
        [path, "-h", "127.0.0.1", "-p", str(node.port), *args],
        input=stdin,
        capture_output=True,
        timeout=TOOL_SECONDS,
    )
    check_eq(done.returncode, 0, f"exit status of {name} {' '.join(args)} ({done.stderr[-300:]!r})")
    return done.stdout.decode()


def cli(node, *args, stdin=b""):
    return tool("redis-cli", node, *args, stdin=stdin).rstrip("\n")


def any_node(cluster, number):
    return cluster.nodes[number % len(cluster.nodes)]


def fill(node, count, database=0):
    with node.client() as client:
        client.call("SELECT", database)
        data = b"".join(client.encode("SET", f"bulk:{i}", "x" * (i % 50)) for i in range(count))
    said = cli(node, "-n", str(database), "--pipe", stdin=data)
    check(f"errors: 0, replies: {count}" in said, f"mass insertion says {said}")


def test_every_node_shows_the_same(cluster):
    for number in range(3):
        cli(any_node(cluster, number), "SET", f"from:{number}", str(number))
    for number in range(3):
        node = any_node(cluster, number)
        check_eq(cli(node, "MGET", "from:0", "from:1", "from:2"), "0\n1\n2", "MGET")
        check_eq(cli(node, "DBSIZE"), "3", "DBSIZE")
        check_eq(cli(node, "-3", "--no-raw", "TTL", "from:0"), "(integer) -1", "TTL in RESP3")
        check_eq(cli(node, "-n", "9", "DBSIZE"), "0", "DBSIZE of another database")


def test_scan_sees_each_key(cluster):
    fill(any_node(cluster, 0), BULK)
    keys = cli(any_node(cluster, 1), "--scan").split("\n")
    check_eq(sorted(set(keys)), sorted(f"bulk:{i}" for i in range(BULK)), "redis-cli --scan")
    found = cli(any_node(cluster, 2), "--scan", "--pattern", "bulk:1?").split("\n")
    check_eq(sorted(found), [f"bulk:{i}" for i in range(10, 20)], "--scan --pattern")
    said = cli(any_node(cluster, 0), "--bigkeys")
    check(f"Sampled {BULK} keys in the keyspace" in said, f"--bigkeys says {said[-500:]}")
    check(re.search(r"Biggest string found .*bulk:\d*\W+ has 49 bytes", said), said[-500:])
    said = cli(any_node(cluster, 1), "--memkeys")
    check(f"Sampled {BULK} keys in the keyspace" in said, f"--memkeys says {said[-500:]}")


def test_pipe_into_a_database(cluster):
    fill(any_node(cluster, 1), 1000, database=5)
    check_eq(cli(any_node(cluster, 2), "-n", "5", "DBSIZE"), "1000", "DBSIZE")
    check_eq(cli(any_node(cluster, 2), "-n", "5", "FLUSHDB"), "OK", "FLUSHDB")
    check_eq(cli(any_node(cluster, 0), "-n", "5", "DBSIZE"), "0", "DBSIZE after FLUSHDB")


def test_help_knows_the_commands(cluster):
    """Without a terminal redis-cli asks for no COMMAND DOCS; this is what it would ask."""
    docs = cli(any_node(cluster, 0), "-3", "COMMAND", "DOCS", "set", "getex", "lcs")
    for word in ("summary", "since", "group", "complexity"):
        check(word in docs, f"COMMAND DOCS has no {word}: {docs[:500]}")
    check(int(cli(any_node(cluster, 0), "COMMAND", "COUNT")) >= 70, "COMMAND COUNT")


def test_stat_and_latency(cluster):
    node = any_node(cluster, 2)
    said = cli(node, "-r", "3", "-i", "0.1", "INFO", "clients")
    check_eq(said.count("connected_clients:"), 3, f"INFO again and again: {said}")
    said = cli(node, "--latency", "--raw", "-i", "1")
    check(re.match(r"[\d.]+ [\d.]+ [\d.]+ \d+", said), f"--latency says {said!r}")
    check_eq(cli(node, "LATENCY", "RESET"), "0", "LATENCY RESET")


def test_monitor_shows_commands(cluster):
    node = any_node(cluster, 0)
    child = subprocess.Popen(
        [shutil.which("redis-cli"), "-p", str(node.port), "MONITOR"], stdout=subprocess.PIPE
    )
    try:
        check_eq(child.stdout.readline(), b"OK\n", "MONITOR")
        cli(node, "SET", "seen", "value with spaces")
        line = child.stdout.readline().decode()
        while '"SET"' not in line:
            line = child.stdout.readline().decode()
        pattern = r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "seen" "value with spaces"\n'
        check(re.fullmatch(pattern, line), f"MONITOR shows {line!r}")
    finally:
        child.kill()
        child.wait()


def test_what_is_refused_says_so(cluster):
    """Of three nodes; one redis-server would do it."""
    if len(cluster.nodes) == 1:
        return
    for words in (["REPLICAOF", "NO", "ONE"], ["BGSAVE"], ["CLUSTER", "SETSLOT", "1", "STABLE"]):
        said = cli(any_node(cluster, 0), *words)
        check(re.match(r"[A-Z]+ ", said) and len(said) > 20, f"{words[0]} says {said!r}")
    check_eq(cli(any_node(cluster, 0), "PING"), "PONG", "PING afterwards")


def check_benchmark(said, names, database_note=""):
    rows = [row for row in csv.reader(io.StringIO(said)) if row]
    check_eq([row[0] for row in rows[1:]], names, f"rows of the table {database_note}")
    check(all(float(row[1]) > 100 for row in rows[1:]), f"figures: {rows}")


def test_benchmark_of_many_keys(cluster):
    said = tool(
        "redis-benchmark", any_node(cluster, 1), "-t", "ping,set,get,incr", "-n", str(REQUESTS),
        "-c", "50", "-P", "8", "-r", "100000", "-d", "100", "--csv",
    )  # fmt: skip
    check_benchmark(said, BENCHMARKS)
    check(int(cli(any_node(cluster, 0), "DBSIZE")) > 5000, "keys were written")


def test_benchmark_counts(cluster):
    """Every INCR counts once, over RESP3, in another database."""
    said = tool(
        "redis-benchmark", any_node(cluster, 2), "-3", "--dbnum", "4", "-t", "incr", "-n",
        str(REQUESTS), "-P", "16", "--csv",
    )  # fmt: skip
    check_benchmark(said, ["INCR"], "in database 4")
    counter = cli(any_node(cluster, 0), "-n", "4", "GET", "counter:__rand_int__")
    check_eq(counter, str(REQUESTS), "INCRs counted")


def test_benchmark_of_any_command(cluster):
    said = tool(
        "redis-benchmark", any_node(cluster, 0), "-n", "5000", "-r", "1000", "--csv",
        "SET", "key:__rand_int__", "__rand_int__", "EX", "1000",
    )  # fmt: skip
    check("SET key:" in said, f"says {said}")
    check(int(cli(any_node(cluster, 1), "DBSIZE")) > 500, "keys were written")


def test_benchmark_goes_on_when_another_node_is_killed(cluster):
    if len(cluster.nodes) == 1:
        return
    child = subprocess.Popen(
        [shutil.which("redis-benchmark"), "-p", str(cluster.nodes[0].port), "-t", "incr", "-P", "4",
         "-n", str(REQUESTS * 2), "-q", "--dbnum", "6"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        def has_begun():
            return int(cli(cluster.nodes[0], "-n", "6", "GET", "counter:__rand_int__") or 0) > 100

        wait_until(has_begun, TOOL_SECONDS, "redis-benchmark runs")
        cluster.nodes[2].kill()
        said, _ = child.communicate(timeout=TOOL_SECONDS)
        check_eq(child.returncode, 0, f"exit status; it said {said[-300:]!r}")
    finally:
        child.kill()
        child.wait()
    counter = cli(cluster.nodes[1], "-n", "6", "GET", "counter:__rand_int__")
    check_eq(counter, str(REQUESTS * 2), "INCRs counted, each once")


if __name__ == "__main__":
    run([value for name, value in list(globals().items()) if name.startswith("test_")])
