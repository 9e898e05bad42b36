/* Every option of the command line, and --help made of it. */
#include "config/options_table.h"

#include <inttypes.h>

#include "base/limits.h"

const struct option options_server_table[] = {
    {
        .name = "--data",
        .value = "DIR",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options, data),
        .help = "where this node keeps everything; created if missing. Required.",
    },
    {
        .name = "--listen",
        .value = "HOST:PORT",
        .type = OPTION_TEXT,
        .fallback = "127.0.0.1:7379",
        .offset = offsetof(struct options, listen),
        .help = "address for clients",
    },
    {
        .name = "--cluster",
        .value = "P1,P2,P3",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options, cluster),
        .help = "peer addresses of the nodes that found the cluster, this one among them: up to\n"
                "16, the same list on each. Without it: a cluster of one.",
    },
    {
        .name = "--peer",
        .value = "HOST:PORT",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options, peer),
        .help = "this node's own address for the others, as it stands in --cluster.\n"
                "Default: host of --listen, its port + 10000.",
    },
    {
        .name = "--groups",
        .value = "G",
        .type = OPTION_NUMBER,
        .min = 1,
        .max = LIMIT_GROUPS,
        .fallback = "16",
        .offset = offsetof(struct options, groups),
        .help = "groups that share the keys; set when the cluster is founded, the same on each\n"
                "node",
    },
    {
        .name = "--request-timeout",
        .value = "MS",
        .type = OPTION_NUMBER,
        .min = 100,
        .max = 3600000,
        .fallback = "5000",
        .offset = offsetof(struct options, request_timeout_ms),
        .help = "how long a command may wait for a leader before an error answers it",
    },
    {
        .name = "--election-timeout",
        .value = "MS",
        .type = OPTION_NUMBER,
        .min = 50,
        .max = 60000,
        .fallback = "300",
        .offset = offsetof(struct options, election_timeout_ms),
        .help = "how long a leader may be silent before the others elect one",
    },
    {
        .name = "--buffer-memory",
        .value = "SIZE",
        .type = OPTION_BYTES,
        .offset = offsetof(struct options, buffer_memory),
        .help = "memory for input, replies and proposals of all clients (64mb, 2gb).\n"
                "Default: an eighth of the machine's memory.",
    },
    {
        .name = "--cache-memory",
        .value = "SIZE",
        .type = OPTION_BYTES,
        .offset = offsetof(struct options, cache_memory),
        .help = "memory for data that is kept at hand, half of it rows, half of it blocks of the\n"
                "files they are in. Default: an eighth of the machine's memory, at least 64mb.",
    },
    {
        .name = "--log-size",
        .value = "SIZE",
        .type = OPTION_BYTES,
        .fallback = "256mb",
        .offset = offsetof(struct options, log_size),
        .help = "the log is freed when it is longer; under load it may be four times as long.\n"
                "A longer one takes more time to start from. At least 2mb",
    },
    {
        .name = "--snapshot-rate",
        .value = "SIZE",
        .type = OPTION_BYTES,
        .fallback = "64mb",
        .offset = offsetof(struct options, snapshot_rate),
        .help = "bytes a second, at most, that this node sends to others that were away for long",
    },
    {
        .name = "--disk-reserve",
        .value = "SIZE",
        .type = OPTION_BYTES,
        .offset = offsetof(struct options, disk_reserve),
        .help = "writes are refused while less is free on the disk of DIR. Default: 5 % of it,\n"
                "from 64mb to 1gb, but never more than a quarter.",
    },
    {
        .name = "--store",
        .value = "ENGINE",
        .type = OPTION_TEXT,
        .fallback = OPTIONS_STORE_ROCKS,
        .offset = offsetof(struct options, store),
        .help = "rocks: data is on disk. mem: all data is in memory, for comparisons and tests;\n"
                "each start rebuilds it from the log, which is never freed",
    },
    {
        .name = "--insecure",
        .type = OPTION_FLAG,
        .offset = offsetof(struct options, insecure),
        .help = "allow --listen and --peer on other addresses than loopback, although there are\n"
                "no passwords and no TLS yet.",
    },
    {.name = NULL},
};

const struct option options_rebuild_table[] = {
    {
        .name = "--data",
        .value = "DIR",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options_rebuild, data),
        .help = "the directory of the damaged node, which must not run. Required.",
    },
    {.name = NULL},
};

const struct option options_local_table[] = {
    {
        .name = "--data",
        .value = "DIR",
        .type = OPTION_TEXT,
        .offset = offsetof(struct options_local, data),
        .help = "node N keeps everything in DIR/N and its log lines in DIR/N.log. Required.",
    },
    {
        .name = "--nodes",
        .value = "N",
        .type = OPTION_NUMBER,
        .min = 1,
        .max = OPTIONS_FOUNDERS_MAX,
        .fallback = "3",
        .offset = offsetof(struct options_local, nodes),
        .help = "how many nodes",
    },
    {
        .name = "--port",
        .value = "PORT",
        .type = OPTION_NUMBER,
        .min = 1,
        .max = UINT16_MAX - OPTIONS_PEER_PORT_DISTANCE,
        .fallback = "7379",
        .offset = offsetof(struct options_local, port),
        .help = "for clients of node 1 on 127.0.0.1; node 2 has the next, and so on. Peer ports\n"
                "are 10000 higher",
    },
    {
        .name = "--groups",
        .value = "G",
        .type = OPTION_NUMBER,
        .min = 1,
        .max = LIMIT_GROUPS,
        .fallback = "16",
        .offset = offsetof(struct options_local, groups),
        .help = "as of server",
    },
    {.name = NULL},
};

const struct option options_query_table[] = {
    {
        .name = "--connect",
        .value = "HOST:PORT",
        .type = OPTION_TEXT,
        .fallback = "127.0.0.1:7379",
        .offset = offsetof(struct options_query, connect),
        .help = "the node to ask, by its address for clients",
    },
    {
        .name = "--json",
        .type = OPTION_FLAG,
        .offset = offsetof(struct options_query, is_json),
        .help = "one JSON array or object instead of a table; bytes that are no UTF-8 are\n"
                "written \\u00XX.",
    },
    {.name = NULL},
};

/* ---- help ------------------------------------------------------------------------------------ */

static void append_facts(const struct option *o, struct buf *out)
{
    if (o->type == OPTION_NUMBER) {
        buf_printf(out, ".\n      From %" PRIu32 " to %" PRIu32 "; ", o->min, o->max);
        buf_printf(out, "default %s.", o->fallback);
    } else if (o->fallback != NULL) {
        buf_printf(out, ". Default %s.", o->fallback);
    }
}

static void append_help(const struct option *table, struct buf *out)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        const char *value = o->value != NULL ? o->value : "";
        buf_printf(out, "  %s%s%s\n      ", o->name, value[0] != '\0' ? " " : "", value);
        for (const char *p = o->help; *p != '\0'; p++) {
            buf_append_text(out, *p == '\n' ? "\n      " : "");
            if (*p != '\n') {
                buf_append(out, p, 1);
            }
        }
        append_facts(o, out);
        buf_append_text(out, "\n");
    }
}

void options_help(struct buf *out)
{
    append_help(options_server_table, out);
}

void options_help_rebuild(struct buf *out)
{
    append_help(options_rebuild_table, out);
}

void options_help_local(struct buf *out)
{
    append_help(options_local_table, out);
}

void options_help_query(struct buf *out)
{
    append_help(options_query_table, out);
}
