// ioredis, unmodified, against the nodes in PORTS (of processes PIDS): strings, bitmaps, keys.
// Usage: node ioredis.js PACKAGE. Prints "ok name" or "FAIL name" lines, then "N passed, N failed".
"use strict";
const assert = require("node:assert/strict");
const Redis = require(process.argv[2]);

const TEST_MS = 30000;
const ANSWER_MS = 20000;
const ports = process.env.PORTS.split(",").map(Number);
const pids = process.env.PIDS.split(",").map(Number);
const clients = [];

function connect(node = 0, options = {}) {
  const port = ports[node % ports.length];
  const client = new Redis({ host: "127.0.0.1", port, commandTimeout: ANSWER_MS, ...options });
  client.on("error", () => {}); // seen by the commands
  clients.push(client);
  return client;
}

function isBetween(value, low, high) {
  assert.ok(value >= low && value <= high, `${value} is not between ${low} and ${high}`);
}

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const tests = {
  async connects() {
    for (let node = 0; node < ports.length; node++) {
      const r = connect(node, { db: 3, connectionName: "app" });
      assert.equal(await r.ping(), "PONG");
      assert.equal(r.status, "ready"); // INFO said that nothing is loading
      assert.equal(await r.client("GETNAME"), "app");
      assert.match(await r.client("INFO"), / db=3 /);
    }
  },

  async "speaks RESP3"() {
    const r = connect(0, { protocol: 3 });
    await r.set("k", "v");
    assert.equal(await r.get("k"), "v");
    assert.equal(await r.get("missing"), null);
    assert.match(await r.client("INFO"), /^id=\d+ addr=/);
  },

  async "says what is wrong with a password"() {
    const r = connect(0, { password: "secret", retryStrategy: null });
    const warned = await r.ping().then(String, String); // ioredis goes on without one, and warns
    assert.ok(warned === "PONG" || /WRONGPASS|without any password/.test(warned), warned);
  },

  async strings() {
    const r = connect(1);
    assert.equal(await r.set("s", "1", "EX", 100), "OK");
    assert.equal(await r.set("s", "2", "NX"), null);
    assert.equal(await r.set("s", "2", "KEEPTTL", "GET"), "1");
    isBetween(await r.ttl("s"), 90, 100);
    assert.equal(await r.getset("s", "3"), "2");
    assert.equal(await r.getex("s", "EX", 50), "3");
    assert.equal(await r.append("s", "45"), 3);
    assert.equal(await r.strlen("s"), 3);
    assert.equal(await r.getrange("s", 0, 1), "34");
    assert.equal(await r.setrange("s", 1, "xy"), 3);
    assert.equal(await r.getdel("s"), "3xy");
    assert.equal(await r.setnx("s", "1"), 1);
    assert.equal(await r.setex("s", 10, "1"), "OK");
    assert.equal(await r.psetex("s", 10000, "1"), "OK");
    assert.equal(await r.incr("s"), 2);
    assert.equal(await r.incrby("s", 10), 12);
    assert.equal(await r.decr("s"), 11);
    assert.equal(await r.decrby("s", 1), 10);
    assert.equal(await r.incrbyfloat("s", 0.5), "10.5");
    await assert.rejects(r.incr("s"), /ReplyError: ERR value is not an integer or out of range/);
    assert.equal(await r.mset({ "{m}a": "1", "{m}b": "2" }), "OK");
    assert.equal(await r.msetnx("{m}b", "3", "{m}c", "4"), 0);
    assert.deepEqual(await r.mget("{m}a", "missing", "s"), ["1", null, "10.5"]);
    await r.mset("{l}a", "ohmytext", "{l}b", "mynewtext");
    assert.equal(await r.lcs("{l}a", "{l}b"), "mytext");
    assert.equal(await r.lcs("{l}a", "{l}b", "LEN"), 6);
  },

  async "binary values"() {
    const r = connect(2);
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await r.set(Buffer.from("bin\x00key"), bytes);
    assert.deepEqual(await r.getBuffer("bin\x00key"), bytes);
    const payload = await r.dumpBuffer("bin\x00key");
    assert.equal(await r.restore("copy", 0, payload), "OK");
    assert.deepEqual(await r.getBuffer("copy"), bytes);
    await assert.rejects(r.restore("copy", 0, payload), /BUSYKEY/);
  },

  async bitmaps() {
    const r = connect();
    assert.equal(await r.setbit("b", 7, 1), 0);
    assert.equal(await r.getbit("b", 7), 1);
    await r.set("b", "foobar");
    assert.equal(await r.bitcount("b"), 26);
    assert.equal(await r.bitcount("b", 5, 30, "BIT"), 17);
    assert.equal(await r.bitpos("b", 1), 1);
    await r.mset("{b}x", "abc", "{b}y", "abd");
    assert.equal(await r.bitop("XOR", "{b}to", "{b}x", "{b}y"), 3);
    assert.deepEqual(await r.bitfield("f", "SET", "u8", 0, 255, "INCRBY", "u8", 0, 1), [0, 0]);
    assert.deepEqual(await r.bitfield_ro("f", "GET", "u4", 0), [0]);
  },

  async keys() {
    const r = connect();
    await r.mset("{k}a", 1, "{k}b", 2);
    await r.set("c", 3);
    assert.equal(await r.exists("{k}a", "c", "missing"), 2);
    assert.equal(await r.touch("{k}a", "c"), 2);
    assert.equal(await r.type("c"), "string");
    assert.equal(await r.rename("{k}a", "{k}z"), "OK");
    assert.equal(await r.renamenx("{k}z", "{k}b"), 0);
    assert.equal(await r.copy("{k}z", "{k}b", "REPLACE"), 1);
    assert.equal(await r.move("c", 4), 1);
    assert.equal(await r.object("ENCODING", "{k}z"), "int");
    assert.equal(await r.unlink("{k}z", "{k}missing"), 1);
    assert.equal(await r.randomkey(), "{k}b");
    assert.deepEqual(await r.keys("*"), ["{k}b"]);
    assert.equal(await r.del("{k}b"), 1);
    assert.equal(await r.dbsize(), 0);
    await assert.rejects(r.rename("no", "{no}x"), /ERR no such key/);
  },

  async expiry() {
    const r = connect(1);
    await r.set("e", 1);
    assert.equal(await r.expire("e", 100), 1);
    assert.equal(await r.expire("e", 50, "GT"), 0);
    assert.equal(await r.pexpire("e", 70000, "XX"), 1);
    isBetween(await r.pttl("e"), 60000, 70000);
    assert.equal(await r.expireat("e", 4102444800), 1);
    assert.equal(await r.expiretime("e"), 4102444800);
    assert.equal(await r.pexpireat("e", 4102444800123), 1);
    assert.equal(await r.pexpiretime("e"), 4102444800123);
    assert.equal(await r.persist("e"), 1);
    assert.equal(await r.ttl("e"), -1);
    await r.set("e", 1, "PX", 50);
    await sleep(200);
    for (let node = 0; node < ports.length; node++) {
      assert.equal(await connect(node).get("e"), null);
    }
  },

  async "scan streams"() {
    const r = connect(2);
    const wanted = Array.from({ length: 300 }, (_, i) => `scan:${i}`);
    await r.pipeline(wanted.map((key) => ["set", key, "x"])).exec();
    await r.set("other", 1);
    const found = [];
    for await (const keys of r.scanStream({ match: "scan:*", count: 9 })) {
      found.push(...keys);
    }
    assert.deepEqual([...new Set(found)].sort(), [...wanted].sort());
  },

  async "pipelines keep their order"() {
    const r = connect();
    const pipeline = r.pipeline();
    for (let i = 0; i < 1000; i++) {
      pipeline.set(`p${i % 50}`, i).get(`p${i % 50}`);
    }
    pipeline.incr("p0").incrbyfloat("p1", "x");
    const replies = await pipeline.exec();
    for (let i = 0; i < 1000; i++) {
      assert.deepEqual(replies[2 * i], [null, "OK"]);
      assert.deepEqual(replies[2 * i + 1], [null, String(i)]);
    }
    assert.deepEqual(replies[2000], [null, 951]);
    assert.match(String(replies[2001][0]), /value is not a valid float/);
  },

  async "multi and exec"() {
    const r = connect();
    const keys = Array.from({ length: 40 }, (_, i) => `t${i}`);
    const all = r.multi();
    keys.forEach((key, i) => all.set(key, i).incr(key));
    const replies = await all.exec();
    assert.deepEqual(replies.map(([error]) => error), Array(80).fill(null));
    assert.deepEqual(replies.map(([, reply]) => reply), keys.flatMap((_, i) => ["OK", i + 1]));
    const failing = await r.multi().set("text", "x").incr("text").set("after", 1).exec();
    assert.match(String(failing[1][0]), /not an integer/);
    assert.equal(failing[2][1], "OK");
    await assert.rejects(r.multi().set("never", 1).call("GET").exec(), /EXECABORT/);
    assert.equal(await r.get("never"), null);
    await r.multi({ pipeline: false });
    assert.equal(await r.mget("t0", "t39"), "QUEUED");
    assert.deepEqual(await r.exec(), [[null, ["1", "40"]]]);
  },

  async "watch"() {
    const r = connect();
    const other = connect(1);
    await r.mset("from", 10, "to", 0);
    await r.watch("from", "to");
    await other.set("to", 5);
    assert.equal(await r.multi().decr("from").incr("to").exec(), null);
    assert.deepEqual(await r.mget("from", "to"), ["10", "5"]);
    await r.watch("from", "to");
    assert.deepEqual(await r.multi().decr("from").incr("to").exec(), [[null, 9], [null, 6]]);
    await r.watch("from");
    await other.del("from");
    await r.unwatch();
    assert.deepEqual(await r.multi().get("from").exec(), [[null, null]]);
  },

  async "watch loops"() {
    // Money moves between accounts that lie in many groups, from all nodes at once.
    const accounts = Array.from({ length: 5 }, (_, i) => `account${i}`);
    await connect().mset(Object.fromEntries(accounts.map((name) => [name, 100])));
    let refused = 0;
    const move = async (r, from, to) => {
      for (;;) {
        await r.watch(from, to);
        const [left, right] = (await r.mget(from, to)).map(Number);
        const done = await r.multi().set(from, left - 1).set(to, right + 1).exec();
        if (done !== null) {
          assert.deepEqual(done, [[null, "OK"], [null, "OK"]]);
          return;
        }
        refused++;
      }
    };
    const worker = async (number) => {
      const r = connect(number);
      for (let i = 0; i < 15; i++) {
        const from = (number + i) % 5;
        await move(r, accounts[from], accounts[(from + 1 + (i % 4)) % 5]);
        const all = (await r.mget(...accounts)).map(Number);
        assert.equal(all.reduce((a, b) => a + b), 500, String(all));
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5].map(worker));
    assert.ok(refused > 0, "nobody was in anybody's way");
  },

  async "many calls at once, without a pipeline"() {
    const r = connect(1, { enableAutoPipelining: true });
    const replies = await Promise.all(Array.from({ length: 500 }, () => r.incr("n")));
    assert.deepEqual(replies.sort((a, b) => a - b), Array.from({ length: 500 }, (_, i) => i + 1));
  },

  async "server commands"() {
    const r = connect();
    assert.match(await r.info(), /redis_version:7\.0\.15/);
    assert.deepEqual(await r.config("GET", "databases"), ["databases", "16"]);
    assert.match(await r.client("LIST"), /^id=\d+ addr=127\.0\.0\.1:\d+ /);
    assert.ok((await r.command("COUNT")) >= 70);
    assert.equal((await r.command("INFO", "get"))[0][1], 2);
    assert.equal((await r.time()).length, 2);
    assert.equal(typeof (await r.wait(0, 10)), "number");
    assert.ok(Array.isArray(await r.slowlog("GET")));
    assert.ok((await r.memory("USAGE", "missing")) === null);
  },

  async "monitor"() {
    const r = connect();
    const monitor = await r.monitor();
    clients.push(monitor);
    const seen = new Promise((done) => {
      monitor.on("monitor", (_time, args) => args[1] === "watched" && done(args));
    });
    await r.set("watched", "value");
    assert.deepEqual((await seen).map((s) => s.toLowerCase()), ["set", "watched", "value"]);
  },

  async "select and flush"() {
    const r = connect();
    await r.set("k", 0);
    await r.select(7);
    await r.set("k", 7);
    assert.equal(await r.flushdb(), "OK");
    assert.equal(await r.get("k"), null);
    await r.select(0);
    assert.equal(await r.get("k"), "0");
    assert.equal(await r.flushall(), "OK");
    assert.equal(await r.dbsize(), 0);
    await assert.rejects(r.select(99), /ERR DB index is out of range/);
    await assert.rejects(r.call("NOSUCH", "x"), /ERR unknown command 'NOSUCH'/);
  },

  // Last: commands that were sent are sent again on the next connection (its default).
  async "reconnects after its node was killed"() {
    const r = connect(0, { db: 2, retryStrategy: () => 100, maxRetriesPerRequest: null });
    await r.set("before", 1);
    process.kill(pids[0], "SIGKILL");
    const answer = r.set("after", 2);
    if (ports.length > 1) {
      assert.equal(await connect(1, { db: 2 }).get("before"), "1");
    }
    console.log("start again"); // the test that started us does
    assert.equal(await answer, "OK");
    assert.equal(await r.get("after"), "2");
    assert.match(await r.client("INFO"), / db=2 /);
  },
};

async function runOne(name, test) {
  let timer;
  const tooLong = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not done within ${TEST_MS} ms`)), TEST_MS);
  });
  try {
    const cleaner = connect();
    await Promise.race([cleaner.flushall(), tooLong]);
    await Promise.race([test(), tooLong]);
    console.log(`ok ${name}`);
    return true;
  } catch (error) {
    console.log(`FAIL ${name}: ${String(error.stack).split("\n").slice(0, 12).join("\n    ")}`);
    return false;
  } finally {
    clearTimeout(timer);
    clients.splice(0).forEach((client) => client.disconnect());
  }
}

async function main() {
  let passed = 0;
  for (const [name, test] of Object.entries(tests)) {
    passed += (await runOne(name, test)) ? 1 : 0;
  }
  const failed = Object.keys(tests).length - passed;
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

main();
