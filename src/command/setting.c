#include "command/setting.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define VALUE_BYTES 1024u
#define NUMBER_BYTES 32u
#define INT_MAX_32 2147483647
#define BULK_BYTES_MIN (1024 * 1024)
#define CLIENTS_MAX 4294967295

static void show_host(const struct command_admin *admin, struct buf *out);
static void show_port(const struct command_admin *admin, struct buf *out);
static void show_dir(const struct command_admin *admin, struct buf *out);
static void show_value_limit(const struct command_admin *admin, struct buf *out);
static void show_query_limit(const struct command_admin *admin, struct buf *out);
static void show_output_limit(const struct command_admin *admin, struct buf *out);
static void show_databases(const struct command_admin *admin, struct buf *out);

#define HINT_LIMIT "limits are part of the program"
#define HINT_EVICTION "nothing is ever evicted: data is kept on disk, see --cache-memory"
#define HINT_LOG "every acknowledged write is logged and synced, always"
#define HINT_SAVE "every acknowledged write is on disk already, there is nothing to schedule"
#define HINT_USERS "passwords and users do not exist yet"
#define HINT_REPLICAS "a write is acknowledged by a majority of its group's replicas, always"
#define HINT_EVENTS "keyspace notifications do not exist yet"
#define HINT_WORK "this server works without it"

/* clang-format off */
#define FIXED_TEXT(name_, value_, hint_)                                                           \
    {.name = (name_), .type = SETTING_TEXT, .value = (value_), .hint = (hint_)}
#define FIXED_YES_NO(name_, value_, hint_)                                                         \
    {.name = (name_), .type = SETTING_YES_NO, .value = (value_), .hint = (hint_)}
#define FIXED_NUMBER(name_, value_, min_, max_, hint_)                                             \
    {.name = (name_), .type = SETTING_NUMBER, .value = (value_), .min = (min_), .max = (max_),     \
     .hint = (hint_)}
#define FIXED_MEMORY(name_, value_, min_, hint_)                                                   \
    {.name = (name_), .type = SETTING_MEMORY, .value = (value_), .min = (min_), .max = INT64_MAX,  \
     .hint = (hint_)}
#define FIXED_CHOICE(name_, value_, choices_, hint_)                                               \
    {.name = (name_), .type = SETTING_CHOICE, .value = (value_), .choices = (choices_),            \
     .hint = (hint_)}
#define IMMUTABLE(name_, value_)                                                                   \
    {.name = (name_), .change = SETTING_IMMUTABLE, .value = (value_)}
#define SHOWN(name_, change_, show_)                                                               \
    {.name = (name_), .change = (change_), .show = (show_)}
#define LIVE(name_, member, min_, max_, limit_, hint_)                                             \
    {.name = (name_), .type = SETTING_NUMBER, .change = SETTING_LIVE, .min = (min_),               \
     .max = (max_), .offset = offsetof(struct settings, member), .limit = (limit_),                \
     .hint = (hint_)}

