/* Look-ups in the command table, and the checks that every command passes. */
#include "base/assert.h"
#include "command/command.h"
#include "protocol/resp_writer.h"

#define NAME_BYTES_MAX 32u
#define SHOWN_NAME_BYTES 128u

static const struct command *const families[] = {
    command_table_string,       command_table_number,   command_table_string_range,
    command_table_lcs,          command_table_bitmap,   command_table_bitfield,
    command_table_keys,         command_table_expire,   command_table_object,
    command_table_memory,       command_table_dump,     command_table_scan,
    command_table_connection,   command_table_client,   command_table_server,
    command_table_introspect,   command_table_config,   command_table_diagnose,
    command_table_refused,      command_table_cluster,  command_table_string_set,
    command_table_string_multi, command_table_debug,    command_table_transactions,
    command_table_internal,     command_table_transact,
};

#define FAMILY_COUNT (sizeof families / sizeof families[0])

/* ---- look-up --------------------------------------------------------------------------------- */

static const struct command *find_in(const struct command *table, struct bytes name)
{
    for (const struct command *c = table; c != NULL && c->name != NULL; c++) {
        if (bytes_equal_nocase(name, c->name)) {
            return c;
        }
    }
    return NULL;
}

static const struct command *find_top(struct bytes name)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        const struct command *c = find_in(families[i], name);
        if (c != NULL && (c->flags & COMMAND_INTERNAL) == 0) {
            return c;
        }
    }
    return NULL;
}

const struct command *command_find(const struct bytes *args, size_t arg_count)
{
    ensure(arg_count > 0);
    const struct command *c = find_top(args[0]);
    if (c != NULL && c->subcommands != NULL && arg_count > 1) {
        const struct command *sub = find_in(c->subcommands, args[1]);
        return sub != NULL ? sub : c;
    }
    return c;
}

/* Those with a number, by it; the same whenever it is filled. */
struct numbered {
    bool is_filled;
    const struct command *rows[COMMAND_ID_COUNT];
};

static void fill_family(struct numbered *n, const struct command *table)
{
    for (const struct command *c = table; c->name != NULL; c++) {
        ensure(c->id < COMMAND_ID_COUNT);
        n->rows[c->id] = c;
        for (const struct command *sub = c->subcommands; sub != NULL && sub->name != NULL; sub++) {
            ensure(sub->id < COMMAND_ID_COUNT);
            n->rows[sub->id] = sub;
        }
    }
}

const struct command *command_by_id(uint16_t id)
{
    static _Thread_local struct numbered numbered; /* every command that applies is looked up */
    if (!numbered.is_filled) {
        for (size_t i = 0; i < FAMILY_COUNT; i++) {
            fill_family(&numbered, families[i]);
        }
        numbered.is_filled = true;
    }
    return id != COMMAND_ID_NONE && id < COMMAND_ID_COUNT ? numbered.rows[id] : NULL;
}

/* ---- the checks ------------------------------------------------------------------------------ */

/* Redis shows names as C strings: at most so many bytes, and none behind a zero byte. */
static void append_shown(struct buf *out, struct bytes text, size_t most)
{
    size_t size = text.size < most ? text.size : most;
    const uint8_t *zero = size > 0 ? memchr(text.data, '\0', size) : NULL;
    buf_append(out, text.data, zero != NULL ? (size_t)(zero - text.data) : size);
}

static void write_text(struct buf *text, struct buf *reply)
{
    buf_append(text, "", 1);
    resp_write_error(reply, (const char *)text->data);
    buf_deinit(text);
}

static void unknown_command(const struct bytes *args, size_t arg_count, struct buf *reply)
{
    struct buf text;
    struct buf shown;
    buf_init(&text, 4 * KIB);
    buf_init(&shown, 4 * KIB);
    for (size_t i = 1; i < arg_count && shown.size < SHOWN_NAME_BYTES; i++) {
        buf_append_text(&shown, "'");
        append_shown(&shown, args[i], SHOWN_NAME_BYTES - (shown.size - 1));
        buf_append_text(&shown, "' ");
    }
    buf_append_text(&text, "ERR unknown command '");
    append_shown(&text, args[0], SHOWN_NAME_BYTES);
    buf_append_text(&text, "', with args beginning with: ");
    buf_append_bytes(&text, buf_bytes(&shown));
    buf_deinit(&shown);
    write_text(&text, reply);
}

