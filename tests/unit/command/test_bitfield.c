/* BITFIELD, BITFIELD_RO. Replies as Redis 7.0.15 gives them. */
#include "big_view.h"

static const struct script_step fields_script[] = {
    {"BITFIELD k", "*0"},
    {"BITFIELD k SET u8 0 255 GET u8 0 GET i8 0 GET u4 0 GET u4 4 GET u8 4",
     "*6 :0 :255 :-1 :15 :15 :240"},
    {"GET k", "$1 \\xff"},
    {"BITFIELD k INCRBY u8 0 10 GET u8 0", "*2 :9 :9"},
    {"BITFIELD k SET i5 100 1 GET u4 0", "*2 :0 :0"},
    {"STRLEN k", ":14"},
    {"BITFIELD k SET u8 #1 65 SET u8 #2 66 GET u8 8 GET u4 #5 GET u16 #1",
     "*5 :0 :0 :65 :2 :16896"},
    {"GET k", "$14 \\x09AB\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80"},
    {"BITFIELD k GET u63 200 GET i64 400 GET u1 536870911", "*3 :0 :0 :0"},
    {"BITFIELD n SET i64 0 -9223372036854775808 GET i64 0 SET i64 0 9223372036854775807 GET i64 0",
     "*4 :0 :-9223372036854775808 :-9223372036854775808 :9223372036854775807"},
    {"BITFIELD n SET u63 3 9223372036854775807 GET u63 3 SET u63 3 0",
     "*3 :9223372036854775804 :9223372036854775807 :9223372036854775807"},
    {"BITFIELD n INCRBY i64 64 -1 INCRBY i64 64 -9223372036854775808",
     "*2 :-1 :9223372036854775807"},
    {"BITFIELD n GET i1 64 GET i2 64 SET i1 64 1 GET i1 64 SET i1 64 -1 GET i1 64",
     "*6 :0 :1 :0 :-1 :-1 :-1"},
    {"BITFIELD none GET u8 0 GET i64 #9", "*2 :0 :0"},
    {"EXISTS none", ":0"},
    /* Only what is written makes the string longer; also in vain. */
    {"BITFIELD fail OVERFLOW FAIL INCRBY u2 20 100 GET u32 100", "*2 $-1 :0"},
    {"GET fail", "$3 \\x00\\x00\\x00"},
};