const struct setting setting_table[] = {
    /* Those that can be changed. */
    LIVE("latency-monitor-threshold", latency_threshold_ms, 0, INT64_MAX, 0, NULL),
    LIVE("maxclients", max_clients, 1, CLIENTS_MAX, LIMIT_CONNECTIONS,
         "this server takes no more connections than it does now"),
    LIVE("slowlog-log-slower-than", slowlog_slower_than_us, -1, INT64_MAX, 0, NULL),
    LIVE("slowlog-max-len", slowlog_max_len, 0, INT64_MAX, 0, NULL),
    LIVE("timeout", client_timeout_s, 0, INT_MAX_32, 0, NULL),

    /* Where it is. */
    SHOWN("bind", SETTING_IMMUTABLE, show_host),
    SHOWN("port", SETTING_IMMUTABLE, show_port),
    SHOWN("dir", SETTING_PROTECTED, show_dir),
    SHOWN("databases", SETTING_IMMUTABLE, show_databases),
    IMMUTABLE("tls-port", "0"),
    IMMUTABLE("unixsocket", ""),
    IMMUTABLE("unixsocketperm", "0"),

    /* How it is run. */
    IMMUTABLE("always-show-logo", "no"),
    IMMUTABLE("cluster-enabled", "no"), /* no client has to know where keys are */
    IMMUTABLE("daemonize", "no"),
    IMMUTABLE("enable-debug-command", "yes"),
    IMMUTABLE("enable-module-command", "no"),
    IMMUTABLE("enable-protected-configs", "no"),
    IMMUTABLE("io-threads", "1"),
    IMMUTABLE("logfile", ""),
    IMMUTABLE("pidfile", ""),
    IMMUTABLE("replicaof", ""),
    IMMUTABLE("slaveof", ""),
    IMMUTABLE("supervised", "no"),
    IMMUTABLE("syslog-enabled", "no"),
    FIXED_CHOICE("loglevel", "notice", "debug, verbose, notice, warning", NULL),

    /* Limits. */
    {.name = "client-output-buffer-limit", .show = show_output_limit, .hint = HINT_LIMIT},
    {.name = "client-query-buffer-limit", .type = SETTING_MEMORY, .show = show_query_limit,
     .min = BULK_BYTES_MIN, .max = INT64_MAX, .hint = HINT_LIMIT},
    {.name = "proto-max-bulk-len", .type = SETTING_MEMORY, .show = show_value_limit,
     .min = BULK_BYTES_MIN, .max = INT64_MAX, .hint = HINT_LIMIT},
    FIXED_NUMBER("tcp-keepalive", "0", 0, INT_MAX_32, "see timeout"),

    /* Memory. */
    FIXED_MEMORY("maxmemory", "0", 0, HINT_EVICTION),
    FIXED_MEMORY("maxmemory-clients", "0", 0, "see --buffer-memory"),
    FIXED_CHOICE("maxmemory-policy", "noeviction",
                 "volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, "
                 "allkeys-lfu, allkeys-random, noeviction",
                 HINT_EVICTION),
    FIXED_NUMBER("maxmemory-samples", "5", 1, INT_MAX_32, HINT_EVICTION),
    FIXED_NUMBER("lfu-decay-time", "1", 0, INT_MAX_32, HINT_EVICTION),
    FIXED_NUMBER("lfu-log-factor", "10", 0, INT_MAX_32, HINT_EVICTION),
    FIXED_YES_NO("activedefrag", "no", HINT_WORK),
    FIXED_YES_NO("lazyfree-lazy-eviction", "yes", HINT_EVICTION),
    FIXED_YES_NO("lazyfree-lazy-expire", "yes", "memory is never freed while others wait"),
    FIXED_YES_NO("lazyfree-lazy-server-del", "yes", "memory is never freed while others wait"),
    FIXED_YES_NO("lazyfree-lazy-user-del", "yes", "memory is never freed while others wait"),
    FIXED_YES_NO("lazyfree-lazy-user-flush", "yes", "FLUSHALL takes constant time"),

    /* Work in the background. */
    FIXED_NUMBER("hz", "10", INT32_MIN, INT_MAX_32, HINT_WORK),
    FIXED_YES_NO("dynamic-hz", "yes", HINT_WORK),
    FIXED_NUMBER("active-expire-effort", "1", 1, 10, HINT_WORK),

    /* Safety of data. */
    FIXED_YES_NO("appendonly", "yes", HINT_LOG),
    FIXED_CHOICE("appendfsync", "always", "everysec, always, no", HINT_LOG),
    FIXED_YES_NO("no-appendfsync-on-rewrite", "no", HINT_LOG),
    FIXED_TEXT("save", "", HINT_SAVE),
    FIXED_YES_NO("stop-writes-on-bgsave-error", "yes", "a write that cannot be kept is refused"),
    FIXED_NUMBER("min-replicas-to-write", "0", 0, INT_MAX_32, HINT_REPLICAS),
    FIXED_NUMBER("min-replicas-max-lag", "10", 0, INT_MAX_32, HINT_REPLICAS),

    /* What does not exist yet. */
    FIXED_TEXT("masterauth", "", HINT_USERS),
    FIXED_TEXT("notify-keyspace-events", "", HINT_EVENTS),
    FIXED_TEXT("requirepass", "", HINT_USERS),
    FIXED_YES_NO("protected-mode", "no", "see --insecure"),
    {.name = NULL},
};
/* clang-format on */

