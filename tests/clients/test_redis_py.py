#!/usr/bin/python3
"""python3-redis, as Debian has it, unmodified: every method for strings, bitmaps and keys.

Methods are called as their users call them; what they return is what redis-server gives them.
"""

import datetime
import sys
import threading
import time

from harness import run
from lib import check, check_eq

try:
    import redis
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry
except ImportError:
    print("python3-redis is not installed: tools/setup test\n0 passed, 1 failed")
    sys.exit(1)

ANSWER_SECONDS = 20
COMMANDS_MIN = 70
AFTER_KILL_SECONDS = 30
LOADED_KEYS = 5000


def connect(cluster, node=0, **options):
    port = cluster.nodes[node % len(cluster.nodes)].port
    return redis.Redis(port=port, socket_timeout=ANSWER_SECONDS, **options)


def check_raises(kind, text, call, *args, **options):
    try:
        got = call(*args, **options)
    except redis.RedisError as error:
        check(type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}")
        check(text in str(error), f"{str(error)!r} does not contain {text!r}")
    else:
        check(False, f"{got!r} instead of {kind.__name__}")


def test_connects(cluster):
    for node in range(len(cluster.nodes)):
        r = connect(cluster, node, client_name="app", db=3)
        check_eq(r.ping(), True, "PING")
        check_eq(r.client_getname(), "app", "name given at connecting")
        check_eq(str(r.client_info()["db"]), "3", "database")
        check_eq(r.echo("hello"), b"hello", "ECHO")
        check(isinstance(r.client_id(), int), "CLIENT ID")
        r.close()


def test_from_url_and_decoding(cluster):
    r = redis.Redis.from_url(
        f"redis://127.0.0.1:{cluster.nodes[0].port}/5",
        decode_responses=True,
        health_check_interval=1,
    )
    check_eq(r.set("k", "é"), True, "SET")
    check_eq(r.get("k"), "é", "GET decoded")
    time.sleep(1.1)  # a health check comes before the next command
    check_eq(r.get("k"), "é", "GET after a health check")
    check_eq(connect(cluster, 1, db=5).get("k"), "é".encode(), "another node")
    check_eq(connect(cluster, 1).get("k"), None, "another database")


def test_password_is_refused_as_redis_does(cluster):
    check_raises(
        redis.ResponseError,
        "AUTH <password> called without any password configured for the default user",
        connect(cluster, password="secret").ping,
    )
    check_raises(
        redis.ResponseError, "WRONGPASS invalid", connect(cluster).auth, "x", "nobody"
    )


def test_set_options(cluster):
    r = connect(cluster)
    check_eq(r.set("k", "1", ex=100), True, "EX")
    check(90 <= r.ttl("k") <= 100, "TTL")
    check_eq(r.set("k", "2", nx=True), None, "NX on a key that is there")
    check_eq(r.set("k", "2", xx=True, keepttl=True), True, "XX KEEPTTL")
    check(90 <= r.ttl("k") <= 100, "kept")
    check_eq(r.set("k", "3", get=True), b"2", "GET")
    check_eq(r.ttl("k"), -1, "SET drops it")
    check_eq(r.set("k", "4", px=datetime.timedelta(seconds=50)), True, "PX")
    check(40_000 < r.pttl("k") <= 50_000, "PTTL")
    check_eq(r.set("k", "5", exat=4102444800), True, "EXAT")
    check_eq(r.expiretime("k"), 4102444800, "EXPIRETIME")
    check_eq(r.set("k", "6", pxat=4102444800123), True, "PXAT")
    check_eq(r.pexpiretime("k"), 4102444800123, "PEXPIRETIME")
    check_eq(r.setex("k", 10, "7"), True, "SETEX")
    check_eq(r.psetex("k", 10_000, "8"), True, "PSETEX")
    check_eq(r.setnx("k", "9"), False, "SETNX")
    check_eq(r.getset("k", "10"), b"8", "GETSET")


