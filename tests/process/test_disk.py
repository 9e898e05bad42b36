#!/usr/bin/env python3
"""Disks that get full: writes are refused with MISCONF, reads go on, nothing acknowledged is lost,
and writes come back by themselves when there is space again.

The disks are small tmpfs in a mount name space of this process: they go with it. Without the right
to mount nothing is tested, and the output says so.
"""

import ctypes
import errno
import os
import subprocess
import time

from cluster import Cluster
from lib import Server, check, check_eq, run, temp_dir, wait_until
from load import Load, info

MIB = 1 << 20
DISK_MIB = 400
VALUE_BYTES = 20000
FILL_SECONDS = 40
FULL_SECONDS = 3
RESUME_SECONDS = 15
WATCHDOG_SECONDS = 280
CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18


def leave_mount_name_space():
    """What is mounted from here on is seen by our children only. False: not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return False
    return libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None) == 0


def mount(path, options):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "dougong-test", path],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    check(done.returncode == 0, f"mount {options}: {done.stderr}")


class Disk:
    """A small disk, unmounted at the end of a with block."""

    def __init__(self, mib=DISK_MIB):
        self.path = temp_dir()
        self.data = os.path.join(self.path, "data")
        self.filler = os.path.join(self.path, "filler")
        mount(self.path, f"size={mib}m")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], stdin=subprocess.DEVNULL, check=False)

    def grow(self, mib):
        mount(self.path, f"remount,size={mib}m")

    def free_bytes(self):
        space = os.statvfs(self.path)
        return space.f_bavail * space.f_frsize

    def fill(self):
        """Takes all that is free, at once, whoever else is writing."""
        with open(self.filler, "ab", buffering=0) as filler:
            for size in (MIB, 4096):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError as error:
                    check(error.errno == errno.ENOSPC, f"filling the disk: {error}")

    def give_back(self, mib):
        os.truncate(self.filler, os.path.getsize(self.filler) - mib * MIB)

    def empty(self):
        os.unlink(self.filler)


def refused(node, key="probe"):
    """Whether a write is refused for lack of space; anything but that and OK is wrong."""
    with node.client() as client:
        reply = client.call("SET", key, "x")
    check(reply == "OK" or str(reply).startswith("MISCONF"), f"SET on a full disk: {reply!r}")
    return reply != "OK"


def takes_writes(node):
    check(node.is_running(), f"the node is dead ({node.process.returncode}): {node.said()}")
    return not refused(node)


def is_full(node):
    return not takes_writes(node)


def check_is_read_only(node, load, what):
    for _ in range(10):
        check(is_full(node), f"{what}: a write was taken")
        time.sleep(0.05)
    check_eq(info(node)["disk_full"], 1, f"{what}: disk_full in INFO")
    load.verify(node, what)


def test_a_node_that_fills_its_disk():
    """Filled by its own data; made larger (as a volume is), it goes on; then kill -9."""
    with Disk() as disk:
        node = Server(data=disk.data).start()
        load = Load([node], value_bytes=VALUE_BYTES, keys=1 << 30)
        load.start()
        # Full, the node first drops what it can; then nothing goes any more.
        wait_until(lambda: time.monotonic() - load.acked_at > FULL_SECONDS, FILL_SECONDS, "MISCONF")
        load.finish()
        check_eq(set(load.refused), {"MISCONF"}, "refusals")
        check(load.count * VALUE_BYTES > DISK_MIB * MIB // 10, f"full after {load.count} writes")
        print(f"    full after {load.count * VALUE_BYTES / MIB:.0f} MiB on a disk of {DISK_MIB} MiB, "
              f"{disk.free_bytes() / MIB:.0f} MiB left")
        check_is_read_only(node, load, "full")
        disk.grow(2 * DISK_MIB)
        wait_until(lambda: takes_writes(node), RESUME_SECONDS, "writes resume on a larger disk")
        more = Load([node], "more", value_bytes=VALUE_BYTES, keys=1000)
        more.start()
        more.wait_writes(1000, 20)
        node.kill()
        more.finish()
        node.start()
        load.verify(node, "after kill -9")
        more.verify(node, "after kill -9")
        check_eq(node.stop(), 0, "exit status")


def start_on_full_disk(disk, node):
    """It reads, or says that there is no space at all; then a little is enough."""
    node.spawn()
    try:
        wait_until(lambda: answers(node) or not node.is_running(), RESUME_SECONDS, "a start")
    finally:
        disk.fill()  # what the dead node gave back, too
    if not node.is_running():
        check_eq(node.process.returncode, 1, "exit status without any space")
        check("free" in node.said().splitlines()[-1], f"names no space: {node.said()}")
        disk.give_back(8)
        node.start()
    wait_until(lambda: is_full(node), RESUME_SECONDS, "MISCONF after kill -9")


def answers(node):
    try:
        with node.client(2) as client:
            return client.call("PING") == "PONG"
    except (OSError, EOFError):
        return False


def test_a_file_that_takes_all_space():
    """All at once under load, several times; killed and started while there is none."""
    with Disk() as disk:
        node = Server(data=disk.data).start()
        load = Load([node], value_bytes=2000, keys=4000)
        load.start()
        for round_number in range(3):
            load.wait_writes(3000, 20, f"round {round_number}: writes go on")
            disk.fill()
            wait_until(lambda: is_full(node), RESUME_SECONDS, f"round {round_number}: MISCONF")
            if round_number == 1:
                node.kill()
                start_on_full_disk(disk, node)
            time.sleep(1)
            check(is_full(node), f"round {round_number}: writes on a full disk")
            disk.empty()
            wait_until(lambda: takes_writes(node), RESUME_SECONDS, "writes resume")
        load.finish()
        disk.fill()
        wait_until(lambda: is_full(node), RESUME_SECONDS, "MISCONF")
        check_is_read_only(node, load, "full")
        disk.empty()
        wait_until(lambda: takes_writes(node), RESUME_SECONDS, "writes resume")
        node.kill()
        node.start()
        print(f"    {load.count} acknowledged writes of {load.verify(node, 'at the end')} keys")
        check_eq(node.stop(), 0, "exit status")


def test_little_data_on_a_small_disk():
    """The log must not need a disk many times as large as the data: the same keys, overwritten."""
    with Disk() as disk:
        node = Server(data=disk.data).start()
        load = Load([node], value_bytes=VALUE_BYTES, keys=200, size_max=2 * DISK_MIB * MIB)
        load.start()
        wait_until(lambda: load.is_done or load.wrong, 60, "all is written")
        load.finish()
        print(f"    {load.count * VALUE_BYTES / MIB:.0f} MiB written, longest pause "
              f"{load.longest_pause:.1f} s, refused {load.refused}")
        check(load.longest_pause < RESUME_SECONDS, f"writes stood for {load.longest_pause:.0f} s")
        check(load.count * VALUE_BYTES > DISK_MIB * MIB, f"only {load.count} writes were taken")
        wait_until(lambda: takes_writes(node), RESUME_SECONDS, "writes are taken in the end")
        load.verify(node, "at the end")
        check_eq(node.stop(), 0, "exit status")


def check_all_take_writes(cluster, what, nodes=None):
    cluster.wait_ready(nodes, RESUME_SECONDS)
    for node in nodes or cluster.nodes:
        check(node.is_running(), f"{what}: node {node.number} is dead: {node.said()}")


def test_one_of_three_has_no_space():
    """Its groups refuse writes or are led by others; it reads on, and catches up by itself."""
    with Disk() as disk:
        cluster = Cluster()
        small = cluster.nodes[1]
        small.data = disk.data
        cluster.start()
        load = Load(cluster.nodes, value_bytes=2000, keys=4000)
        load.start()
        load.wait_writes(3000, 20)
        disk.fill()
        wait_until(lambda: info(small).get("disk_full") == 1, RESUME_SECONDS, "disk_full in INFO")
        load.wait_writes(3000, 20, "two of three go on")
        time.sleep(2)
        check_eq(len(cluster.living()), 3, "living nodes")
        load.finish()
        for node in cluster.nodes:
            load.verify(node, f"full, by node {node.number}")

        load = Load(cluster.nodes, "second", value_bytes=2000, keys=4000)
        load.start()
        load.wait_writes(3000, 20, "two of three go on")
        disk.empty()
        check_all_take_writes(cluster, "with space again")
        check_eq(info(small)["disk_full"], 0, "disk_full in INFO")
        load.finish()
        cluster.nodes[0].kill()  # so the small one counts
        check_all_take_writes(cluster, "without the first", cluster.nodes[1:])
        load.verify(small, "by the small one")
        print(f"    refused meanwhile: {load.refused}")
        cluster.kill_all()


def test_nothing():
    pass


if __name__ == "__main__":
    tests = [
        test_a_node_that_fills_its_disk,
        test_a_file_that_takes_all_space,
        test_little_data_on_a_small_disk,
        test_one_of_three_has_no_space,
    ]
    if not leave_mount_name_space():
        print("no right to mount a small disk: NOTHING ABOUT FULL DISKS WAS TESTED")
        tests = [test_nothing]
    run(tests, WATCHDOG_SECONDS)
