"""Connection and server commands whose replies are the same every time, and clients' mistakes."""

from generator import ALONE, PRODUCTIONS, RISKY, production
from sequence import Step

NAMES = [b"name", b"", b"two words", b"tab\t", b"n\xc3\xa9", b"n" * 50]
CONTAINERS = ["CLIENT", "CONFIG", "OBJECT", "COMMAND", "MEMORY", "SLOWLOG", "LATENCY"]


@production(2)
def ping(g):
    return [b"PING", *g.pick([[], [], [b"hello"], [b"", b"x"], [g.value()]])]


@production(2)
def echo(g):
    return [b"ECHO", *g.pick([[g.value()], [g.value()], [], [b"a", b"b"]])]


@production(2)
def hello(g):
    options = g.pick(
        [
            [], [b"2"], [b"3"], [b"3"], [b"2", b"SETNAME", b"me"], [b"3", b"SETNAME", b"two words"],
            [b"3", b"AUTH", b"default", b"any"], [b"3", b"AUTH", b"nobody", b"any"], [b"4"], [b"1"],
            [b"abc"], [b"3", b"NOSUCH"], [b"3", b"SETNAME"], [b"3", b"AUTH", b"x"], [b""],
            [b"3", b"SETNAME", b"a", b"SETNAME", b"b"],
            [b"2", b"AUTH", b"default", b"x", b"SETNAME", b"q"],
        ]  # fmt: skip
    )
    return [b"HELLO", *options]


@production(1)
def auth(g):
    rest = [[b"x"], [b"default", b"x"], [b"nobody", b"x"], [b""], [], [b"a", b"b", b"c"]]
    return [b"AUTH", *g.pick(rest)]


@production(1)
def reset(g):
    """Back to RESP2 and database 0, which belongs to somebody else: away from there at once."""
    return Step([[b"RESET"], [b"SELECT", g.database()], [b"CLIENT", b"GETNAME"]])


@production(3)
def client(g):
    rest = g.pick(
        [
            [b"GETNAME"], [b"GETNAME"], [b"SETNAME", g.pick(NAMES)], [b"SETNAME"],
            [b"SETNAME", b"a", b"b"],
            [b"ID"], [b"ID", b"x"], [b"INFO"], [b"LIST"], [b"LIST", b"TYPE", b"normal"],
            [b"LIST", b"TYPE", b"nosuch"], [b"LIST", b"ID", b"x"], [b"LIST", b"NOSUCH"],
            [b"LIST", b"ID"], [b"LIST", b"TYPE", b"pubsub"], [b"LIST", b"ID", b"0"],
            [b"GETREDIR"], [b"NO-EVICT", b"ON"], [b"NO-EVICT", b"OFF"], [b"NO-EVICT", b"x"],
            [b"UNBLOCK", b"999999999"], [b"UNBLOCK", b"x"], [b"UNBLOCK", b"999999999", b"TIMEOUT"],
            [b"UNBLOCK", b"999999999", b"ERROR"], [b"UNBLOCK", b"1", b"x"], [b"UNPAUSE"],
            [b"KILL", b"1.2.3.4:5"], [b"KILL", b"ID", b"999999999"], [b"KILL", b"ID", b"x"],
            [b"KILL", b"TYPE", b"nosuch"], [b"KILL", b"NOSUCH", b"x"], [b"KILL"], [b"KILL", b"ID"],
            [b"KILL", b"ID", b"0"], [b"KILL", b"ADDR", b"1.2.3.4:5"], [b"KILL", b"USER", b"nobody"],
            [b"KILL", b"SKIPME", b"x"], [b"KILL", b"TYPE", b"pubsub"],
            [b"KILL", b"LADDR", b"1.2.3.4:5"],
            [b"KILL", b"USER", b"default", b"ID", b"999999999"],
            [b"KILL", b"ID", b"999999999", b"SKIPME", b"no"], [b"REPLY", b"x"], [b"REPLY"],
            [b"REPLY", b"ON"],
            [b"PAUSE", b"x"], [b"PAUSE", b"-1"], [b"PAUSE", b"0", b"x"], [b"PAUSE"],
            [b"CACHING", b"x"],
            [b"SETINFO", b"LIB-NAME", b"x"], [b"NOSUCH"], [b"TRACKINGINFO"], [b"TRACKING", b"OFF"],
            [b"NO-TOUCH", b"ON"], [b"MAINT_NOTIFICATIONS", b"ON"],
        ]  # fmt: skip
    )
    return [b"CLIENT", g.word(rest[0]), *rest[1:]]


