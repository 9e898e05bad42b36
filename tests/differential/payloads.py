"""What RESTORE is given: payloads of redis-server 7.0.15, and hand-made ones."""

POLYNOMIAL = 0x95AC9329AC4BC9B5  # CRC-64 of Jones, reflected
VERSION = 10
TYPE_STRING = 0

# DUMP of "", 10, -129, 40000, 2147483647, "hello world", 200 times "a", 500 times "ab".
WRITTEN_BY_REDIS = [
    bytes.fromhex(text)
    for text in (
        "00000a005d9b5c400f7fa2da",
        "00c00a0a006e9f57450eae63bb",
        "00c17fff0a001760822854808480",
        "00c2409c00000a0009cd631ff3b98cf2",
        "00c2ffffff7f0a002c74e59ee02eada1",
        "000b68656c6c6f20776f726c640a000bfc49b9a6c7a034",
        "00c30940c8016161e0bb000161610a001f99f72e01b20de3",
        "00c31343e802616261e0ff01e0ff01e0ff01e0c2010161620a00b47609dbfd1d6016",
    )
]
LIST_BY_REDIS = bytes.fromhex("1201020a0a0000000100816102ff0a0009b9edf594ded995")

BODIES = [
    b"\x03abc",  # 6 bits of length
    b"\x40\x03abc",  # 14
    b"\x80\x00\x00\x00\x03abc",  # 32
    b"\x81\x00\x00\x00\x00\x00\x00\x00\x03abc",  # 64
    b"\x03abcdef",  # more than it says
    b"\x03ab",  # less
    b"",
    b"\x80\xff\xff\xff\xff",
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x82\x00",
    b"\xc0\xff",
    b"\xc0",
    b"\xc1\xff\xff",
    b"\xc2\x00\x00\x00\x80",
    b"\xc2\x00\x00",
    b"\xc4\x00",
    b"\xc3\x04\x03\x02abc",  # packed, but only literals
    b"\xc3\x04\x04\x02abc",  # says one byte more
    b"\xc3\x04\x02\x02abc",  # one byte less
    b"\xc3\x05\x0a\x00a\xe0\x00\x00",  # refers to itself
    b"\xc3\x03\x0a\xe0\x00\x10",  # refers to what is before the beginning
    b"\xc3\x00\x00",
    b"\xc3",
]


def crc64(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ POLYNOMIAL if crc & 1 else crc >> 1
    return crc


def payload(body, kind=TYPE_STRING, version=VERSION):
    data = bytes([kind]) + body + version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


HAND_MADE = [payload(body) for body in BODIES] + [
    payload(b"\x03abc", version=version) for version in (1, 6, 9, 11, 65535)
]
UNKNOWN_TYPES = [payload(b"\x03abc", kind) for kind in (8, 22, 200, 255)]