def test_get_variants(cluster):
    r = connect(cluster, 1)
    check_eq(r.get("missing"), None, "GET of nothing")
    r.set("k", "value")
    check_eq(r.getex("k", ex=100), b"value", "GETEX EX")
    check(r.ttl("k") > 90, "TTL after GETEX")
    check_eq(r.getex("k", persist=True), b"value", "GETEX PERSIST")
    check_eq(r.ttl("k"), -1, "TTL after PERSIST")
    check_eq(r.getdel("k"), b"value", "GETDEL")
    check_eq(r.getdel("k"), None, "GETDEL again")
    r.set("a", "1")
    r.set("b", "2")
    check_eq(r.mget("a", "missing", "b"), [b"1", None, b"2"], "MGET over groups")
    check_eq(r.mget(["b", "a"]), [b"2", b"1"], "MGET of a list")
    check_eq(r["a"], b"1", "as a mapping")
    check_eq("a" in r, True, "in")


def test_numbers(cluster):
    r = connect(cluster, 2)
    check_eq(r.incr("n"), 1, "INCR")
    check_eq(r.incr("n", 10), 11, "INCRBY")
    check_eq(r.incrby("n", 5), 16, "INCRBY")
    check_eq(r.decr("n"), 15, "DECR")
    check_eq(r.decrby("n", 5), 10, "DECRBY")
    check_eq(r.incrbyfloat("n", 0.5), 10.5, "INCRBYFLOAT")
    check_raises(redis.ResponseError, "value is not an integer or out of range", r.incr, "n")
    r.set("n", 2**63 - 1)
    check_raises(redis.ResponseError, "increment or decrement would overflow", r.incr, "n")


def test_ranges(cluster):
    r = connect(cluster)
    check_eq(r.append("s", "Hello"), 5, "APPEND")
    check_eq(r.append("s", " World"), 11, "APPEND")
    check_eq(r.strlen("s"), 11, "STRLEN")
    check_eq(r.getrange("s", 0, 4), b"Hello", "GETRANGE")
    check_eq(r.substr("s", -5, -1), b"World", "SUBSTR")
    check_eq(r.setrange("s", 6, "Redis"), 11, "SETRANGE")
    check_eq(r.get("s"), b"Hello Redis", "GET")
    check_raises(redis.ResponseError, "offset is out of range", r.setrange, "s", -1, "x")
    r.mset({"{l}a": "ohmytext", "{l}b": "mynewtext"})
    check_eq(r.lcs("{l}a", "{l}b"), b"mytext", "LCS")
    check_eq(r.lcs("{l}a", "{l}b", len=True), 6, "LCS LEN")
    matches = r.lcs("{l}a", "{l}b", idx=True, minmatchlen=4, withmatchlen=True)
    check_eq(matches, [b"matches", [[[4, 7], [5, 8], 4]], b"len", 6], "LCS IDX")


def test_mset(cluster):
    r = connect(cluster)
    check_eq(r.mset({"{m}a": 1, "{m}b": 2}), True, "MSET")
    check_eq(r.msetnx({"{m}b": 3, "{m}c": 4}), False, "MSETNX")
    check_eq(r.msetnx({"{m}c": 3, "{m}d": 4}), True, "MSETNX")
    check_eq(r.mget("{m}a", "{m}b", "{m}c", "{m}d"), [b"1", b"2", b"3", b"4"], "MGET")


def test_bitmaps(cluster):
    r = connect(cluster)
    check_eq(r.setbit("b", 7, 1), 0, "SETBIT")
    check_eq(r.getbit("b", 7), 1, "GETBIT")
    check_eq(r.get("b"), b"\x01", "GET")
    r.set("b", b"foobar")
    check_eq(r.bitcount("b"), 26, "BITCOUNT")
    check_eq(r.bitcount("b", 1, 1), 6, "BITCOUNT of a byte")
    check_eq(r.bitcount("b", 5, 30, mode="BIT"), 17, "BITCOUNT of bits")
    r.set("b", b"\xff\xf0\x00")
    check_eq(r.bitpos("b", 0), 12, "BITPOS")
    check_eq(r.bitpos("b", 1, 2), -1, "BITPOS from a byte")
    r.mset({"{b}x": b"\xf0", "{b}y": b"\x3c"})
    check_eq(r.bitop("AND", "{b}to", "{b}x", "{b}y"), 1, "BITOP AND")
    check_eq(r.get("{b}to"), b"\x30", "BITOP's result")
    check_eq(r.bitop("NOT", "{b}to", "{b}x"), 1, "BITOP NOT")
    field = r.bitfield("f", default_overflow="SAT")
    got = field.set("u8", "#0", 250).incrby("u8", "#0", 10).get("i5", 0).execute()
    check_eq(got, [0, 255, -1], "BITFIELD")
    got = r.bitfield("f").incrby("u8", "#0", 1, overflow="FAIL").execute()
    check_eq(got, [None], "BITFIELD that fails")


