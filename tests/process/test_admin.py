#!/usr/bin/env python3
"""What administrators and clients ask of a node itself: INFO, CONFIG, WAIT, SHUTDOWN."""

import socket
import time

from cluster import Cluster
from lib import ReplyError, Server, check, check_eq, run

WATCHDOG_SECONDS = 120
CLOSED_SECONDS = 10


def fields(client, *sections):
    """INFO as a dictionary, with the titles of its sections in order under "#"."""
    found = {"#": []}
    for line in client.call("INFO", *sections).decode().split("\r\n"):
        name, colon, value = line.partition(":")
        if line.startswith("# "):
            found["#"].append(line[2:])
        elif line != "":
            check(colon == ":" and name not in found, f"line of INFO: {line}")
            found[name] = value
    return found


def test_info_has_the_fields_that_clients_read():
    server = Server().start()
    with server.client() as client:
        info = fields(client)
        wanted = {
            "redis_version": "7.0.15", "redis_mode": "standalone", "arch_bits": "64",
            "tcp_port": str(server.port), "process_id": str(server.process.pid), "maxclients": "10000",
            "blocked_clients": "0", "maxmemory": "0", "maxmemory_policy": "noeviction", "loading": "0",
            "role": "master", "connected_slaves": "0", "cluster_enabled": "0", "aof_enabled": "1",
        }  # fmt: skip
        for name, value in wanted.items():
            check_eq(info.get(name), value, name)
        check_eq(len(info["run_id"]), 40, "digits of run_id")
        check_eq(len(info["master_replid"]), 40, "digits of master_replid")
        for name in ["uptime_in_seconds", "uptime_in_days", "connected_clients", "used_memory"]:
            check(int(info[name]) >= 0, f"{name}: {info[name]}")
        check(int(info["used_memory_rss"]) > 1 << 20, f"used_memory_rss: {info['used_memory_rss']}")
        check(info["used_memory_human"][-1] in "BKMG", info["used_memory_human"])
        check(float(info["used_cpu_user"]) >= 0, info["used_cpu_user"])
        check(info["os"].startswith("Linux "), info["os"])
    check_eq(server.stop(), 0, "exit status")


def test_info_of_some_sections():
    server = Server().start()
    with server.client() as client:
        check_eq(fields(client, "keyspace", "Server", "server")["#"], ["Server", "Keyspace"], "titles")
        check_eq(fields(client, "nosuch"), {"#": []}, "an unknown section")
        usual = ["Server", "Clients", "Memory", "Persistence", "Stats", "Replication", "CPU", "Modules"]
        usual += ["Errorstats", "Cluster", "Transactions", "Keyspace"]
        check_eq(fields(client)["#"], usual, "titles, as Redis has them, and one more")
        check_eq(fields(client, "default")["#"], usual, "titles of default")
        every = fields(client, "everything")["#"]
        check_eq(sorted(every), sorted([*usual, "Stages"]), "titles of everything")
        check_eq(len(set(every)), len(every), "titles that stand once")
    server.stop()


def test_info_counts_keys():
    server = Server().start()
    with server.client() as client:
        check("db0" not in fields(client, "keyspace"), "no keys yet")
        for number in range(20):
            client.call("SET", f"key:{number}", "v")
        client.call("SET", "soon", "v", "EX", "1000")
        client.call("SELECT", "3")
        client.call("SET", "other", "v")
        info = fields(client, "keyspace")
        check_eq(info["db0"], "keys=21,expires=1,avg_ttl=0", "db0")
        check_eq(info["db3"], "keys=1,expires=0,avg_ttl=0", "db3")
    server.stop()


def test_info_counts_errors():
    server = Server().start()
    with server.client() as client:
        client.call("SET", "k", "text")
        for words in [("INCR", "k"), ("NOSUCH",), ("AUTH", "nobody", "x")]:
            check(isinstance(client.call(*words), ReplyError), f"{words} is an error")
        info = fields(client, "errorstats")
        check_eq(info.get("errorstat_ERR"), "count=2", "ERR")
        check_eq(info.get("errorstat_WRONGPASS"), "count=1", "WRONGPASS")
        check_eq(client.call("CONFIG", "RESETSTAT"), "OK", "CONFIG RESETSTAT")
        check_eq(fields(client, "errorstats"), {"#": ["Errorstats"]}, "none are left")
    server.stop()


def test_config_resetstat():
    server = Server().start()
    with server.client() as client:
        for _ in range(10):
            client.call("PING")
        check(int(fields(client, "stats")["total_commands_processed"]) >= 10, "commands are counted")
        check_eq(client.call("CONFIG", "RESETSTAT"), "OK", "CONFIG RESETSTAT")
        check(int(fields(client, "stats")["total_commands_processed"]) < 5, "and counted anew")
    server.stop()


def test_time_is_the_wall_clock():
    server = Server().start()
    with server.client() as client:
        seconds, micros = (int(part) for part in client.call("TIME"))
        check(abs(seconds + micros / 1e6 - time.time()) < 60, f"TIME {seconds} {micros}")
        check(0 <= micros < 1000000, f"microseconds {micros}")
        check(abs(client.call("LASTSAVE") - time.time()) < 60, "LASTSAVE")
    server.stop()


def test_wait_and_role_on_three_nodes():
    cluster = Cluster(3).start()
    with cluster.nodes[1].client() as client:
        began = time.monotonic()
        check_eq(client.pipeline([("SET", "k", "w"), ("WAIT", "2", "0")]), ["OK", 1], "WAIT")
        check(time.monotonic() - began < CLOSED_SECONDS, "WAIT does not wait")
        role = client.call("ROLE")
        check_eq((role[0], role[2]), (b"master", []), "ROLE")
    check_eq(cluster.stop_all(), [0, 0, 0], "exit status of each")


def is_closed(connection):
    connection.settimeout(CLOSED_SECONDS)
    return connection.recv(100) == b""


def test_shutdown_stops_the_node_without_a_reply():
    server = Server().start()
    with server.client() as client:
        check_eq(client.call("SET", "k", "v"), "OK", "SET")
        check(isinstance(client.call("SHUTDOWN", "SAVE", "NOSAVE"), ReplyError), "SAVE NOSAVE")
        check(isinstance(client.call("SHUTDOWN", "ABORT"), ReplyError), "ABORT")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"SET last one\r\nSHUTDOWN NOSAVE\r\nSET never k\r\n")
        connection.settimeout(CLOSED_SECONDS)
        check_eq(connection.recv(100), b"+OK\r\n", "the reply before SHUTDOWN")
        check(is_closed(connection), "the connection is closed")
    check_eq(server.wait(), 0, "exit status")
    server.start()
    with server.client() as client:
        check_eq(client.call("MGET", "k", "last", "never"), [b"v", b"one", None], "after the restart")
    check_eq(server.stop(), 0, "exit status")


if __name__ == "__main__":
    run(
        [
            test_info_has_the_fields_that_clients_read,
            test_info_of_some_sections,
            test_info_counts_keys,
            test_info_counts_errors,
            test_config_resetstat,
            test_time_is_the_wall_clock,
            test_wait_and_role_on_three_nodes,
            test_shutdown_stops_the_node_without_a_reply,
        ],
        WATCHDOG_SECONDS,
    )