/* ---- values that the table does not have ----------------------------------------------------- */

static void show_host(const struct command_admin *admin, struct buf *out)
{
    const char *colon = strrchr(admin->listen, ':');
    ensure(colon != NULL);
    buf_append(out, admin->listen, (size_t)(colon - admin->listen));
}

static void show_port(const struct command_admin *admin, struct buf *out)
{
    const char *colon = strrchr(admin->listen, ':');
    ensure(colon != NULL);
    buf_append_text(out, colon + 1);
}

static void show_dir(const struct command_admin *admin, struct buf *out)
{
    buf_append_text(out, admin->data_dir);
}

static void show_value_limit(const struct command_admin *admin, struct buf *out)
{
    (void)admin;
    buf_printf(out, "%u", LIMIT_VALUE_BYTES);
}

static void show_query_limit(const struct command_admin *admin, struct buf *out)
{
    (void)admin;
    buf_printf(out, "%u", LIMIT_COMMAND_BYTES);
}

static void show_output_limit(const struct command_admin *admin, struct buf *out)
{
    (void)admin;
    buf_printf(out, "normal %u 0 0 slave 0 0 0 pubsub ", LIMIT_OUTPUT_BYTES);
    buf_printf(out, "%u 0 0", LIMIT_OUTPUT_BYTES);
}

static void show_databases(const struct command_admin *admin, struct buf *out)
{
    (void)admin;
    buf_printf(out, "%u", LIMIT_DATABASES);
}

/* ---- showing --------------------------------------------------------------------------------- */

const struct setting *setting_find(struct bytes name)
{
    for (const struct setting *s = setting_table; s->name != NULL; s++) {
        if (bytes_equal_nocase(name, s->name)) {
            return s;
        }
    }
    return NULL;
}

static int64_t live_value(const struct setting *s, const struct command_admin *admin)
{
    int64_t value = 0;
    memcpy(&value, (const uint8_t *)admin->settings + s->offset, sizeof value);
    return value;
}

void setting_show(const struct setting *s, const struct command_admin *admin, struct buf *out)
{
    if (s->change == SETTING_LIVE) {
        buf_printf(out, "%" PRId64, live_value(s, admin));
    } else if (s->show != NULL) {
        s->show(admin, out);
    } else {
        buf_append_text(out, s->value);
    }
}

/* ---- reading values -------------------------------------------------------------------------- */

static bool fail(char problem[SETTING_PROBLEM_BYTES], const char *text)
{
    (void)snprintf(problem, SETTING_PROBLEM_BYTES, "%s", text);
    return false;
}

static bool is_in_range(const struct setting *s, int64_t value, char problem[SETTING_PROBLEM_BYTES])
{
    if (value >= s->min && value <= s->max) {
        return true;
    }
    (void)snprintf(problem,
                   SETTING_PROBLEM_BYTES,
                   "argument must be between %" PRId64 " and %" PRId64 " inclusive",
                   s->min,
                   s->max);
    return false;
}

/* Bytes in one of Redis' units; 0: no such unit. */
static int64_t unit_bytes(const char *unit)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {
        {"", 1},
        {"b", 1},
        {"k", 1000},
        {"kb", 1024},
        {"m", 1000000},
        {"mb", 1048576},
        {"g", 1000000000},
        {"gb", 1073741824},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(bytes_of_text(unit), units[i].name)) {
            return units[i].bytes;
        }
    }
    return 0;
}