def test_keys(cluster):
    r = connect(cluster)
    r.mset({"{k}a": 1, "{k}b": 2})
    r.set("c", 3)
    check_eq(r.exists("{k}a", "c", "missing"), 2, "EXISTS over groups")
    check_eq(r.touch("{k}a", "c", "missing"), 2, "TOUCH")
    check_eq(r.type("c"), b"string", "TYPE")
    check_eq(r.type("missing"), b"none", "TYPE of nothing")
    check_eq(r.rename("{k}a", "{k}z"), True, "RENAME")
    check_eq(r.renamenx("{k}z", "{k}b"), False, "RENAMENX")
    check_raises(redis.ResponseError, "no such key", r.rename, "missing", "{missing}b")
    check_eq(r.copy("{k}z", "{k}b"), False, "COPY on a key that is there")
    check_eq(r.copy("{k}z", "{k}b", replace=True), True, "COPY REPLACE")
    check_eq(r.copy("{k}z", "{k}z", destination_db=2), True, "COPY to a database")
    check_eq(connect(cluster, 1, db=2).get("{k}z"), b"1", "the copy")
    check_eq(r.move("c", 4), True, "MOVE")
    check_eq(r.move("c", 4), False, "MOVE again")
    check_eq(r.delete("{k}z", "{k}missing"), 1, "DEL")
    check_eq(r.unlink("{k}b", "{k}missing"), 1, "UNLINK")
    check_eq(r.randomkey(), None, "RANDOMKEY of nothing")
    r.set("only", 1)
    check_eq(r.randomkey(), b"only", "RANDOMKEY")
    check_eq(r.object("ENCODING", "only"), b"int", "OBJECT ENCODING")
    check(r.memory_usage("only") > 0, "MEMORY USAGE")
    check_eq(r.memory_usage("missing"), None, "MEMORY USAGE of nothing")


def test_expiry(cluster):
    r = connect(cluster)
    r.set("e", 1)
    check_eq(r.expire("e", 100), True, "EXPIRE")
    check_eq(r.expire("e", 50, gt=True), False, "EXPIRE GT")
    check_eq(r.expire("e", 50, lt=True), True, "EXPIRE LT")
    check_eq(r.expire("e", 200, nx=True), False, "EXPIRE NX")
    check_eq(r.pexpire("e", 70_000, xx=True), True, "PEXPIRE XX")
    check(60_000 < r.pttl("e") <= 70_000, "PTTL")
    far = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
    check_eq(r.expireat("e", far), True, "EXPIREAT")
    check_eq(r.pexpireat("e", 4102444800123), True, "PEXPIREAT")
    check_eq(r.persist("e"), True, "PERSIST")
    check_eq((r.ttl("e"), r.ttl("missing")), (-1, -2), "TTL")
    check_eq(r.expire("e", -1), True, "EXPIRE in the past")
    check_eq(r.exists("e"), 0, "gone at once")
    r.set("e", 1, px=50)
    time.sleep(0.2)
    for node in range(len(cluster.nodes)):
        check_eq(connect(cluster, node).get("e"), None, "gone by itself, on every node")


