#!/usr/bin/env python3
"""redis-cli and redis-benchmark, as people have them, work against a node."""

import csv
import io
import re
import shutil
import subprocess

from lib import Server, check, check_eq, run

TOOL_SECONDS = 60
WATCHDOG_SECONDS = 200
REQUESTS = 100000


def tool(name, server, *args, stdin=b""):
    path = shutil.which(name)
    check(path is not None, f"{name} is not installed")
    return subprocess.run(
        [path, "-h", "127.0.0.1", "-p", str(server.port), *args],
        input=stdin,
        capture_output=True,
        timeout=TOOL_SECONDS,
    )


def cli(server, *args, stdin=b""):
    done = tool("redis-cli", server, *args, stdin=stdin)
    check_eq(done.returncode, 0, f"exit status of redis-cli {' '.join(args)} ({done.stderr!r})")
    return done.stdout.decode().rstrip("\n")


def test_redis_cli_runs_single_commands():
    server = Server().start()
    check_eq(cli(server, "PING"), "PONG", "PING")
    check_eq(cli(server, "ECHO", "two words"), "two words", "ECHO")
    check_eq(cli(server, "SET", "k", "v"), "OK", "SET")
    check_eq(cli(server, "GET", "k"), "v", "GET")
    check_eq(cli(server, "GET", "missing"), "", "GET of a missing key")
    check_eq(cli(server, "INCR", "{k}n"), "1", "INCR")
    check_eq(cli(server, "INCR", "{k}n"), "2", "INCR again")
    check_eq(cli(server, "EXISTS", "k", "{k}n", "missing"), "2", "EXISTS")
    check_eq(cli(server, "DEL", "k", "{k}n"), "2", "DEL")
    check_eq(cli(server, "EXISTS", "k"), "0", "EXISTS after DEL")
    check_eq(cli(server, "SET", "k", "v", "EX", "100", "NX"), "OK", "SET EX NX")
    check_eq(cli(server, "SET", "k", "w", "NX"), "", "SET NX on a key that is there")
    check_eq(cli(server, "INCR", "k"), "ERR value is not an integer or out of range", "INCR text")
    check(cli(server, "NOSUCH").startswith("ERR unknown command 'NOSUCH'"), "unknown command")
    check_eq(cli(server, "--no-raw", "GET", "k"), '"v"', "GET, formatted")
    check_eq(cli(server, "-e", "PING"), "PONG", "PING with -e")


def test_redis_cli_exit_status_tells_errors():
    server = Server().start()
    failed = tool("redis-cli", server, "-e", "NOSUCH")
    check(failed.returncode != 0, "redis-cli -e does not see the error")


def test_redis_cli_reads_commands_from_a_pipe():
    server = Server().start()
    said = cli(server, stdin=b"SET a 1\nINCR a\nGET a\nDEL a {a}b\n")
    check_eq(said.split("\n"), ["OK", "2", "2", "1"], "four commands from standard input")
    said = cli(server, "-r", "5", "INCR", "repeated")
    check_eq(said.split("\n"), ["1", "2", "3", "4", "5"], "INCR five times")


def test_redis_cli_speaks_resp3():
    server = Server().start()
    check_eq(cli(server, "-3", "SET", "k", "v"), "OK", "SET")
    check_eq(cli(server, "-3", "GET", "k"), "v", "GET")
    check_eq(cli(server, "-3", "--no-raw", "GET", "missing"), "(nil)", "GET of a missing key")
    hello = cli(server, "-3", "HELLO", "3")
    check(re.search(r"^proto 3$", hello, re.M), f"HELLO 3 names its protocol: {hello}")
    check(re.search(r"^server redis$", hello, re.M), f"HELLO 3 names a server: {hello}")


def test_redis_cli_selects_databases():
    server = Server().start()
    check_eq(cli(server, "SET", "k", "zero"), "OK", "SET in database 0")
    check_eq(cli(server, "-n", "3", "GET", "k"), "", "GET in database 3")
    check_eq(cli(server, "-n", "3", "SET", "k", "three"), "OK", "SET in database 3")
    check_eq(cli(server, "-n", "3", "GET", "k"), "three", "GET in database 3 after SET")
    check_eq(cli(server, "GET", "k"), "zero", "GET in database 0")
    check_eq(cli(server, "-n", "15", "EXISTS", "k"), "0", "EXISTS in database 15")
    check_eq(cli(server, "-n", "3", "DEL", "k"), "1", "DEL in database 3")
    check_eq(cli(server, "EXISTS", "k"), "1", "EXISTS in database 0")


def test_redis_cli_pipe_inserts_in_bulk():
    server = Server().start()
    count = 5000  # one sync each where the group changes: see docs/decisions/0007
    with server.client() as client:
        data = b"".join(client.encode("SET", f"bulk:{i}", i) for i in range(count))
    said = cli(server, "--pipe", stdin=data)
    check(f"errors: 0, replies: {count}" in said, f"mass insertion says {said}")
    check_eq(cli(server, "GET", f"bulk:{count - 1}"), str(count - 1), "the last key")


def test_redis_cli_measures():
    server = Server().start()
    done = tool("redis-cli", server, "--latency", "--raw", "-i", "1")
    check_eq(done.returncode, 0, "exit status of redis-cli --latency")
    check(re.match(rb"[\d.]+ [\d.]+ [\d.]+ \d+", done.stdout), f"latency says {done.stdout!r}")


def test_redis_benchmark_pipelined():
    server = Server().start()
    done = tool(
        "redis-benchmark", server, "-t", "set,get,incr", "-P", "16", "-n", str(REQUESTS), "-q"
    )
    check_eq(done.returncode, 0, f"exit status ({done.stderr!r})")
    said = done.stdout.decode().replace("\r", "\n")
    check("rror" not in said + done.stderr.decode(), f"errors: {said} {done.stderr!r}")
    for name in ("SET", "GET", "INCR"):
        line = re.search(rf"^{name}: ([\d.]+) requests per second, p50=", said, re.M)
        check(line is not None, f"no line about {name} in {said!r}")
        check(float(line[1]) > 1000, f"{name}: {line[1]} requests per second")
    check_eq(cli(server, "GET", "counter:__rand_int__"), str(REQUESTS), "INCRs counted")
    check_eq(server.stop(), 0, "exit status after SIGTERM")


def test_redis_benchmark_random_keys_csv():
    server = Server().start()
    done = tool(
        "redis-benchmark", server, "-t", "set,get", "-n", "20000", "-c", "100",
        "-d", "128", "-r", "10000", "--csv",
    )
    check_eq(done.returncode, 0, f"exit status ({done.stderr!r})")
    rows = [r for r in csv.reader(io.StringIO(done.stdout.decode())) if r]
    check_eq([r[0] for r in rows], ["test", "SET", "GET"], "rows of the table")
    check(all(float(r[1]) > 100 for r in rows[1:]), f"figures: {rows}")


if __name__ == "__main__":
    run(
        [
            test_redis_cli_runs_single_commands,
            test_redis_cli_exit_status_tells_errors,
            test_redis_cli_reads_commands_from_a_pipe,
            test_redis_cli_speaks_resp3,
            test_redis_cli_selects_databases,
            test_redis_cli_pipe_inserts_in_bulk,
            test_redis_cli_measures,
            test_redis_benchmark_pipelined,
            test_redis_benchmark_random_keys_csv,
        ],
        WATCHDOG_SECONDS,
    )