/* "100", "64mb"; nothing at all is 0, as in Redis. */
static bool parse_memory(struct bytes text, int64_t *out_value)
{
    char copy[NUMBER_BYTES] = {0};
    if (text.size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    size_t digits = strspn(copy, "0123456789");
    int64_t unit = unit_bytes(copy + digits);
    if (unit == 0 || strlen(copy) != text.size) {
        return false;
    }
    copy[digits] = '\0';
    errno = 0;
    long long number = strtoll(copy, NULL, 10);
    return errno == 0 && !__builtin_mul_overflow(number, unit, out_value);
}

/* Which of the words in "a, b, c"; -1: none. */
static int64_t choice_of(const char *choices, struct bytes text)
{
    int64_t index = 0;
    for (const char *at = choices; *at != '\0'; index++) {
        size_t size = strcspn(at, ",");
        char word[NUMBER_BYTES] = {0};
        ensure(size < sizeof word);
        memcpy(word, at, size);
        if (bytes_equal_nocase(text, word)) {
            return index;
        }
        at += size + strspn(at + size, ", ");
    }
    return -1;
}

static bool parse_choice(const struct setting *s,
                         struct bytes text,
                         int64_t *out_value,
                         char problem[SETTING_PROBLEM_BYTES])
{
    *out_value = choice_of(s->choices, text);
    if (*out_value < 0) {
        (void)snprintf(problem,
                       SETTING_PROBLEM_BYTES,
                       "argument(s) must be one of the following: %s",
                       s->choices);
    }
    return *out_value >= 0;
}

/* Reads text as a value of the row's type; of a text the value means nothing. */
static bool parse(const struct setting *s,
                  struct bytes text,
                  int64_t *out_value,
                  char problem[SETTING_PROBLEM_BYTES])
{
    switch (s->type) {
    case SETTING_TEXT:
        *out_value = 0;
        return true;
    case SETTING_NUMBER:
        return bytes_to_i64(text, out_value)
                   ? is_in_range(s, *out_value, problem)
                   : fail(problem, "argument couldn't be parsed into an integer");
    case SETTING_MEMORY:
        return parse_memory(text, out_value) ? is_in_range(s, *out_value, problem)
                                             : fail(problem, "argument must be a memory value");
    case SETTING_YES_NO:
        *out_value = bytes_equal_nocase(text, "yes") ? 1 : 0;
        return *out_value != 0 || bytes_equal_nocase(text, "no")
                   ? true
                   : fail(problem, "argument must be 'yes' or 'no'");
    case SETTING_CHOICE:
        return parse_choice(s, text, out_value, problem);
    }
    unreachable("every type of setting is parsed");
}

/* ---- changing -------------------------------------------------------------------------------- */

static bool is_its_value(const struct setting *s,
                         const struct command_admin *admin,
                         struct bytes text,
                         int64_t value)
{
    char problem[SETTING_PROBLEM_BYTES];
    int64_t own = 0;
    struct buf shown;
    buf_init(&shown, VALUE_BYTES);
    setting_show(s, admin, &shown);
    bool is_same = s->type == SETTING_TEXT
                       ? bytes_equal(buf_bytes(&shown), text)
                       : parse(s, buf_bytes(&shown), &own, problem) && own == value;
    buf_deinit(&shown);
    return is_same;
}

bool setting_accepts(const struct setting *s,
                     const struct command_admin *admin,
                     struct bytes text,
                     int64_t *out_value,
                     char problem[SETTING_PROBLEM_BYTES])
{
    ensure(s->change == SETTING_FIXED || s->change == SETTING_LIVE);
    if (!parse(s, text, out_value, problem)) {
        return false;
    }
    bool is_refused = s->change == SETTING_LIVE ? s->limit > 0 && *out_value > s->limit
                                                : !is_its_value(s, admin, text, *out_value);
    if (is_refused) {
        return fail(problem, s->hint != NULL ? s->hint : "it cannot be changed in this server");
    }
    return true;
}

void setting_apply(const struct setting *s, const struct command_admin *admin, int64_t value)
{
    if (s->change == SETTING_LIVE) {
        memcpy((uint8_t *)admin->settings + s->offset, &value, sizeof value);
    }
}
