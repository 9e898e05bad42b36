"""One cluster for all tests of a file; every test has an end.

DOUGONG=/usr/bin/redis-server tries the tests against the original.
"""

import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "process"))

import lib  # noqa: E402
from cluster import Cluster  # noqa: E402

NODES = 3
GROUPS = 16
TEST_SECONDS = 60
REDIS_OPTIONS = ["--appendonly", "no", "--enable-debug-command", "yes"]


class Alone:
    """redis-server in the place of a cluster."""

    def __init__(self):
        self.nodes = [lib.Server(redis_options=REDIS_OPTIONS)]

    def start(self):
        self.nodes[0].start()
        return self

    def wait_ready(self):
        pass


def start_cluster():
    cluster = Alone() if lib.is_redis(lib.BINARY) else Cluster(NODES, GROUPS)
    return cluster.start()


class TookTooLong(Exception):
    pass


def on_alarm(_signal, _frame):
    raise TookTooLong(f"not done within {TEST_SECONDS} s")


def prepare(cluster):
    """All nodes run and hold no keys."""
    for node in cluster.nodes:
        if not node.is_running():
            node.start()
    cluster.wait_ready()
    with cluster.nodes[0].client() as client:
        lib.check_eq(client.call("FLUSHALL"), "OK", "FLUSHALL before the test")


def run_one(test, cluster):
    """True if it passed. The line about it is printed."""
    name = test.__name__.removeprefix("test_")
    started = time.monotonic()
    signal.alarm(TEST_SECONDS)
    try:
        prepare(cluster)
        test(cluster)
        print(f"ok {name} ({time.monotonic() - started:.1f} s)")
        return True
    except Exception as error:  # a test may fail in any way
        print(f"FAIL {name}: {type(error).__name__}: {error}")
        if not isinstance(error, AssertionError):
            traceback.print_exc(file=sys.stdout)
        for node in cluster.nodes:
            print(f"  node on {node.port} said: {node.said()[-400:]}")
        return False
    finally:
        signal.alarm(0)
        sys.stdout.flush()


def run(tests):
    """Runs the functions one after the other; ends the script with the closing line."""
    wanted = [t for t in tests if not sys.argv[1:] or any(w in t.__name__ for w in sys.argv[1:])]
    signal.signal(signal.SIGALRM, on_alarm)
    passed = 0
    try:
        cluster = start_cluster()
        passed = sum(run_one(test, cluster) for test in wanted)
    except Exception:  # no cluster
        traceback.print_exc(file=sys.stdout)
    finally:
        lib.clean_up()
    failed = len(wanted) - passed
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)
