/* SLOWLOG and LATENCY: where time goes. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "command/admin.h"
#include "command/clients.h"
#include "command/command.h"
#include "command/command_stats.h"
#include "command/help.h"
#include "command/latency.h"
#include "command/slowlog.h"
#include "protocol/resp_writer.h"

static enum command_result slowlog_get_run(struct command_call *call);
static enum command_result slowlog_help_run(struct command_call *call);
static enum command_result slowlog_len_run(struct command_call *call);
static enum command_result slowlog_reset_run(struct command_call *call);
static enum command_result latency_doctor_run(struct command_call *call);
static enum command_result latency_graph_run(struct command_call *call);
static enum command_result latency_help_run(struct command_call *call);
static enum command_result latency_histogram_run(struct command_call *call);
static enum command_result latency_history_run(struct command_call *call);
static enum command_result latency_latest_run(struct command_call *call);
static enum command_result latency_reset_run(struct command_call *call);

static const struct command slowlog_subcommands[] = {
    {
        .name = "get",
        .container = "slowlog",
        .handler = slowlog_get_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.2.12",
        .complexity = "O(N) where N is the number of entries returned",
        .summary = "Get the slow log's entries",
        .acl = "@admin @slow @dangerous",
        .tips = "request_policy:all_nodes nondeterministic_output",
    },
    {
        .name = "help",
        .container = "slowlog",
        .handler = slowlog_help_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK,
        .group = "server",
        .since = "6.2.0",
        .complexity = "O(1)",
        .summary = "Show helpful text about the different subcommands",
        .acl = "@slow",
    },
    {
        .name = "len",
        .container = "slowlog",
        .handler = slowlog_len_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_ADMIN | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.2.12",
        .complexity = "O(1)",
        .summary = "Get the slow log's length",
        .acl = "@admin @slow @dangerous",
        .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output",
    },
    {
        .name = "reset",
        .container = "slowlog",
        .handler = slowlog_reset_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_ADMIN | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.2.12",
        .complexity = "O(N) where N is the number of entries in the slowlog",
        .summary = "Clear all entries from the slow log",
        .acl = "@admin @slow @dangerous",
        .tips = "request_policy:all_nodes response_policy:all_succeeded",
    },
    {.name = NULL},
};

static const struct command latency_subcommands[] = {
    {
        .name = "doctor",
        .container = "latency",
        .handler = latency_doctor_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Return a human readable latency analysis report.",
        .acl = "@admin @slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_nodes response_policy:special",
    },
    {
        .name = "graph",
        .container = "latency",
        .handler = latency_graph_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Return a latency graph for the event.",
        .acl = "@admin @slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_nodes response_policy:special",
    },
    {
        .name = "help",
        .container = "latency",
        .handler = latency_help_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Show helpful text about the different subcommands.",
        .acl = "@slow",
    },
    {
        .name = "histogram",
        .container = "latency",
        .handler = latency_histogram_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "7.0.0",
        .complexity =
            "O(N) where N is the number of commands with latency information being retrieved.",
        .summary =
            "Return the cumulative distribution of latencies of a subset of commands or all.",
        .acl = "@admin @slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_nodes response_policy:special",
    },
    {
        .name = "history",
        .container = "latency",
        .handler = latency_history_run,
        .arity_min = 3,
        .arity_max = 3,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Return timestamp-latency samples for the event.",
        .acl = "@admin @slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_nodes response_policy:special",
    },
    {
        .name = "latest",
        .container = "latency",
        .handler = latency_latest_run,
        .arity_min = 2,
        .arity_max = 2,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Return the latest latency samples for all events.",
        .acl = "@admin @slow @dangerous",
        .tips = "nondeterministic_output request_policy:all_nodes response_policy:special",
    },
    {
        .name = "reset",
        .container = "latency",
        .handler = latency_reset_run,
        .arity_min = 2,
        .arity_max = -1,
        .flags = COMMAND_ADMIN | COMMAND_NO_SCRIPT | COMMAND_STALE_OK,
        .group = "server",
        .since = "2.8.13",
        .complexity = "O(1)",
        .summary = "Reset latency data for one or more events.",
        .acl = "@admin @slow @dangerous",
        .tips = "request_policy:all_nodes response_policy:all_succeeded",
    },
    {.name = NULL},
};

const struct command command_table_diagnose[] = {
    {
        .name = "slowlog",
        .arity_min = 2,
        .arity_max = -1,
        .group = "server",
        .since = "2.2.12",
        .complexity = "Depends on subcommand.",
        .summary = "A container for slow log commands",
        .acl = "@slow",
        .subcommands = slowlog_subcommands,
    },
    {
        .name = "latency",
        .arity_min = 2,
        .arity_max = -1,
        .group = "server",
        .since = "2.8.13",
        .complexity = "Depends on subcommand.",
        .summary = "A container for latency diagnostics commands",
        .acl = "@slow",
        .subcommands = latency_subcommands,
    },
    {.name = NULL},
};

#define SLOWLOG_COUNT_DEFAULT 10
#define HISTOGRAM_NAMES_MAX 1024u
#define HISTOGRAM_NAME_BYTES 128u
#define GRAPH_ROWS 4u
#define GRAPH_TEXT_BYTES (16u * KIB)

static enum command_result ok(struct command_call *call)
{
    resp_write_simple(call->reply, "OK");
    return COMMAND_DONE;
}

/* ---- SLOWLOG --------------------------------------------------------------------------------- */