static void unknown_subcommand(const struct command *c, struct bytes name, struct buf *reply)
{
    struct buf text;
    buf_init(&text, 4 * KIB);
    buf_append_text(&text, "ERR unknown subcommand '");
    append_shown(&text, name, SHOWN_NAME_BYTES);
    buf_append_text(&text, "'. Try ");
    for (size_t i = 0; c->name[i] != '\0'; i++) {
        bool is_lower = c->name[i] >= 'a' && c->name[i] <= 'z';
        char upper = (char)(c->name[i] - (is_lower ? 'a' - 'A' : 0));
        buf_append(&text, &upper, 1);
    }
    buf_append_text(&text, " HELP.");
    write_text(&text, reply);
}

bool command_arity_fits(const struct command *c, size_t arg_count)
{
    return arg_count >= (size_t)c->arity_min &&
           (c->arity_max < 0 || arg_count <= (size_t)c->arity_max);
}

enum command_keys_verdict command_judge_keys(const struct command *command,
                                             const struct bytes *args,
                                             size_t arg_count)
{
    size_t count = command_key_count(command, arg_count);
    if (count > LIMIT_COMMAND_KEYS) {
        return COMMAND_KEYS_TOO_MANY;
    }
    for (size_t i = 0; i < count; i++) {
        if (args[command_key_at(command, arg_count, i)].size > LIMIT_KEY_BYTES) {
            return COMMAND_KEYS_TOO_LONG;
        }
    }
    return COMMAND_KEYS_FIT;
}

static bool keys_fit(const struct command *c,
                     const struct bytes *args,
                     size_t arg_count,
                     struct buf *reply)
{
    switch (command_judge_keys(c, args, arg_count)) {
    case COMMAND_KEYS_FIT:
        return true;
    case COMMAND_KEYS_TOO_MANY:
        resp_write_errorf(reply, "ERR more than %u keys in one command", LIMIT_COMMAND_KEYS);
        return false;
    case COMMAND_KEYS_TOO_LONG:
        resp_write_errorf(reply, "ERR key is longer than %u bytes", LIMIT_KEY_BYTES);
        return false;
    }
    unreachable("every verdict on keys is handled");
}

const struct command *command_resolve(const struct bytes *args, size_t arg_count, struct buf *reply)
{
    const struct command *c = command_find(args, arg_count);
    if (c == NULL) {
        unknown_command(args, arg_count, reply);
        return NULL;
    }
    if (c->subcommands != NULL && arg_count > 1) {
        unknown_subcommand(c, args[1], reply);
        return NULL;
    }
    if (!command_arity_fits(c, arg_count) || c->handler == NULL) {
        resp_write_errorf(reply,
                          "ERR wrong number of arguments for '%s%s%s' command",
                          c->container != NULL ? c->container : "",
                          c->container != NULL ? "|" : "",
                          c->name);
        return NULL;
    }
    return keys_fit(c, args, arg_count, reply) ? c : NULL;
}

enum command_result command_fail(struct command_call *call, const char *text)
{
    resp_write_error(call->reply, text);
    return COMMAND_ERROR;
}

/* ---- derived facts --------------------------------------------------------------------------- */

void command_each(void (*fn)(void *ctx, const struct command *command), void *ctx)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        for (const struct command *c = families[i]; c->name != NULL; c++) {
            if ((c->flags & (COMMAND_INTERNAL | COMMAND_REFUSED)) == 0) {
                fn(ctx, c);
            }
        }
    }
}

static void count_one(void *ctx, const struct command *command)
{
    (void)command;
    size_t *count = ctx;
    (*count)++;
}

size_t command_count(void)
{
    size_t count = 0;
    command_each(count_one, &count);
    return count;
}

static size_t last_key(const struct command *c, size_t arg_count)
{
    long last = c->keys.last >= 0 ? c->keys.last : (long)arg_count + c->keys.last;
    return last < (long)arg_count ? (size_t)last : arg_count - 1;
}

size_t command_key_count(const struct command *command, size_t arg_count)
{
    if (command->keys.first == 0 || arg_count <= (size_t)command->keys.first) {
        return 0;
    }
    size_t span = last_key(command, arg_count) - (size_t)command->keys.first;
    return span / (size_t)command->keys.step + 1;
}

size_t command_key_at(const struct command *command, size_t arg_count, size_t i)
{
    ensure(i < command_key_count(command, arg_count));
    return (size_t)command->keys.first + i * (size_t)command->keys.step;
}

int command_arity(const struct command *command)
{
    return command->arity_min == command->arity_max ? command->arity_min : -command->arity_min;
}

/* ---- the table's own consistency ------------------------------------------------------------- */