static const struct script_step overflow_script[] = {
    {"BITFIELD k OVERFLOW WRAP SET u2 0 3 INCRBY u2 0 1 INCRBY u2 0 -1 INCRBY u2 0 9 INCRBY u2 0 "
     "-9",
     "*5 :0 :0 :3 :0 :3"},
    {"BITFIELD k OVERFLOW SAT INCRBY u2 0 1 INCRBY u2 0 -2 INCRBY u2 0 -2 INCRBY u2 0 -2 INCRBY u2 "
     "0 100",
     "*5 :3 :1 :0 :0 :3"},
    {"BITFIELD k OVERFLOW FAIL INCRBY u2 0 1 INCRBY u2 0 -3 INCRBY u2 0 -1 INCRBY u2 0 4 INCRBY u2 "
     "0 3",
     "*5 $-1 :0 $-1 $-1 :3"},
    {"BITFIELD k OVERFLOW WRAP SET i4 8 7 INCRBY i4 8 1 INCRBY i4 8 -1 INCRBY i4 8 33 INCRBY i4 8 "
     "-33",
     "*5 :0 :-8 :7 :-8 :7"},
    {"BITFIELD k OVERFLOW SAT INCRBY i4 8 1 INCRBY i4 8 -14 INCRBY i4 8 -2 INCRBY i4 8 -2 INCRBY "
     "i4 8 100",
     "*5 :7 :-7 :-8 :-8 :7"},
    {"BITFIELD k OVERFLOW FAIL INCRBY i4 8 1 INCRBY i4 8 -15 INCRBY i4 8 -1 INCRBY i4 8 16 INCRBY "
     "i4 8 15",
     "*5 $-1 :-8 $-1 $-1 :7"},
    {"BITFIELD k OVERFLOW FAIL SET i4 8 8 SET i4 8 -9 SET i4 8 -8 GET i4 8 SET u2 0 4 SET u2 0 -1 "
     "GET u2 0",
     "*7 $-1 $-1 :7 :-8 $-1 $-1 :3"},
    {"BITFIELD k OVERFLOW SAT SET i4 8 8 SET i4 8 -9 GET i4 8 SET u2 0 4 GET u2 0 SET u2 0 -1 GET "
     "u2 0",
     "*7 :-8 :7 :-8 :3 :3 :3 :3"},
    {"BITFIELD k SET i4 8 8 GET i4 8 SET i4 8 -9 GET i4 8 SET u2 0 6 GET u2 0 SET u2 0 -1 GET u2 0",
     "*8 :-8 :-8 :-8 :7 :3 :2 :2 :3"},
    {"BITFIELD k overflow sat SET u8 16 250 INCRBY u8 16 10 OVERFLOW wrap INCRBY u8 16 10 OVERFLOW "
     "Fail INCRBY u8 16 250",
     "*4 :0 :255 :9 $-1"},
    {"BITFIELD m SET i64 0 9223372036854775807 INCRBY i64 0 1 OVERFLOW SAT INCRBY i64 0 -1 INCRBY "
     "i64 0 -1 INCRBY i64 0 9223372036854775807",
     "*5 :0 :-9223372036854775808 :-9223372036854775808 :-9223372036854775808 :-1"},
    {"BITFIELD m OVERFLOW SAT INCRBY i64 0 9223372036854775807 INCRBY i64 0 1 OVERFLOW FAIL INCRBY "
     "i64 0 1 INCRBY i64 0 -9223372036854775808",
     "*4 :9223372036854775806 :9223372036854775807 $-1 :-1"},
    {"BITFIELD m SET u63 0 9223372036854775807 INCRBY u63 0 1 OVERFLOW SAT INCRBY u63 0 "
     "-9223372036854775808 INCRBY u63 0 9223372036854775807 INCRBY u63 0 1",
     "*5 :9223372036854775807 :0 :0 :9223372036854775807 :9223372036854775807"},
    {"BITFIELD m OVERFLOW FAIL INCRBY u63 0 -9223372036854775808 INCRBY u63 0 1 INCRBY u63 0 "
     "-9223372036854775807",
     "*3 $-1 $-1 :0"},
    {"BITFIELD m SET u63 0 0 OVERFLOW SAT INCRBY u1 80 9223372036854775807 INCRBY u1 80 "
     "-9223372036854775808 INCRBY i1 81 9223372036854775807 INCRBY i1 81 -9223372036854775808",
     "*5 :0 :1 :0 :0 :-1"},
    {"BITFIELD m INCRBY u1 80 9223372036854775807 INCRBY i1 81 9223372036854775807 INCRBY i1 81 "
     "-9223372036854775808",
     "*3 :1 :0 :0"},
    /* Very far below is above. */
    {"BITFIELD far OVERFLOW SAT SET i5 0 -9223372036854775808 GET i5 0 SET i5 0 "
     "-9223372036854775793 GET i5 0",
     "*4 :0 :15 :15 :15"},
    {"BITFIELD far OVERFLOW SAT SET i5 0 -9223372036854775792 GET i5 0 SET i64 0 "
     "-9223372036854775808 GET i64 0",
     "*4 :15 :-16 :-9223372036854775808 :-9223372036854775808"},
    {"BITFIELD far OVERFLOW SAT SET i63 0 -9223372036854775808 GET i63 0 SET u63 0 "
     "-9223372036854775808 GET u63 0",
     "*4 :-4611686018427387904 :4611686018427387903 :4611686018427387903 :9223372036854775807"},
    {"BITFIELD far SET i5 0 -9223372036854775807 GET i5 0 OVERFLOW FAIL SET i5 0 "
     "-9223372036854775808",
     "*3 :-1 :1 $-1"},
};