@production(1)
def client_reply(g):
    """Some replies are left out, so the replies behind them must still fit their commands."""
    key = g.key()
    return g.pick(
        [
            Step(
                [[b"CLIENT", b"REPLY", b"SKIP"], [b"SET", key, b"skipped"], [b"GET", key]],
                replies=1,
            ),
            Step(
                [
                    [b"CLIENT", b"REPLY", b"OFF"], [b"SET", key, b"unseen"], [b"NOSUCH"],
                    [b"GET", key],
                    [b"CLIENT", b"REPLY", b"ON"], [b"GET", key],
                ],
                replies=2,
            ),
        ]
    )  # fmt: skip


@production(1)
def command_(g):
    name = g.pick(sorted(PRODUCTIONS)).rstrip("_").replace("_", "-").encode()
    rest = g.pick(
        [
            [b"INFO", name], [b"INFO", b"get", b"nosuch", b"set"], [b"INFO", b"NOSUCH"],
            [b"INFO", b"config", b"client"], [b"INFO", b"client|id"],
            [b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"], [b"GETKEYS", b"GET"],
            [b"GETKEYS", b"PING"],
            [b"GETKEYS", b"NOSUCH", b"x"], [b"GETKEYS"],
            [b"GETKEYS", b"BITOP", b"AND", b"a", b"b", b"c"],
            [b"GETKEYS", b"OBJECT", b"ENCODING", b"k"], [b"GETKEYS", b"DEL", b"a", b"b"],
            [b"GETKEYSANDFLAGS", b"SET", b"a", b"1"], [b"GETKEYSANDFLAGS", b"COPY", b"a", b"b"],
            [b"GETKEYSANDFLAGS", b"GETEX", b"a", b"PERSIST"],
            [b"GETKEYSANDFLAGS", b"LCS", b"a", b"b"],
            [b"COUNT", b"x"], [b"LIST", b"FILTERBY", b"PATTERN", b"getr*"], [b"LIST", b"x"],
            [b"LIST", b"FILTERBY", b"NOSUCH", b"x"], [b"LIST", b"FILTERBY", b"PATTERN", b"nosuch*"],
            [b"DOCS", b"nosuch"], [b"NOSUCH"],
            [b"LIST", b"FILTERBY", b"MODULE", b"nosuch"],
            [b"LIST", b"FILTERBY", b"ACLCAT", b"bitmap"],
        ]  # fmt: skip
    )
    return [b"COMMAND", *rest]


@production(2)
def unknown(g):
    return g.pick(
        [
            [b"NOSUCH"], [b"NOSUCH", g.value(), g.key()], [b"nosuch", b"a" * 200, b"b"], [b""],
            [b"GETT", b"k"], [b"\x00\xff"], [b"no\r\nsuch", b"line\r\nbreak"], [b"GET\x00", b"k"],
            [b"NOSUCH", *[b"arg" * 5] * 20], [b"x" * 200, b"y"], [b"SET ", b"k", b"v"],
        ]  # fmt: skip
    )


@production(1)
def unknown_subcommand(g):
    wrong = [[b"NOSUCH"], [b""], [b"NOSUCH", g.key()], [b"x" * 200], [b"no\nsuch"]]
    return [g.word(g.pick(CONTAINERS)), *g.pick(wrong)]


@production(1)
def config(g):
    rest = g.pick(
        [
            [b"GET"], [b"SET"], [b"SET", b"maxmemory"], [b"GET", b"nosuch"],
            [b"SET", b"nosuch", b"1"],
            [b"GET", b"databases"], [b"GET", b"maxmemory-policy"],
            [b"GET", b"appendonly", b"appendonly"],
            [b"GET", b"save"], [b"GET", b"nosuch*"], [b"SET", b"timeout", b"abc"],
            [b"SET", b"timeout", b"-1"],
            [b"SET", b"timeout", b"0", b"timeout", b"0"],
            [b"SET", b"timeout", b"0", b"nosuch", b"1"],
            [b"SET", b"databases", b"3"], [b"RESETSTAT", b"x"], [b"SET", b"timeout", b"0"],
            [b"GET", b"maxmemory"], [b"SET", b"slowlog-max-len", b"x"], [b"GET", b"lfu-*"],
            [b"SET", b"timeout", b"0", b"slowlog-max-len"], [b"GET", b"slowlog-max-len"],
        ]  # fmt: skip
    )
    return [b"CONFIG", g.word(rest[0]), *rest[1:]]


@production(1)
def server(g):
    return g.pick(
        [
            [b"TIME"], [b"TIME", b"x"], [b"LASTSAVE"], [b"WAIT", b"0", b"x"],
            [b"WAIT", b"x", b"0"], [b"WAIT", b"0", b"-1"], [b"WAIT", b"0"], [b"INFO", b"nosuch"],
            [b"INFO", b"keyspace"], [b"INFO", b"server", b"clients"], [b"SLOWLOG", b"LEN"],
            [b"SLOWLOG", b"GET", b"x"], [b"SLOWLOG", b"GET", b"-2"], [b"SLOWLOG", b"GET", b"0"],
            [b"LATENCY", b"LATEST"], [b"LATENCY", b"HISTORY", b"nosuch"],
            [b"LATENCY", b"RESET", b"nosuch"],
            [b"DEBUG", b"SLEEP", b"0"], [b"DEBUG", b"SLEEP"],
            [b"DEBUG", b"NOSUCH"], [b"DEBUG", b"SET-ACTIVE-EXPIRE", b"1"], [b"DEBUG"],
            [b"MEMORY", b"DOCTOR", b"x"], [b"LOLWUT", b"VERSION", b"x"], [b"SHUTDOWN", b"NOSUCH"],
            [b"SHUTDOWN", b"SAVE", b"NOSAVE"], [b"SHUTDOWN", b"ABORT"], [b"ROLE", b"x"],
            [b"SWAPDB", b"0"],
            [b"CONFIG", b"RESETSTAT"], [b"SLOWLOG", b"RESET", b"x"],
            [b"SLOWLOG", b"GET", b"1", b"2"],
        ]  # fmt: skip
    )


@production(1)
def info(g):
    return [b"INFO", *g.pick([[], [b"all"], [b"everything"], [b"default"]])]


@production(2)
def inline(g):
    """Commands without RESP, as people type them into telnet."""
    key = b"{%s}a" % g.tag.encode()
    raw, replies = g.pick(
        [
            (b"PING\r\n", 1), (b"ping\n", 1), (b"\r\n\r\nPING\r\n", 1), (b"  PING   \r\n", 1),
            (b'SET %s "a b\\x00\\"\\n"\r\nGET %s\r\n' % (key, key), 2), (b"GET '%s'\r\n" % key, 1),
            (b"SET %s 'it\\'s'\r\nGET %s\r\n" % (key, key), 2), (b"NOSUCH a b\r\n", 1),
            (b"GET\r\n", 1),
            (b'SET %s ""\r\n' % key, 1), (b"*0\r\n*-1\r\nPING\r\n", 1),
            (b'ECHO "\\x41\\q\\t"\r\n', 1),
            (b"*1\r\n$4\r\nPING\r\nPING\r\n*1\r\n$4\r\nPING\r\n", 3), (b'"PING"\r\n', 1),
        ]  # fmt: skip
    )
    return Step([], raw=raw, replies=replies)


@production(1)
def broken(g):
    """Ends the connection: after the error nothing more is answered."""
    raw = g.pick(
        [
            b"*x\r\n", b"*2147483648\r\n", b"*9999999999999\r\n", b"*1\r\nPING\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$x\r\n", b"*1\r\n$99999999999\r\n", b"PING \"unbalanced\r\n", b'SET k "a"b\r\n',
            b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n", b"QUIT\r\nPING\r\n",
            b"*2\r\n$3\r\nGET\r\n:1\r\n",
            b"*1\r\n$\r\n", b"*\r\nPING\r\n", b"*1\r\n\r\nPING\r\n", b"*1 \r\n$4\r\nPING\r\n",
        ]  # fmt: skip
    )
    return Step([], raw=raw, replies=2, how="closes")


@production(2)
def meant_to_differ(g):
    """What belongs to Raft here, or does not exist: each must come often enough to be seen."""
    return g.pick(
        [
            Step([[b"CLIENT", b"TRACKING", b"ON"], [b"CLIENT", b"TRACKING", b"OFF"]]),
            [b"REPLICAOF", b"NO", b"ONE"],
            [b"LATENCY", b"HISTOGRAM", b"nosuch"],
            [b"DEBUG", b"JMAP"],
            [b"WAIT", b"0", b"0"],
            [b"SWAPDB", b"x", b"1"],
            [b"COMMAND", b"INFO", b"multi"],
        ]
    )


@production(1, RISKY)
def long_key(g):
    key = b"k" * g.pick([65536, 65537, 70000])
    return Step([g.pick([[b"SET", key, b"v"], [b"GET", key], [b"EXISTS", key]])], is_risky=True)


@production(1, ALONE)
def pause(_g):
    return Step([[b"CLIENT", b"PAUSE", b"1"], [b"CLIENT", b"UNPAUSE"]])
