"""Edge arguments: keys that collide, values and numbers around every border, times that are stable.

Times must not run out while a sequence runs, nor be so close to each other that GT and LT depend on
the milliseconds between two servers: relative ones are long, and each is used once.
"""

import random

TAGS = ["t", "u"]
PLAIN_KEYS = [b"k", b"foo", b"", b"{}x", b"bin\x00\xff\r\n", b"a{b", b"{t}"]
TAGGED_TAILS = [b"a", b"b", b"c", b"*[x", b"\x00\xff"]

VALUES = [
    b"", b"0", b"1", b"-1", b"10", b"007", b"-0", b"+1", b" 1", b"1 ", b"9223372036854775807",
    b"-9223372036854775808", b"9223372036854775806", b"9223372036854775808",
    b"-9223372036854775809",
    b"1.5", b"-1.5", b"3.0e3", b"5.0e-324", b"1.7976931348623157e308", b"1e400", b"0.1", b"1e17",
    b"12345678901234567890.123", b"nan", b"inf", b"-inf", b"0x10", b"1e5", b".5", b"5.", b"abc",
    b"foobar", b"ohmytext", b"mynewtext", b"hello world", b"\x00", b"\xff\xff\xff",
    b"\x00\xff\x80a",
    b"\r\n", b"\xc3\xa9\xe2\x82\xac", b"a" * 44, b"a" * 45, b"ab" * 500, bytes(range(256)),
    b"\x00" * 70,
    b"\xff" * 33, b"1234567890" * 20, b"12345678901234567890", b"123456789012", b"127", b"128",
    b"32767", b"-32769", b"2147483647", b"-2147483649", b"10000", b"9999",
]

# Longer than what is read, sent or packed at once; the second cannot be packed.
LONG_VALUES = [b"0123456789abcdef" * 1250, random.Random(1).randbytes(9000)]

SMALL_INTEGERS = [-2, -1, 0, 1, 2, 3, 5, 7, 8, 9, 10, 16, 31, 32, 63, 64, 65, 100]
HUGE_INTEGERS = [
    2147483647, -2147483648, 4294967295, 4294967296, 9223372036854775807, -9223372036854775808,
    9223372036854775806, -9223372036854775807,
]  # fmt: skip
BAD_INTEGERS = [
    b"", b"abc", b"1.5", b"+5", b"007", b" 3", b"3 ", b"1e3", b"9223372036854775808",
    b"-9223372036854775809", b"99999999999999999999", b"0x1", b"-", b"3\x00", b"-0",
]  # fmt: skip
FLOATS = [
    b"0", b"1", b"-1", b"0.1", b"-0.1", b"1.5", b"3.0e3", b"5.0e-324", b"1e308", b"-1e308",
    b"1e400",
    b"nan", b"inf", b"-inf", b"abc", b"", b" 1", b"1 ", b"1,5", b"0x10", b"1e17", b"1e-17",
    b"123456789",
    b"9223372036854775807", b"0.30000000000000004", b"3.141592653589793238462643383279", b"+1.5",
    b"1e5000",
]  # fmt: skip
# Replaces an argument anywhere: nothing that lets a key expire soon or a value become long.
JUNK = [
    b"", b"junk", b"-1", b"0", b"nx", b"XX", b"EX", b"GET", b"keepttl", b"*", b"\x00\xff", b"1.5",
    b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"{t}a", b"k", b"(",
    b"#1",
    b"COUNT", b"u8", b"BIT", b"2147483648",
]  # fmt: skip

PATTERNS = [
    b"*", b"*a*", b"?", b"??", b"{t}*", b"{t}[a-b]", b"{t}[^a]", b"[", b"*[", b"\\*", b"\\", b"",
    b"k",
    b"foo", b"[a-z]*", b"[z-a]*", b"[]a]", b"f[o]o", b"*\\[x", b"*\xff", b"**", b"*o*o", b"[\\]]",
    b"[a-", b"[^",
    b"f\\oo", b"[k", b"???*", b"{t}?", b"*}?*", b"FOO",
]  # fmt: skip

FAR_SECONDS = [4102444800, 9999999999, 33177117420]  # the year 2100, and later
FAR_MS = [4102444800123, 9999999999999, 33177117420777]
PAST_SECONDS = [1, 1000000000, 1500000000]
PAST_MS = [1, 1000000000000]
BAD_TIMES = [
    b"abc", b"", b"1.5", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
    b"9223372036854775", b"-9223372036854775807",
]  # fmt: skip


def exact_times_ms():
    """Points in time that only absolute arguments give: replies must agree on them exactly."""
    return set(FAR_MS) | {s * 1000 for s in FAR_SECONDS}