def test_scan_iterators(cluster):
    r = connect(cluster)
    names = {f"scan:{i}".encode() for i in range(500)}
    with r.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.set(name, "x")
        pipe.execute()
    r.set("other", 1)
    check_eq(r.dbsize(), 501, "DBSIZE")
    check_eq(sorted(r.scan_iter()), sorted(names | {b"other"}), "SCAN")
    check_eq(sorted(r.scan_iter("scan:*", count=7)), sorted(names), "SCAN MATCH COUNT")
    check_eq(sorted(r.scan_iter(_type="string")), sorted(names | {b"other"}), "SCAN TYPE")
    check_eq(list(r.scan_iter(_type="hash")), [], "SCAN TYPE of none")
    check_eq(sorted(r.keys("scan:?")), sorted(n for n in names if len(n) == 6), "KEYS")
    cursor, found = r.scan(0, count=10)
    check(isinstance(cursor, int) and len(found) <= 501, "SCAN by hand")
    for name in r.scan_iter("scan:1*", count=3):  # Django's delete_pattern
        r.delete(name)
    check_eq(r.exists(*[n for n in names if n.startswith(b"scan:1")]), 0, "deleted while iterating")


def test_databases_are_flushed(cluster):
    r, other = connect(cluster), connect(cluster, 1, db=7)
    for i in range(50):
        r.set(f"k{i}", i)
        other.set(f"k{i}", i)
    check_eq((r.dbsize(), other.dbsize()), (50, 50), "DBSIZE")
    check_eq(r.flushdb(), True, "FLUSHDB")
    check_eq((r.dbsize(), other.dbsize()), (0, 50), "DBSIZE after FLUSHDB")
    check_eq(r.flushall(asynchronous=True), True, "FLUSHALL")
    check_eq(other.dbsize(), 0, "DBSIZE after FLUSHALL")


def test_pipelines(cluster):
    r = connect(cluster)
    count = 3000
    with r.pipeline(transaction=False) as pipe:
        for i in range(count):
            pipe.set(f"p{i % 100}", i).get(f"p{i % 100}")
        got = pipe.execute()
    wanted = [reply for i in range(count) for reply in (True, str(i).encode())]
    check_eq(got, wanted, "replies in order")
    with r.pipeline(transaction=False) as pipe:
        pipe.set("text", "x").incr("text").get("text")
        got = pipe.execute(raise_on_error=False)
    check_eq((got[0], type(got[1]), got[2]), (True, redis.ResponseError, b"x"), "an error inside")


def test_transactions(cluster):
    """MULTI … EXEC is what pipeline() does unless told otherwise; keys lie in all groups."""
    r = connect(cluster)
    keys = [f"t{i}" for i in range(40)]
    with r.pipeline(transaction=True) as pipe:
        for i, key in enumerate(keys):
            pipe.set(key, i).incr(key)
        check_eq(pipe.execute(), [v for i in range(40) for v in (True, i + 1)], "EXEC")
    with r.pipeline() as pipe:
        pipe.set("text", "x").incr("text").set("after", 1)
        got = pipe.execute(raise_on_error=False)
    check_eq((got[0], type(got[1]), got[2]), (True, redis.ResponseError, True), "an error inside")
    with r.pipeline() as pipe:
        pipe.set("never", 1).execute_command("GET")
        check_raises(redis.ResponseError, "wrong number of arguments for 'get'", pipe.execute)
    check_eq(r.get("never"), None, "aborted")
    check_eq(r.mget(keys), [str(i + 1).encode() for i in range(40)], "MGET")


def test_large_transactions(cluster):
    """Thousands of keys in one pipeline(), as people load data."""
    r = connect(cluster)
    keys = [f"load:{i}" for i in range(LOADED_KEYS)]
    with r.pipeline() as pipe:
        for i, key in enumerate(keys):
            pipe.set(key, i)
        check_eq(pipe.execute(), [True] * LOADED_KEYS, "EXEC of SETs")
    with r.pipeline() as pipe:
        for key in keys:
            pipe.get(key)
        check_eq(pipe.execute(), [str(i).encode() for i in range(LOADED_KEYS)], "EXEC of GETs")
    check_eq(r.mset({key: "x" for key in keys}), True, "MSET")
    check_eq(r.mget(keys), [b"x"] * LOADED_KEYS, "MGET")
    check_eq(r.delete(*keys), LOADED_KEYS, "DEL")