static struct slowlog *slowlog_of(const struct command_call *call)
{
    ensure(call->server->clients != NULL && call->server->clients->slowlog != NULL);
    return call->server->clients->slowlog;
}

static enum command_result slowlog_get_run(struct command_call *call)
{
    int64_t count = SLOWLOG_COUNT_DEFAULT;
    if (call->arg_count > 3) {
        resp_write_errorf(call->reply,
                          "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                          "SLOWLOG HELP.",
                          (int)call->args[1].size,
                          (const char *)call->args[1].data);
        return COMMAND_ERROR;
    }
    if (call->arg_count == 3 && (!bytes_to_i64(call->args[2], &count) || count < -1)) {
        return command_fail(call, "ERR count should be greater than or equal to -1");
    }
    slowlog_write(slowlog_of(call), count < 0 ? UINT64_MAX : (uint64_t)count, call->reply);
    return COMMAND_DONE;
}

static enum command_result slowlog_len_run(struct command_call *call)
{
    resp_write_integer(call->reply, (int64_t)slowlog_of(call)->count);
    return COMMAND_DONE;
}

static enum command_result slowlog_reset_run(struct command_call *call)
{
    slowlog_clear(slowlog_of(call));
    return ok(call);
}

static enum command_result slowlog_help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    return command_help(call, lines);
}

/* ---- LATENCY --------------------------------------------------------------------------------- */

static struct latency *latency_of(const struct command_call *call)
{
    ensure(call->server->clients != NULL && call->server->clients->latency != NULL);
    return call->server->clients->latency;
}

/* NULL: no event has that name, or it never happened. */
static struct latency_event *event_find(struct command_call *call, struct bytes name)
{
    for (unsigned i = 0; i < LATENCY_EVENTS; i++) {
        struct latency_event *e = &latency_of(call)->events[i];
        if (e->count > 0 && bytes_equal_text(name, latency_name(i))) {
            return e;
        }
    }
    return NULL;
}

static uint64_t event_count(struct command_call *call)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < LATENCY_EVENTS; i++) {
        count += latency_of(call)->events[i].count > 0 ? 1 : 0;
    }
    return count;
}

static enum command_result latency_latest_run(struct command_call *call)
{
    resp_write_array(call->reply, event_count(call));
    for (unsigned i = 0; i < LATENCY_EVENTS; i++) {
        const struct latency_event *e = &latency_of(call)->events[i];
        if (e->count > 0) {
            const struct latency_sample *newest = latency_at(e, e->count - 1);
            resp_write_array(call->reply, 4);
            resp_write_bulk_text(call->reply, latency_name(i));
            resp_write_integer(call->reply, newest->wall_s);
            resp_write_integer(call->reply, newest->took_ms);
            resp_write_integer(call->reply, e->max_ms);
        }
    }
    return COMMAND_DONE;
}