/* Where a row runs decides what else it must say. */
static void check_policy(const struct command *c)
{
    bool is_keyed = c->policy == COMMAND_ONE_SHARD || c->policy == COMMAND_SPLIT_BY_KEY;
    bool is_shard = c->policy != COMMAND_LOCAL && c->policy != COMMAND_SWEEP;
    bool is_merged = c->policy == COMMAND_SPLIT_BY_KEY || c->policy == COMMAND_ALL_GROUPS;
    bool reads = (c->flags & COMMAND_READ) != 0;
    bool writes = (c->flags & COMMAND_WRITE) != 0;
    ensure(!(reads && writes));
    ensure(!writes || c->policy != COMMAND_LOCAL);
    ensure(reads || writes || c->policy == COMMAND_LOCAL); /* LOLWUT reads, says Redis */
    ensure(!is_keyed || c->keys.first != 0);
    ensure(is_keyed || c->keys.first == 0 || c->policy == COMMAND_LOCAL);
    /* What reaches a shard goes through the log or to another node: by number and version. */
    ensure(is_shard == (c->id != COMMAND_ID_NONE));
    ensure(is_shard == (c->semantics > 0));
    ensure(c->id < COMMAND_ID_COUNT);
    /* The replies of several groups become one. */
    ensure(c->policy == COMMAND_SWEEP || is_merged == (c->merge != COMMAND_MERGE_FIRST));
    switch (c->policy) {
    case COMMAND_LOCAL:
    case COMMAND_ONE_SHARD:
    case COMMAND_SPLIT_BY_KEY:
        break;
    case COMMAND_ALL_GROUPS:
        ensure(c->merge == COMMAND_MERGE_SUM || c->merge == COMMAND_MERGE_OK);
        break;
    case COMMAND_BY_CURSOR:
        ensure(reads && c->arity_min > 1); /* the cursor is args[1] */
        break;
    case COMMAND_SWEEP:
        /* One array of all keys that match args[1]; or the first key found. */
        ensure(reads && c->arity_min == c->arity_max);
        ensure(c->merge == COMMAND_MERGE_ARRAY ? c->arity_min == 2
                                               : c->merge == COMMAND_MERGE_FIRST);
        break;
    }
}

/* The shard runs it, and finds its keys: what stands in for a key spec is its one argument. */
static void check_shards_own(const struct command *c)
{
    bool reads = (c->flags & COMMAND_READ) != 0;
    bool writes = (c->flags & COMMAND_WRITE) != 0;
    ensure(reads != writes && c->policy == COMMAND_ONE_SHARD && c->keys.first == 0);
    ensure(c->id != COMMAND_ID_NONE && c->id < COMMAND_ID_COUNT && c->semantics > 0);
    ensure(c->arity_min == 2 && c->arity_max == 2 && c->summary != NULL);
}

static void check_row(const struct command *c)
{
    if ((c->flags & COMMAND_INTERNAL) != 0 && c->handler == NULL) {
        check_shards_own(c);
        return;
    }
    ensure(strlen(c->name) < NAME_BYTES_MAX);
    ensure(c->arity_min >= 1 && (c->arity_max < 0 || c->arity_max >= c->arity_min));
    ensure((c->handler != NULL) || (c->subcommands != NULL));
    ensure(c->summary != NULL && c->group != NULL && c->since != NULL && c->acl != NULL);
    ensure(((c->flags & COMMAND_REFUSED) != 0) == (c->hint != NULL));
    check_policy(c);
    if (c->keys.first != 0) {
        ensure(c->keys.first < c->arity_min && c->keys.step > 0 && c->keys.access != NULL);
    }
}

/* A row's number belongs to it alone, and nothing else has its name beside it. */
static void check_unique(const struct command *c, const struct command *beside)
{
    for (const struct command *o = beside; o->name != NULL; o++) {
        ensure(o == c || strcmp(c->name, o->name) != 0);
    }
    ensure(c->id == COMMAND_ID_NONE || command_by_id((uint16_t)c->id) == c);
}

static void check_container(const struct command *container)
{
    ensure(container->container == NULL && container->policy == COMMAND_LOCAL);
    for (const struct command *c = container->subcommands; c->name != NULL; c++) {
        ensure(c->container != NULL && strcmp(c->container, container->name) == 0);
        ensure(c->arity_min >= 2 && c->subcommands == NULL);
        check_row(c);
        check_unique(c, container->subcommands);
    }
}

void command_table_check(void)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        for (const struct command *c = families[i]; c->name != NULL; c++) {
            check_row(c);
            for (size_t j = 0; j < FAMILY_COUNT; j++) {
                check_unique(c, families[j]);
            }
            if (c->subcommands != NULL) {
                check_container(c);
            }
        }
    }
    for (unsigned id = 1; id < COMMAND_ID_COUNT; id++) {
        ensure(command_by_id((uint16_t)id) != NULL); /* a log may have it */
    }
}