def test_watch(cluster):
    r, other = connect(cluster), connect(cluster, 1)
    r.mset({"from": 10, "to": 0})
    with r.pipeline() as pipe:
        pipe.watch("from", "to")
        check_eq(int(pipe.get("from")), 10, "GET at once")
        other.set("to", 5)
        pipe.multi()
        pipe.decr("from").incr("to")
        check_raises(redis.WatchError, "Watched variable changed", pipe.execute)
    check_eq(r.mget("from", "to"), [b"10", b"5"], "nothing was done")
    with r.pipeline() as pipe:
        pipe.watch("from")
        pipe.unwatch()
        other.set("from", 20)
        check_eq(pipe.incr("from").execute(), [21], "INCR after UNWATCH")

    def move(pipe):
        amount = int(pipe.get("from"))
        pipe.multi()
        pipe.set("from", 0).incrby("to", amount)

    check_eq(r.transaction(move, "from", "to"), [True, 26], "transaction()")


def test_watch_loops(cluster):
    """Counters as people write them: every increment counts, whoever else counts."""
    connect(cluster).mset({"left": 0, "right": 0})

    def count(node, failures):
        r = connect(cluster, node)

        def both(pipe):
            left, right = (int(v) for v in pipe.mget("left", "right"))
            if left != right:
                failures.append((left, right))
            pipe.multi()
            pipe.mset({"left": left + 1, "right": right + 1})

        for _ in range(20):
            r.transaction(both, "left", "right")

    failures = []
    threads = [threading.Thread(target=count, args=(node, failures)) for node in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWER_SECONDS)
    check_eq(failures, [], "never one without the other")
    check_eq(connect(cluster).mget("left", "right"), [b"60", b"60"], "none is lost")


def test_dump_and_restore(cluster):
    r = connect(cluster)
    for value in (b"10", b"hello world", b"x" * 100_000, bytes(range(256))):
        r.set("d", value)
        payload = r.dump("d")
        check_eq(r.restore("{d}2", 0, payload, replace=True), b"OK", "RESTORE")
        check_eq(r.get("{d}2"), value, "what was restored")
    check_raises(redis.ResponseError, "BUSYKEY", r.restore, "{d}2", 0, payload)
    broken = payload[:-1] + b"!"
    check_raises(redis.ResponseError, "version or checksum", r.restore, "new", 0, broken)
    check_eq(r.restore("{d}3", 4102444800123, payload, absttl=True), b"OK", "RESTORE ABSTTL")
    check_eq(r.pexpiretime("{d}3"), 4102444800123, "the time restored")
    check_eq(r.dump("missing"), None, "DUMP of nothing")


def test_info(cluster):
    r = connect(cluster)
    r.set("k", 1)
    info = r.info()
    check_eq(info["redis_version"], "7.0.15", "redis_version")
    check_eq(info["redis_mode"], "standalone", "redis_mode")
    check_eq(info["loading"], 0, "loading")
    check_eq(info["role"], "master", "role")
    for name in ("connected_clients", "used_memory", "uptime_in_seconds", "tcp_port", "process_id"):
        check(isinstance(info[name], int) and info[name] > 0, f"{name}: {info.get(name)!r}")
    for name in ("maxmemory_policy", "used_memory_human", "run_id", "os", "uptime_in_days"):
        check(name in info, f"no {name}")
    check_eq(info["maxmemory_policy"], "noeviction", "maxmemory_policy")
    check("db0" in r.info("keyspace"), f"keyspace: {r.info('keyspace')}")
    check("redis_version" in r.info("server"), "a section")
    check_eq(r.info("server").get("connected_clients"), None, "only that section")