static enum command_result latency_history_run(struct command_call *call)
{
    const struct latency_event *e = event_find(call, call->args[2]);
    uint32_t count = e != NULL ? e->count : 0;
    resp_write_array(call->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        resp_write_array(call->reply, 2);
        resp_write_integer(call->reply, latency_at(e, i)->wall_s);
        resp_write_integer(call->reply, latency_at(e, i)->took_ms);
    }
    return COMMAND_DONE;
}

static enum command_result latency_reset_run(struct command_call *call)
{
    int64_t count = 0;
    if (call->arg_count == 2) {
        count = (int64_t)event_count(call);
        *latency_of(call) = (struct latency){0};
    }
    for (size_t i = 2; i < call->arg_count; i++) {
        struct latency_event *e = event_find(call, call->args[i]);
        if (e != NULL) {
            *e = (struct latency_event){0};
            count++;
        }
    }
    resp_write_integer(call->reply, count);
    return COMMAND_DONE;
}

struct range_ms {
    uint32_t low, high;
};

static struct range_ms event_range(const struct latency_event *e)
{
    struct range_ms range = {.low = UINT32_MAX, .high = 0};
    for (uint32_t i = 0; i < e->count; i++) {
        uint32_t took_ms = latency_at(e, i)->took_ms;
        range.low = took_ms < range.low ? took_ms : range.low;
        range.high = took_ms > range.high ? took_ms : range.high;
    }
    return range;
}

/* Simpler than Redis' picture: a column a sample, oldest first; '#' from the bottom up. */
static enum command_result latency_graph_run(struct command_call *call)
{
    const struct latency_event *e = event_find(call, call->args[2]);
    if (e == NULL) {
        resp_write_errorf(call->reply,
                          "ERR No samples available for event '%.*s'",
                          (int)(call->args[2].size < 128 ? call->args[2].size : 128),
                          (const char *)call->args[2].data);
        return COMMAND_ERROR;
    }
    struct range_ms range = event_range(e);
    struct buf text;
    buf_init(&text, GRAPH_TEXT_BYTES);
    buf_append_bytes(&text, call->args[2]);
    buf_printf(&text, " - high %" PRIu32 " ms, low %" PRIu32 " ms", range.high, range.low);
    buf_printf(&text, " (all time high %" PRIu32 " ms)\n", e->max_ms);
    for (unsigned row = GRAPH_ROWS; row > 0; row--) {
        for (uint32_t i = 0; i < e->count; i++) {
            uint64_t above = latency_at(e, i)->took_ms - range.low;
            uint64_t height =
                range.high == range.low ? 0 : above * (GRAPH_ROWS - 1) / (range.high - range.low);
            buf_append_text(&text, height + 1 >= row ? "#" : " ");
        }
        buf_append_text(&text, "\n");
    }
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}

static void doctor_event(const struct latency_event *e, const char *name, struct buf *text)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < e->count; i++) {
        sum += latency_at(e, i)->took_ms;
    }
    buf_printf(text,
               "%s: %" PRIu32 " latency spikes (average %" PRIu64 "ms). Worst all time event "
               "%" PRIu32 "ms.\n",
               name,
               e->count,
               sum / e->count,
               e->max_ms);
}

static enum command_result latency_doctor_run(struct command_call *call)
{
    struct buf text;
    buf_init(&text, GRAPH_TEXT_BYTES);
    const struct command_admin *admin = call->server->admin;
    if (event_count(call) == 0 && (admin == NULL || admin->settings->latency_threshold_ms == 0)) {
        buf_append_text(&text,
                        "Latency monitoring is off. CONFIG SET latency-monitor-threshold "
                        "<milliseconds> turns it on.\n");
    } else if (event_count(call) == 0) {
        buf_append_text(&text, "No latency spike was observed so far.\n");
    }
    for (unsigned i = 0; i < LATENCY_EVENTS; i++) {
        if (latency_of(call)->events[i].count > 0) {
            doctor_event(&latency_of(call)->events[i], latency_name(i), &text);
        }
    }
    if (event_count(call) > 0) {
        buf_append_text(&text,
                        "Times are until the reply, with replication and sync. SLOWLOG GET shows "
                        "the commands, INFO the stages they pass.\n");
    }
    resp_write_verbatim(call->reply, call->resp, "txt", buf_bytes(&text));
    buf_deinit(&text);
    return COMMAND_DONE;
}

