#!/usr/bin/env python3
"""Transactions beside single SETs, and beside etcd's Txn: three nodes, all cells taking turns.

    bench/run transactions [--seconds 4] [--repeats 3] [--only TEXT] [--systems etcd,dougong]

A transaction of two keys is an MSET, the shortest of them: the same way as MULTI and EXEC, in one
command. Its keys are random, so 15 of 16 are over two groups. Prints a table and writes
bench/results/transactions.md if nothing was left out. DOUGONG names another binary than
build/dougong.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
from typing import NamedTuple

from lib import (
    FOLDER, KEYS, RESULTS, VALUE_BYTES, Cell, Dougong, Figures, add_run_options, calibrate,
    machine_lines, now_text, output_of,
)
from run import NODES, Etcd

RESULT = RESULTS / "transactions.md"
VALUE = "x" * VALUE_BYTES
RANDOM = "key:__rand_int__"
IN_ONE = "{one}:__rand_int__"
TWO_KEYS = ("MSET", RANDOM, VALUE, RANDOM, VALUE)
TWO_IN_ONE = ("MSET", IN_ONE, VALUE, IN_ONE, VALUE)
CONTENDED = ("a", "b", "c")  # three groups of 16
PAIRS = tuple(
    ("MSET", one, VALUE, other, VALUE) for one, other in (("a", "b"), ("b", "c"), ("a", "c"))
)
COUNTED = ("committed", "conflicts", "ordered", "lock_waits")


class Row(NamedTuple):
    """A cell, and what it is beside."""

    cell: Cell
    beside: str = ""  # the name of another cell
    by: str = "rate"
    wanted: str = ""
    each: int = 1  # so many requests of redis-benchmark count as one


SET_1 = Cell("SET, 1 client", "set", 1, 1, False)
SET_50 = Cell("SET, 50 clients", "set", 50, 1, False)
TXN_1 = Cell("two keys, 1 client", "txn", 1, 1, False, (TWO_KEYS,))
TXN_50 = Cell("two keys, 50 clients", "txn", 50, 1, False, (TWO_KEYS,))
PAIR = Cell(
    "a pipelined pair of SETs, one group, 50 clients", "pair", 50, 2, False,
    (("SET", IN_ONE, VALUE),),
)
ONE = Cell("two keys, one group, 50 clients", "one", 50, 1, False, (TWO_IN_ONE,))
CONTENTION = Cell("two of the same three keys, 100 clients", "same", 100, 1, False, PAIRS)

ROWS = [
    Row(SET_1),
    Row(TXN_1, SET_1.name, "p50", "at most 1.5"),
    Row(SET_50),
    Row(TXN_50, SET_50.name, "rate", "at least 0.5"),
    Row(PAIR, each=2),
    Row(ONE, PAIR.name, "rate", "at least 0.9"),
    Row(CONTENTION),
]


class EtcdTxn(Etcd):
    calls = {"set": "Put", "txn": "Txn"}  # a Txn with two puts


def counts_of(system):
    """What the first node says of its transactions."""
    said = output_of("redis-cli", "-p", str(system.servers[0].port), "--raw", "INFO", "transactions",
                     is_whole=True)
    pairs = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    return [int(pairs[f"transactions_{name}"]) for name in COUNTED]


def run_all(systems, rows, options):
    """{(cell name, system name): [Figures of each repeat]}, and what contention counted."""
    able = [(row, s) for row in rows for s in systems if s.can(row.cell)]
    counts = {(row.cell.name, s.name): calibrate(s, row.cell, options.seconds) for row, s in able}
    runs = {key: [] for key in counts}
    contention = [0] * len(COUNTED)
    for repeat in range(options.repeats):
        for row, system in able:
            key = (row.cell.name, system.name)
            is_counted = row.cell is CONTENTION and isinstance(system, Dougong)
            before = counts_of(system) if is_counted else None
            got = system.measure(row.cell, counts[key])
            system.check_alive()
            if is_counted:
                more = zip(contention, counts_of(system), before)
                contention = [total + now - then for total, now, then in more]
            runs[key].append(Figures(got.rate / row.each, got.p50, got.p99))
            print(
                f"{row.cell.name} | {system.name} {repeat + 1}/{options.repeats}: "
                f"{runs[key][-1].rate:.0f}/s, p50 {got.p50:.2f} ms, p99 {got.p99:.2f} ms",
                file=sys.stderr,
            )
    return runs, contention


def ratio(ours, theirs, by):
    """Of runs that took turns: the median of what each pair says."""
    return statistics.median(getattr(a, by) / getattr(b, by) for a, b in zip(ours, theirs))


def medians(runs):
    return Figures(*map(statistics.median, zip(*runs)))


def table(rows, runs):
    lines = [
        "",
        "| | etcd /s | dougong /s | dougong : etcd | etcd p50 / p99 ms | dougong p50 / p99 ms "
        "| beside | wanted |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        theirs, ours = (runs.get((row.cell.name, name)) for name in ("etcd", "dougong"))
        texts = [f"{medians(r).rate:,.0f}" if r else "–" for r in (theirs, ours)]
        texts.append(f"{ratio(ours, theirs, 'rate'):.2f}" if ours and theirs else "–")
        for r in (theirs, ours):
            texts.append(f"{medians(r).p50:.2f} / {medians(r).p99:.2f}" if r else "–")
        base = runs.get((row.beside, "dougong"))
        is_beside = ours and base
        texts.append(f"{ratio(ours, base, row.by):.2f} × {row.by}" if is_beside else "–")
        texts.append(row.wanted or "–")
        lines.append(f"| {row.cell.name} | " + " | ".join(texts) + " |")
    return lines


def contention_lines(counted):
    committed, conflicts, ordered, waits = counted
    if committed == 0:
        return []
    return [
        "",
        f"Of {committed:,} contended transactions: {conflicts / committed:.2f} conflicts each (a try "
        f"more), {ordered / committed:.1%} went group by group in the end; {waits:,} requests waited "
        "for a lock.",
    ]


def header(options, kinds):
    lines = [
        f"# Transactions, figures of {now_text()}",
        "",
        *machine_lines(),
        f"- three nodes, 16 groups; redis-benchmark over loopback, all clients on the first node, "
        f"values of {VALUE_BYTES} bytes, {KEYS} random keys: of two, 15 of 16 times in two groups",
        "- a transaction of two keys is an MSET: the same way as MULTI … EXEC; \"one group\": all "
        "keys of the row; the rate of a pair is that of pairs",
        "- beside: the row above it (\"two keys, one group\": the pair), the median of what runs "
        "that took turns say",
    ]
    if EtcdTxn in kinds:
        lines.append(
            f"- etcd: {output_of('etcd', '--version')}, three members, defaults; h2load, on its "
            "leader: Put of one key, and Txn with two puts, always the same keys"
        )
    return lines + [f"- about {options.seconds:g} s a run, {options.repeats} runs each; medians"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_options(parser)
    parser.add_argument("--systems", default="etcd,dougong", help="which, with commas")
    return parser.parse_args()


def measure(kinds, rows, options):
    systems = []
    try:
        for kind in kinds:
            systems.append(kind(NODES))
            systems[-1].start()
        for system in systems:
            system.wait_ready()
        return run_all(systems, rows, options)
    finally:
        for system in systems:
            system.stop()


def main():
    options = arguments()
    kinds = [k for k in (EtcdTxn, Dougong) if k.name in options.systems.split(",")]
    if EtcdTxn in kinds and not (shutil.which("etcd") and shutil.which("h2load")):
        print("bench: without etcd; `tools/setup bench` installs it", file=sys.stderr)
        kinds.remove(EtcdTxn)
    rows = [row for row in ROWS if options.only.lower() in row.cell.name.lower()]
    if not rows or not kinds:
        sys.exit("bench: nothing to measure; see --help")
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        lines = header(options, kinds)
        runs, contention = measure(kinds, rows, options)
        lines += table(rows, runs) + contention_lines(contention)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    text = "\n".join([*lines, ""])
    print(text)
    if len(kinds) == 2 and not options.only:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
