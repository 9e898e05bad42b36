/* LCS: the longest common subsequence of two strings. */
#include "base/assert.h"
#include "base/mem.h"
#include "command/bits.h"
#include "command/string_get.h"
#include "protocol/resp_writer.h"

static enum command_result lcs_run(struct command_call *call);

const struct command command_table_lcs[] = {
    {
        .name = "lcs",
        .handler = lcs_run,
        .id = COMMAND_ID_LCS,
        .semantics = 1,
        .arity_min = 3,
        .arity_max = -1,
        .flags = COMMAND_READ,
        .policy = COMMAND_ONE_SHARD,
        .keys = {.first = 1, .last = 2, .step = 1, .access = "RO access"},
        .group = "string",
        .since = "7.0.0",
        .complexity = "O(N*M) where N and M are the lengths of s1 and s2, respectively",
        .summary = "Find longest common substring",
        .acl = "@read @string @slow",
    },
    {.name = NULL},
};

/* ---- options --------------------------------------------------------------------------------- */

struct lcs_options {
    bool wants_length;
    bool wants_matches;
    bool with_match_lengths;
    int64_t match_length_min;
};

/* False after an error. */
static bool parse(struct command_call *call, struct lcs_options *out_options)
{
    struct lcs_options o = {0};
    for (size_t i = 3; i < call->arg_count; i++) {
        struct bytes word = call->args[i];
        if (bytes_equal_nocase(word, "idx")) {
            o.wants_matches = true;
        } else if (bytes_equal_nocase(word, "len")) {
            o.wants_length = true;
        } else if (bytes_equal_nocase(word, "withmatchlen")) {
            o.with_match_lengths = true;
        } else if (bytes_equal_nocase(word, "minmatchlen") && i + 1 < call->arg_count) {
            if (!string_integer(call, call->args[++i], &o.match_length_min)) {
                return false;
            }
        } else {
            resp_write_error(call->reply, STRING_SYNTAX_ERROR);
            return false;
        }
    }
    if (o.wants_matches && o.wants_length) {
        resp_write_error(call->reply,
                         "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    *out_options = o;
    return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

/*
 * The classic table over all pairs of prefixes, of which we keep one row of lengths, and for each
 * pair one bit: where the two bytes differ, whether the way back leads to the shorter prefix of a
 * (set) or of b. That is enough to walk back, and a thirtieth of the whole table.
 */
struct lcs {
    struct bytes a;
    struct bytes b;
    uint32_t *row;   /* b.size + 1 lengths */
    uint8_t *shrink; /* a.size * b.size bits */
};

static uint64_t table_cells(struct bytes a, struct bytes b)
{
    return ((uint64_t)a.size + 1) * ((uint64_t)b.size + 1);
}

static size_t shrink_bytes(struct bytes a, struct bytes b)
{
    return a.size * b.size / BITS_PER_BYTE + 1;
}

static bool shrinks_a(const struct lcs *l, size_t i, size_t j)
{
    size_t cell = (i - 1) * l->b.size + (j - 1);
    return (l->shrink[cell / BITS_PER_BYTE] >> cell % BITS_PER_BYTE & 1) != 0;
}

/* One row: the prefix of a with i bytes against all prefixes of b. */
static void fill_row(struct lcs *l, size_t i)
{
    uint32_t diagonal = 0; /* of the row before, one to the left */
    size_t cell = (i - 1) * l->b.size;
    for (size_t j = 1; j <= l->b.size; j++, cell++) {
        uint32_t above = l->row[j];
        uint32_t left = l->row[j - 1];
        if (l->a.data[i - 1] == l->b.data[j - 1]) {
            l->row[j] = diagonal + 1;
        } else if (above > left) {
            l->shrink[cell / BITS_PER_BYTE] |= (uint8_t)(1u << cell % BITS_PER_BYTE);
        } else {
            l->row[j] = left;
        }
        diagonal = above;
    }
}

static void lcs_init(struct lcs *l, struct bytes a, struct bytes b)
{
    ensure(table_cells(a, b) <= LIMIT_LCS_CELLS);
    *l = (struct lcs){
        .a = a,
        .b = b,
        .row = mem_alloc_zero((b.size + 1) * sizeof(uint32_t)),
        .shrink = mem_alloc_zero(shrink_bytes(a, b)),
    };
    for (size_t i = 1; i <= a.size; i++) {
        fill_row(l, i);
    }
}

static void lcs_deinit(struct lcs *l)
{
    mem_free(l->row);
    mem_free(l->shrink);
}

static size_t lcs_length(const struct lcs *l)
{
    return l->row[l->b.size];
}

/* ---- the way back ---------------------------------------------------------------------------- */

/* A piece that both have, as long as it goes. */
struct match {
    size_t a;
    size_t b;
    size_t length;
};

/* Where the walk stands: the prefixes of a and b that are left. */
struct walk {
    size_t i;
    size_t j;
};

/* The next match towards the beginning. False: there is none. */
static bool next_match(const struct lcs *l, struct walk *walk, struct match *out_match)
{
    size_t length = 0;
    while (walk->i > 0 && walk->j > 0) {
        if (l->a.data[walk->i - 1] == l->b.data[walk->j - 1]) {
            walk->i--;
            walk->j--;
            length++;
        } else if (length > 0) {
            break;
        } else if (shrinks_a(l, walk->i, walk->j)) {
            walk->i--;
        } else {
            walk->j--;
        }
    }
    *out_match = (struct match){.a = walk->i, .b = walk->j, .length = length};
    return length > 0;
}

static void write_text(struct command_call *call, const struct lcs *l)
{
    size_t size = lcs_length(l);
    uint8_t *text = mem_alloc(size + 1);
    struct walk walk = {.i = l->a.size, .j = l->b.size};
    struct match match;
    size_t left = size;
    while (next_match(l, &walk, &match)) {
        left -= match.length;
        memcpy(text + left, l->a.data + match.a, match.length);
    }
    ensure(left == 0);
    resp_write_bulk(call->reply, bytes_of(text, size));
    mem_free(text);
}

static void write_range(struct buf *reply, size_t first, size_t length)
{
    resp_write_array(reply, 2);
    resp_write_integer(reply, (int64_t)first);
    resp_write_integer(reply, (int64_t)(first + length - 1));
}

static bool is_long_enough(const struct match *match, const struct lcs_options *o)
{
    return (int64_t)match->length >= o->match_length_min;
}

/* Matches from the end to the beginning: walked twice, as their number comes first. */
static void write_matches(struct command_call *call,
                          const struct lcs *l,
                          const struct lcs_options *o)
{
    struct match match;
    size_t count = 0;
    struct walk walk = {.i = l->a.size, .j = l->b.size};
    while (next_match(l, &walk, &match)) {
        count += is_long_enough(&match, o) ? 1 : 0;
    }
    resp_write_map(call->reply, call->resp, 2);
    resp_write_bulk_text(call->reply, "matches");
    resp_write_array(call->reply, count);
    walk = (struct walk){.i = l->a.size, .j = l->b.size};
    while (next_match(l, &walk, &match)) {
        if (is_long_enough(&match, o)) {
            resp_write_array(call->reply, o->with_match_lengths ? 3 : 2);
            write_range(call->reply, match.a, match.length);
            write_range(call->reply, match.b, match.length);
            if (o->with_match_lengths) {
                resp_write_integer(call->reply, (int64_t)match.length);
            }
        }
    }
    resp_write_bulk_text(call->reply, "len");
    resp_write_integer(call->reply, (int64_t)lcs_length(l));
}

/* ---- LCS ------------------------------------------------------------------------------------- */

/* A wrong type has an error of its own here, as in Redis. False: return *out_stop. */
static bool read_string(struct command_call *call,
                        struct bytes key,
                        struct bytes *out_value,
                        enum command_result *out_stop)
{
    struct object object = {0};
    enum status s = view_get(call->view, key, &object);
    *out_stop = COMMAND_NEED;
    if (s == STATUS_OK && object.type != OBJECT_TYPE_STRING) {
        *out_stop = command_fail(call, "ERR The specified keys must contain string values");
        return false;
    }
    *out_value = object.value;
    return s != STATUS_NEED;
}

static enum command_result lcs_run(struct command_call *call)
{
    struct bytes a;
    struct bytes b;
    enum command_result stop;
    /* Reading b deletes it if it has expired, and a is borrowed only up to there: read again. */
    if (!read_string(call, call->args[1], &a, &stop) ||
        !read_string(call, call->args[2], &b, &stop) ||
        !read_string(call, call->args[1], &a, &stop)) {
        return stop;
    }
    struct lcs_options o;
    if (!parse(call, &o)) {
        return COMMAND_ERROR;
    }
    if (table_cells(a, b) > LIMIT_LCS_CELLS) {
        return command_fail(call,
                            "ERR Insufficient memory, transient memory for LCS exceeds "
                            "proto-max-bulk-len");
    }
    struct lcs l;
    lcs_init(&l, a, b);
    if (o.wants_length) {
        resp_write_integer(call->reply, (int64_t)lcs_length(&l));
    } else if (o.wants_matches) {
        write_matches(call, &l, &o);
    } else {
        write_text(call, &l);
    }
    lcs_deinit(&l);
    return COMMAND_DONE;
}