struct histograms {
    struct command_call *call;
    struct buf text;
    size_t count;
};

/* Redis' form: upper bounds in microseconds, and how many calls took no longer; both grow. */
static void write_histogram(const struct stat_stage *time, uint8_t resp, struct buf *out)
{
    size_t steps = 0;
    for (size_t i = 0; i < STAT_BUCKETS; i++) {
        steps += time->buckets[i] > 0 ? 1 : 0;
    }
    resp_write_map(out, resp, 2);
    resp_write_bulk_text(out, "calls");
    resp_write_integer(out, (int64_t)time->count);
    resp_write_bulk_text(out, "histogram_usec");
    resp_write_map(out, resp, steps);
    uint64_t calls = 0;
    for (size_t i = 0; i < STAT_BUCKETS; i++) {
        if (time->buckets[i] > 0) {
            calls += time->buckets[i];
            resp_write_integer(out, (int64_t)1 << i);
            resp_write_integer(out, (int64_t)calls);
        }
    }
}

static void add_histogram(void *ctx, const struct command_stat *stat)
{
    struct histograms *h = ctx;
    const struct command *c = stat->command;
    char name[HISTOGRAM_NAME_BYTES];
    int size = snprintf(name,
                        sizeof name,
                        "%s%s%s",
                        c->container != NULL ? c->container : "",
                        c->container != NULL ? "|" : "",
                        c->name);
    ensure(size > 0 && (size_t)size < sizeof name);
    resp_write_bulk_text(&h->text, name);
    write_histogram(&stat->time, h->call->resp, &h->text);
    h->count++;
}

static void add_if_run(struct histograms *h, const struct command *c)
{
    const struct command_stats *stats = h->call->server->clients->stats;
    struct command_stat stat = {.command = c, .time = *command_stats_of(stats, c)};
    if (stat.time.count > 0) {
        add_histogram(h, &stat);
    }
}

/* A command, or a container with all that it contains; others are left out, as in Redis. */
static void add_named(struct histograms *h, struct bytes name)
{
    const uint8_t *bar = name.size > 0 ? memchr(name.data, '|', name.size) : NULL;
    size_t front = bar != NULL ? (size_t)(bar - name.data) : name.size;
    struct bytes words[] = {
        bytes_of(name.data, front),
        bytes_of(name.data + front + 1, bar != NULL ? name.size - front - 1 : 0),
    };
    const struct command *c = command_find(words, bar != NULL ? 2 : 1);
    if (c == NULL || (bar != NULL && c->container == NULL)) {
        return;
    }
    add_if_run(h, c);
    for (const struct command *sub = c->subcommands; sub != NULL && sub->name != NULL; sub++) {
        add_if_run(h, sub);
    }
}

static enum command_result latency_histogram_run(struct command_call *call)
{
    struct histograms h = {.call = call};
    if (call->arg_count - 2 > HISTOGRAM_NAMES_MAX) {
        return command_fail(call, "ERR too many names");
    }
    buf_init(&h.text, SIZE_MAX / 2);
    if (call->arg_count == 2) {
        command_stats_each(call->server->clients->stats, add_histogram, &h);
    }
    for (size_t i = 2; i < call->arg_count; i++) {
        add_named(&h, call->args[i]);
    }
    resp_write_map(call->reply, call->resp, h.count);
    buf_append_bytes(call->reply, buf_bytes(&h.text));
    buf_deinit(&h.text);
    return COMMAND_DONE;
}

static enum command_result latency_help_run(struct command_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        ("    Return a cumulative distribution of latencies in the format of a histogram for the "
         "specified command names."),
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    return command_help(call, lines);
}
