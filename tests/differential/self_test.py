"""The comparison itself: equal servers must not differ, and planted differences must be found."""

import socket
import threading

import compare
import servers
from known import KnownList
from runner import Run
from sequence import Sequence, Step

EQUAL_SEEDS = range(1, 61)
PLANTED_SEEDS = range(1, 33)
STEPS_MAX = 6  # what a planted difference must shrink to
BUFFER_BYTES = 1 << 16


class Liar:
    """Between us and a redis-server; replaces bytes of requests or of replies, of equal length."""

    def __init__(self, server, requests=(), replies=()):
        self.server = server
        self.changes = {"request": requests, "reply": replies}
        self.listener = socket.create_server(("127.0.0.1", 0))

    def start(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def ports(self):
        return [self.listener.getsockname()[1]]

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.server.port))
            for source, sink, what in [(client, server, "request"), (server, client, "reply")]:
                threading.Thread(target=self.copy, args=(source, sink, what), daemon=True).start()

    def copy(self, source, sink, what):
        try:
            while data := source.recv(BUFFER_BYTES):
                for old, new in self.changes[what]:
                    data = data.replace(old, new)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def run_against(reference, subject, seeds, known=None):
    run = Run(reference, subject, known or KnownList())
    run.all(list(seeds))
    return run


def test_redis_does_not_differ_from_itself(reference):
    run = run_against(reference, servers.Redis().start(), EQUAL_SEEDS)
    run.report()
    check(not run.failed, f"{len(run.failed)} sequences differ")
    check(run.commands > 50 * len(EQUAL_SEEDS), f"only {run.commands} commands")


def found_and_shrunk(reference, subject, wanted):
    """The planted difference is found, made short, and shows again with its seed alone."""
    run = run_against(reference, subject, PLANTED_SEEDS)
    cases = [(s, d[0]) for s, d in run.failed if wanted in str(d[0].kind())]
    check(cases, f"not found: {wanted}; but {[d[0].kind() for _, d in run.failed][:5]}")
    sequence, difference = run.shrunk(*cases[0])
    check(len(sequence.steps) <= STEPS_MAX, f"{wanted}: {len(sequence.steps)} steps remain")
    again = run_against(reference, subject, [sequence.seed])
    check(again.failed, "the seed alone does not show it")
    return difference


def test_a_type_is_found(reference):
    lie = [(b"+string\r\n", b"-string\r\n")]
    found_and_shrunk(reference, Liar(servers.Redis().start(), replies=lie).start(), "TYPE")


def test_a_word_of_an_error_is_found(reference):
    lie = [(b"value is not an integer", b"value is now an integer")]
    found_and_shrunk(reference, Liar(servers.Redis().start(), replies=lie).start(), "INCR")


def test_a_millisecond_is_found(reference):
    lie = [(b"4102444800123", b"4102444800124")]
    difference = found_and_shrunk(
        reference, Liar(servers.Redis().start(), requests=lie).start(), "PEXPIRETIME"
    )
    check("4102444800124" in difference.subject, f"found {difference}")


def test_a_lost_write_is_found_in_the_state(reference):
    """UNLINK that only counts: its own reply is right."""
    lie = [(b"$6\r\nUNLINK\r\n", b"$6\r\nEXISTS\r\n")]
    subject = Liar(servers.Redis().start(), requests=lie).start()
    steps = [Step([[b"SET", b"k", b"v"]]), Step([[b"UNLINK", b"k"]])]
    _, differences = Run(reference, subject, KnownList()).execute(Sequence(1, (2, 3), steps))
    check(differences, "a key that is only there is not found")
    check(differences[0].command[0] == b"KEYS", f"found {differences}")


def test_another_setting_is_found(reference):
    subject = servers.Redis(["--maxmemory-policy", "allkeys-lfu"]).start()
    found_and_shrunk(reference, subject, "OBJECT")


def test_known_differences_are_counted(reference):
    known = KnownList()
    known.add("lies", r"TYPE .*|EXEC", r".*\+string.*", r".*\+strinG.*")
    known.add("never", r"NOSUCH", r".*", r".*")
    lie = [(b"+string\r\n", b"+strinG\r\n")]
    subject = Liar(servers.Redis().start(), replies=lie).start()
    run = run_against(reference, subject, PLANTED_SEEDS, known)
    check(not run.failed, "a known difference counts as a failure")
    check([row.name for row in known.never_matched()][-1] == "never", "the stale row is not told")
    check(known.rows[-2].count > 0, "what was excused is not counted")


def test_tolerances(_reference):
    """Times may differ a little, never between there and not there, nor points given exactly."""
    near = [b"PTTL", b"k"]
    check(compare.are_same(near, (":", 50000), (":", 49990)), "10 ms")
    check(not compare.are_same(near, (":", 50000), (":", 500)), "a factor")
    check(not compare.are_same(near, (":", 50), (":", -1)), "no time")
    check(not compare.are_same(near, (":", -1), (":", -2)), "no key")
    check(not compare.are_same([b"GET", b"k"], ("_", None), ("$", None)), "the nulls differ")
    check(not compare.are_same([b"KEYS", b"*"], ("*", [("$", b"a")]), ("*", [])), "a key")


TESTS = [
    test_redis_does_not_differ_from_itself,
    test_a_type_is_found,
    test_a_word_of_an_error_is_found,
    test_a_millisecond_is_found,
    test_a_lost_write_is_found_in_the_state,
    test_another_setting_is_found,
    test_known_differences_are_counted,
    test_tolerances,
]


def main():
    failed = 0
    for test in TESTS:
        name = test.__name__.removeprefix("test_")
        try:
            test(servers.Redis().start())
            print(f"ok {name}", flush=True)
        except AssertionError as error:
            print(f"FAIL {name}: {error}", flush=True)
            failed += 1
        finally:
            servers.clean_up()
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0