def test_config(cluster):
    r = connect(cluster)
    check_eq(r.config_get("databases"), {"databases": "16"}, "CONFIG GET databases")
    check_eq(r.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"}, "CONFIG GET")
    check_eq(r.config_get("nosuch"), {}, "CONFIG GET of nothing")
    check(len(r.config_get("*")) > 5, "CONFIG GET *")
    check_eq(r.config_set("slowlog-log-slower-than", 20000), True, "CONFIG SET")
    found = r.config_get("slowlog*")
    check_eq(found["slowlog-log-slower-than"], "20000", "CONFIG GET of a pattern")
    check_eq(r.config_resetstat(), True, "CONFIG RESETSTAT")
    check_raises(redis.ResponseError, "Unknown option", r.config_set, "nosuch", 1)


def test_clients(cluster):
    r = connect(cluster, client_name="lister")
    other = connect(cluster, client_name="victim", single_connection_client=True)
    other.ping()
    rows = {row["name"]: row for row in r.client_list()}
    check(set(rows) >= {"lister", "victim"}, f"CLIENT LIST: {list(rows)}")
    check_eq(rows["lister"]["cmd"], "client|list", "cmd")
    check(":" in rows["victim"]["addr"], f"addr: {rows['victim']['addr']}")
    check_eq(r.client_kill_filter(_id=rows["victim"]["id"]), 1, "CLIENT KILL ID")
    check_eq(r.client_setname("two"), True, "CLIENT SETNAME")
    check_eq(r.client_getname(), "two", "CLIENT GETNAME")
    check_eq(r.client_no_evict("ON"), b"OK", "CLIENT NO-EVICT")
    check_eq(r.client_pause(1), True, "CLIENT PAUSE")
    check_eq(r.client_unpause(), b"OK", "CLIENT UNPAUSE")
    check_eq(r.client_unblock(999999), False, "CLIENT UNBLOCK")


def test_command_table(cluster):
    r = connect(cluster)
    table = r.command()
    check_eq((table["get"]["arity"], table["set"]["arity"]), (2, -3), "arity")
    check(r.command_count() >= COMMANDS_MIN, f"COMMAND COUNT: {r.command_count()}")
    check_eq(r.command_getkeys("MSET", "a", 1, "b", 2), ["a", "b"], "COMMAND GETKEYS")


def test_server(cluster):
    r = connect(cluster)
    seconds, _ = r.time()
    check(abs(seconds - time.time()) < 60, "TIME")
    check(isinstance(r.slowlog_get(), list), "SLOWLOG GET")
    check(r.slowlog_len() >= 0, "SLOWLOG LEN")
    check_eq(r.slowlog_reset(), True, "SLOWLOG RESET")
    check(isinstance(r.wait(0, 100), int), "WAIT")
    check(isinstance(r.lastsave(), datetime.datetime), "LASTSAVE")


def test_monitor(cluster):
    r = connect(cluster)
    with connect(cluster).monitor() as monitor:
        listener = monitor.listen()
        r.set("watched", "value")
        for command in listener:
            if command["command"] == "SET watched value":
                check_eq(command["db"], 0, "db")
                break


def test_errors_have_their_classes(cluster):
    r = connect(cluster)
    call = r.execute_command
    check_raises(redis.ResponseError, "wrong number of arguments for 'get'", call, "GET")
    check_raises(redis.ResponseError, "unknown command 'NOSUCH'", call, "NOSUCH")
    check_raises(redis.ResponseError, "syntax error", call, "SET", "k", "v", "WRONG")
    check_raises(redis.ResponseError, "invalid expire time", r.setex, "k", 0, "v")
    check_raises(redis.ResponseError, "DB index is out of range", call, "SELECT", 99)


def test_commands_over_groups(cluster):
    """Each of them happens at one moment, wherever its keys are."""
    r = connect(cluster)
    check_eq(r.mset({"a": 1, "b": 2, "c": 3}), True, "MSET")
    check_eq(r.msetnx({"c": 1, "d": 2}), False, "MSETNX")
    check_eq(r.exists("a", "b", "c", "d"), 3, "EXISTS")
    check_eq(r.touch("a", "b", "d"), 2, "TOUCH")
    check_eq(r.rename("a", "other"), True, "RENAME")
    check_eq(r.renamenx("other", "b"), False, "RENAMENX")
    check_eq(r.copy("other", "e"), True, "COPY")
    check_eq(r.bitop("OR", "to", "b", "c"), 1, "BITOP")
    check_eq(r.get("to"), b"3", "GET")
    check_eq(r.delete("a", "b", "c", "other"), 3, "DEL")
    check_eq(r.unlink("e", "to", "missing"), 2, "UNLINK")


def test_django_cache_pattern(cluster):
    """What django.core.cache.backends.redis and django-redis send, without scripts."""
    pool = redis.ConnectionPool(port=cluster.nodes[0].port, db=1, socket_timeout=ANSWER_SECONDS)
    cache = redis.Redis(connection_pool=pool)
    check_eq(cache.set(":1:add", b"pickle", ex=300, nx=True), True, "add")
    check_eq(cache.set(":1:add", b"other", ex=300, nx=True), None, "add again")
    check_eq(cache.get(":1:add"), b"pickle", "get")
    with cache.pipeline(transaction=False) as pipe:
        for i in range(20):
            pipe.set(f":1:many{i}", i, ex=60)
        check_eq(pipe.execute(), [True] * 20, "set_many")
    keys = [f":1:many{i}" for i in range(20)] + [":1:missing"]
    wanted = [str(i).encode() for i in range(20)] + [None]
    check_eq(cache.mget(keys), wanted, "get_many")
    check_eq(cache.incr(":1:count", 3), 3, "incr")
    check(299_000 - 60_000 < cache.pttl(":1:add") <= 300_000, "pttl")
    check_eq(bool(cache.pexpire(":1:add", 5000)), True, "touch")
    check_eq(bool(cache.persist(":1:add")), True, "persist")
    check_eq(cache.exists(":1:add"), 1, "has_key")
    check_eq(cache.delete(":1:add", *keys[:5]), 6, "delete_many")
    check_eq(cache.flushdb(), True, "clear")
    check_eq(cache.dbsize(), 0, "nothing is left")


def test_many_threads_share_a_pool(cluster):
    r = connect(cluster, 1)
    errors = []

    def work():
        try:
            for _ in range(100):
                r.incr("shared")
        except redis.RedisError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ANSWER_SECONDS)
    check_eq((errors, r.get("shared")), ([], b"800"), "INCRs counted")