static const struct script_step errors_script[] = {
    {"BITFIELD k bogus", "-ERR syntax error"},
    {"BITFIELD k GET", "-ERR syntax error"},
    {"BITFIELD k GET u8", "-ERR syntax error"},
    {"BITFIELD k SET u8 0", "-ERR syntax error"},
    {"BITFIELD k INCRBY u8 0", "-ERR syntax error"},
    {"BITFIELD k OVERFLOW", "-ERR syntax error"},
    {"BITFIELD k OVERFLOW bogus", "-ERR Invalid OVERFLOW type specified"},
    {"BITFIELD k OVERFLOW SAT", "*0"},
    {"BITFIELD k OVERFLOW bogus bogus", "-ERR Invalid OVERFLOW type specified"},
    {"BITFIELD k GET u0 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET u64 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET i65 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET i0 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET i-1 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET u08 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET U8 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET u 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET  0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET 8 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET x8 0",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"BITFIELD k GET u8 -1", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 x", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 ", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 #", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 #-1", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 #x", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 536870912", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 #67108864", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k GET u8 #67108863", "*1 :0"},
    {"BITFIELD k SET u8 0 x", "-ERR value is not an integer or out of range"},
    {"BITFIELD k SET u8 0 1.5", "-ERR value is not an integer or out of range"},
    {"BITFIELD k SET u8 0 9223372036854775808", "-ERR value is not an integer or out of range"},
    {"BITFIELD k INCRBY u8 0 ", "-ERR value is not an integer or out of range"},
    /* The first error, and nothing has changed. */
    {"BITFIELD k SET u8 0 1 GET u8 x bogus", "-ERR bit offset is not an integer or out of range"},
    {"BITFIELD k SET u8 0 1 bogus", "-ERR syntax error"},
    {"BITFIELD k GET x x",
     "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "
     "i64 is."},
    {"EXISTS k", ":0"},
    {"BITFIELD list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITFIELD list GET u8 0",
     "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITFIELD list SET u8 0 1",
     "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITFIELD list SET u8 0 x", "-ERR value is not an integer or out of range"},
    {"BITFIELD", "-ERR wrong number of arguments for 'bitfield' command"},
};

static const struct script_step read_only_script[] = {
    {"BITFIELD_RO k GET u8 0", "*1 :0"},
    {"BITFIELD_RO k", "*0"},
    {"SET k AB", "+OK"},
    {"BITFIELD_RO k GET u8 0 GET u8 #1 GET i16 0 OVERFLOW SAT GET u8 4", "*4 :65 :66 :16706 :20"},
    {"BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"},
    {"BITFIELD_RO k GET u8 0 INCRBY u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"},
    {"BITFIELD_RO k SET u8 0", "-ERR syntax error"},
    {"BITFIELD_RO k SET u8 0 x", "-ERR value is not an integer or out of range"},
    {"BITFIELD_RO k OVERFLOW FAIL", "*0"},
    {"BITFIELD_RO list SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"},
    {"BITFIELD_RO list GET u8 0",
     "-WRONGTYPE Operation against a key holding the wrong kind of value"},
    {"BITFIELD_RO", "-ERR wrong number of arguments for 'bitfield_ro' command"},
    {"GET k", "$2 AB"},
};

static const struct script_step bitfield_in_resp3_script[] = {
    {"BITFIELD k OVERFLOW FAIL INCRBY u2 0 9 GET u8 0", "*2 _ :0"},
    {"GET none", "_"},
    {"GETEX none", "_"},
    {"GETDEL none", "_"},
    {"GETSET none x", "_"},
    {"SET k v NX", "_"},
    {"SET k2 v XX GET", "_"},
    {"MGET none k", "*2 $1 x $1 \\x00"},
    {"GETRANGE none 0 -1", "$1 x"},
    {"INCRBYFLOAT f 1.5", "$3 1.5"},
};

TEST(fields)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, fields_script);
}

TEST(overflow)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, overflow_script);
}

TEST(errors)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, errors_script);
}

TEST(read_only)
{
    struct fake_view f;
    fake_view_init(&f);
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, read_only_script);
}

TEST(bitfield_in_resp3)
{
    struct fake_view f;
    fake_view_init(&f);
    f.resp = 3;
    put_other_type(&f, "list");
    RUN_SCRIPT(&f, bitfield_in_resp3_script);
}

#define BAD_OFFSET "-ERR bit offset is not an integer or out of range"

/* What is written must end within the longest string; what is read need not. */
TEST(limits_of_fields)
{
    struct big_view big;
    big_view_init(&big, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "BITFIELD big SET u8 536870904 1"), "*1 :0");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "BITFIELD none INCRBY u8 #67108863 1"), "*1 :1");
    CHECK_EQ(big.size_put, LIMIT_VALUE_BYTES);
    CHECK_TEXT(run_big(&big, "BITFIELD big SET u8 536870905 1"), BAD_OFFSET);
    CHECK_TEXT(run_big(&big, "BITFIELD big SET u1 536870911 1"), "*1 :0");
    CHECK_TEXT(run_big(&big, "BITFIELD big SET u2 536870911 1"), BAD_OFFSET);
    CHECK_TEXT(run_big(&big, "BITFIELD big GET i64 536870911"), "*1 :0");
    /* Products beyond 64 bits are too far, whatever they would wrap to. */
    CHECK_TEXT(run_big(&big, "BITFIELD big GET u4 #4611686018427387904"), BAD_OFFSET);
    CHECK_TEXT(run_big(&big, "BITFIELD big GET u2 #-9223372036854775808"), BAD_OFFSET);
    CHECK_EQ(big.puts, 3u);
}

TEST(fields_that_stay_are_not_written)
{
    struct fake_view f;
    fake_view_init(&f);
    (void)run(&f, "BITFIELD k SET u8 0 5");
    CHECK_EQ(f.changes, 1u);
    (void)run(&f, "BITFIELD k SET u8 0 5 INCRBY u8 0 0 OVERFLOW FAIL INCRBY u8 0 251");
    (void)run(&f, "BITFIELD k GET u8 0");
    CHECK_EQ(f.changes, 1u);
    (void)run(&f, "BITFIELD k OVERFLOW FAIL SET u8 8 256"); /* one byte longer */
    CHECK_EQ(f.changes, 2u);
}