def until_connected(call, *args):
    """As an application does it: again, while the connection fails."""
    end = time.monotonic() + AFTER_KILL_SECONDS
    while True:
        try:
            return call(*args)
        except redis.ConnectionError:
            check(time.monotonic() < end, f"no connection within {AFTER_KILL_SECONDS} s")
            time.sleep(0.05)


def test_reconnects_when_its_node_is_killed(cluster):
    """The same client object goes on when its node is back; nothing acknowledged is lost."""
    node = cluster.nodes[0]
    r = connect(cluster, db=2)
    check_eq(r.set("before", "1"), True, "SET before")
    node.kill()
    check_raises(redis.ConnectionError, "", r.get, "before")
    if len(cluster.nodes) > 1:
        other = connect(cluster, 1, db=2)
        check_eq(other.set("meanwhile", "2"), True, "SET at another node")
        check_eq(other.get("before"), b"1", "GET at another node")
    node.start()
    check_eq(until_connected(r.set, "after", "3"), True, "SET once the node is back")
    if len(cluster.nodes) > 1:
        check_eq(r.mget("before", "meanwhile", "after"), [b"1", b"2", b"3"], "nothing is lost")


def test_retries_by_itself(cluster):
    """A connection that the server closed while it was idle is replaced without an error."""
    retry = Retry(ConstantBackoff(0.05), 5)
    r = connect(cluster, retry=retry, retry_on_error=[redis.ConnectionError])
    check_eq(r.set("k", "1"), True, "SET")
    killed = connect(cluster).client_kill_filter(skipme=True, _type="normal")
    check(killed >= 1, "CLIENT KILL")
    check_eq(r.get("k"), b"1", "GET on a new connection")


if __name__ == "__main__":
    run([value for name, value in list(globals().items()) if name.startswith("test_")])
