#include "config/options.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/limits.h"
#include "config/options_table.h"

/* ---- parsing --------------------------------------------------------------------------------- */

static bool parse_bytes(const char *text, uint64_t *out_value)
{
    static const struct {
        const char *unit;
        uint64_t bytes;
    } units[] = {{"", 1}, {"kb", KIB}, {"mb", MIB}, {"gb", (uint64_t)1024 * MIB}};

    size_t digits = strspn(text, "0123456789");
    int64_t number = 0;
    if (!bytes_to_i64(bytes_of(text, digits), &number)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes_equal_nocase(bytes_of_text(text + digits), units[i].unit)) {
            *out_value = (uint64_t)number * units[i].bytes;
            return number > 0 && (uint64_t)number <= INT64_MAX / units[i].bytes;
        }
    }
    return false;
}

static enum status set_number(const struct option *o,
                              const char *value,
                              uint32_t *out_field,
                              struct error *error)
{
    int64_t number = 0;
    if (!bytes_to_i64(bytes_of_text(value), &number) || number < o->min || number > o->max) {
        return error_set(error,
                         STATUS_INVALID,
                         "%s %s: must be a number from %" PRIu32 " to %" PRIu32,
                         o->name,
                         value,
                         o->min,
                         o->max);
    }
    *out_field = (uint32_t)number;
    return STATUS_OK;
}

static enum status set(const struct option *o, const char *value, void *to, struct error *error)
{
    void *field = (char *)to + o->offset;
    switch (o->type) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return STATUS_OK;
    case OPTION_TEXT:
        *(const char **)field = value;
        return STATUS_OK;
    case OPTION_NUMBER:
        return set_number(o, value, field, error);
    case OPTION_BYTES:
        if (!parse_bytes(value, field)) {
            return error_set(error,
                             STATUS_INVALID,
                             "%s %s: not a size; say a number with kb, mb or gb",
                             o->name,
                             value);
        }
        return STATUS_OK;
    }
    unreachable("every option type is handled");
}

static const struct option *find(const struct option *table, const char *name)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        if (strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

/* The one word that is no option; refused where the verb takes none (out_word NULL). */
static enum status take_word(const char *word, const char **out_word, struct error *error)
{
    if (out_word == NULL) {
        return error_set(error, STATUS_INVALID, "%s: unknown option; see `dougong --help`", word);
    }
    if (*out_word != NULL) {
        return error_set(error,
                         STATUS_INVALID,
                         "%s: one key only; quote it if it has blanks",
                         word);
    }
    *out_word = word;
    return STATUS_OK;
}

static enum status parse(const struct option *table,
                         int arg_count,
                         char **args,
                         const char **out_word,
                         void *to,
                         struct error *error)
{
    for (const struct option *o = table; o->name != NULL; o++) {
        enum status s = o->fallback != NULL ? set(o, o->fallback, to, NULL) : STATUS_OK;
        ensure(s == STATUS_OK);
    }
    bool has_ended = false; /* "--" was seen */
    for (int i = 0; i < arg_count; i++) {
        bool is_word = has_ended || (out_word != NULL && strncmp(args[i], "--", 2) != 0);
        if (!is_word && out_word != NULL && strcmp(args[i], "--") == 0) {
            has_ended = true;
            continue;
        }
        const struct option *o = is_word ? NULL : find(table, args[i]);
        enum status s = STATUS_OK;
        if (is_word) {
            s = take_word(args[i], out_word, error);
        } else if (o == NULL) {
            s = take_word(args[i], NULL, error);
        } else if (o->type == OPTION_FLAG) {
            s = set(o, NULL, to, error);
        } else if (i + 1 < arg_count) {
            s = set(o, args[++i], to, error);
        } else {
            s = error_set(error, STATUS_INVALID, "%s needs a value: %s", o->name, o->value);
        }
        if (s != STATUS_OK) {
            return s;
        }
    }
    return STATUS_OK;
}

/* ---- server ---------------------------------------------------------------------------------- */

/* The default for --peer: host of --listen, a higher port. */
static enum status derive_peer(struct options *o, struct error *error)
{
    struct bytes host = {0};
    uint16_t port = 0;
    bool is_address = address_split(bytes_of_text(o->listen), &host, &port);
    ensure(is_address);
    uint32_t peer_port = port + OPTIONS_PEER_PORT_DISTANCE;
    if (peer_port > UINT16_MAX) {
        return error_set(error,
                         STATUS_INVALID,
                         "--listen %s: the peer port would be %" PRIu32
                         ", over 65535; give --peer HOST:PORT, or listen below 55536",
                         o->listen,
                         peer_port);
    }
    bool is_v6 = o->listen[0] == '[';
    int size = snprintf(o->peer_listen,
                        sizeof o->peer_listen,
                        "%s%.*s%s:%" PRIu32,
                        is_v6 ? "[" : "",
                        (int)host.size,
                        (const char *)host.data,
                        is_v6 ? "]" : "",
                        peer_port);
    if (size < 0 || (size_t)size >= sizeof o->peer_listen) {
        return error_set(error, STATUS_INVALID, "--listen %s: too long", o->listen);
    }
    return STATUS_OK;
}

/* Fills peer_listen. */
static enum status find_peer(struct options *o, struct error *error)
{
    if (o->peer == NULL) {
        return derive_peer(o, error);
    }
    if (strcmp(o->peer, o->listen) == 0) {
        return error_set(error,
                         STATUS_INVALID,
                         "--peer %s: that is --listen, for clients; peers need another port",
                         o->peer);
    }
    if (strlen(o->peer) >= sizeof o->peer_listen) {
        return error_set(error, STATUS_INVALID, "--peer: too long");
    }
    (void)snprintf(o->peer_listen, sizeof o->peer_listen, "%s", o->peer);
    return STATUS_OK;
}

/* One of the founders, next to those before it. */
static enum status check_founder(struct bytes founder,
                                 const struct bytes *before,
                                 size_t before_count,
                                 struct error *error)
{
    int size = founder.size < ADDRESS_BYTES ? (int)founder.size : (int)ADDRESS_BYTES;
    const char *text = (const char *)founder.data;
    struct bytes host = {0};
    uint16_t port = 0;
    if (!address_split(founder, &host, &port)) {
        return error_set(error,
                         STATUS_INVALID,
                         "--cluster: '%.*s' is no address; write H:P,H:P,… without blanks",
                         size,
                         text);
    }
    if (address_host_is_any(host)) {
        return error_set(error,
                         STATUS_INVALID,
                         "--cluster: %.*s: others cannot call that host; name one address",
                         size,
                         text);
    }
    for (size_t i = 0; i < before_count; i++) {
        if (bytes_equal(founder, before[i])) {
            return error_set(error,
                             STATUS_INVALID,
                             "--cluster: %.*s stands there twice; name each node once",
                             size,
                             text);
        }
    }
    return STATUS_OK;
}

static enum status check_cluster(const struct options *o, struct error *error)
{
    struct bytes founders[OPTIONS_FOUNDERS_MAX];
    size_t count = 0;
    bool has_own = false;
    for (const char *at = o->cluster;; at++) {
        if (count == OPTIONS_FOUNDERS_MAX) {
            return error_set(error,
                             STATUS_INVALID,
                             "--cluster: more than %u nodes; found it with fewer",
                             OPTIONS_FOUNDERS_MAX);
        }
        size_t size = strcspn(at, ",");
        founders[count] = bytes_of(at, size);
        enum status s = check_founder(founders[count], founders, count, error);
        if (s != STATUS_OK) {
            return s;
        }
        has_own = has_own || bytes_equal_text(founders[count], o->peer_listen);
        count++;
        at += size;
        if (*at == '\0') {
            break;
        }
    }
    if (!has_own) {
        return error_set(error,
                         STATUS_INVALID,
                         "--cluster: this node's own peer address %s is not in the list; give "
                         "--peer just as it stands there",
                         o->peer_listen);
    }
    return STATUS_OK;
}

/* The shape, and that nobody from outside can call it. */
static enum status check_listen(const char *name,
                                const char *address,
                                const struct options *o,
                                struct error *error)
{
    struct bytes host = {0};
    uint16_t port = 0;
    if (!address_split(bytes_of_text(address), &host, &port)) {
        return error_set(error,
                         STATUS_INVALID,
                         "%s %s: write it as HOST:PORT, IPv6 in brackets",
                         name,
                         address);
    }
    if (o->insecure || address_host_is_loopback(host)) {
        return STATUS_OK;
    }
    return error_set(error,
                     STATUS_INVALID,
                     "%s %s: without passwords and TLS only loopback is allowed; add "
                     "--insecure to listen there all the same",
                     name,
                     address);
}

static enum status check_store(const struct options *o, struct error *error)
{
    if (strcmp(o->store, OPTIONS_STORE_ROCKS) == 0 || strcmp(o->store, OPTIONS_STORE_MEM) == 0) {
        return STATUS_OK;
    }
    return error_set(error,
                     STATUS_INVALID,
                     "--store %s: there are " OPTIONS_STORE_ROCKS " and " OPTIONS_STORE_MEM,
                     o->store);
}

/* Short files for a short log: it can be freed by whole ones only. */
static enum status cut_log(struct options *o, struct error *error)
{
    if (o->log_size < OPTIONS_LOG_SIZE_MIN || o->log_size > OPTIONS_LOG_SIZE_MAX) {
        return error_set(error,
                         STATUS_INVALID,
                         "--log-size %" PRIu64 ": must be from 2mb to 1024gb",
                         o->log_size);
    }
    uint64_t bytes = o->log_size / OPTIONS_LOG_SEGMENTS;
    bytes = bytes > OPTIONS_LOG_SEGMENT_BYTES_MIN ? bytes : OPTIONS_LOG_SEGMENT_BYTES_MIN;
    bytes = bytes < OPTIONS_LOG_SEGMENT_BYTES_MAX ? bytes : OPTIONS_LOG_SEGMENT_BYTES_MAX;
    o->log_segment_bytes = bytes / (64u * KIB) * (64u * KIB); /* whole pages, also of large ones */
    o->log_segments = (uint32_t)(o->log_size / bytes);
    return STATUS_OK;
}

static enum status check_server(struct options *o, struct error *error)
{
    if (o->data == NULL) {
        return error_set(error, STATUS_INVALID, "--data DIR is required");
    }
    enum status s = check_listen("--listen", o->listen, o, error);
    if (s == STATUS_OK) {
        s = check_store(o, error);
    }
    if (s == STATUS_OK) {
        s = cut_log(o, error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    if (o->cluster == NULL) {
        return o->peer == NULL ? STATUS_OK
                               : error_set(error,
                                           STATUS_INVALID,
                                           "--peer needs --cluster: a node alone has no peers");
    }
    s = find_peer(o, error);
    if (s == STATUS_OK) {
        s = check_listen("--peer", o->peer_listen, o, error);
    }
    return s == STATUS_OK ? check_cluster(o, error) : s;
}

enum status options_parse(int arg_count,
                          char **args,
                          struct options *out_options,
                          struct error *error)
{
    struct options o = {0};
    enum status s = parse(options_server_table, arg_count, args, NULL, &o, error);
    if (s == STATUS_OK) {
        s = check_server(&o, error);
    }
    if (s == STATUS_OK) {
        *out_options = o;
    }
    return s;
}

/* ---- the other verbs ------------------------------------------------------------------------- */

enum status options_parse_rebuild(int arg_count,
                                  char **args,
                                  struct options_rebuild *out_options,
                                  struct error *error)
{
    struct options_rebuild o = {0};
    enum status s = parse(options_rebuild_table, arg_count, args, NULL, &o, error);
    if (s == STATUS_OK && o.data == NULL) {
        s = error_set(error, STATUS_INVALID, "--data DIR is required");
    }
    if (s == STATUS_OK) {
        *out_options = o;
    }
    return s;
}

enum status options_parse_local(int arg_count,
                                char **args,
                                struct options_local *out_options,
                                struct error *error)
{
    struct options_local o = {0};
    enum status s = parse(options_local_table, arg_count, args, NULL, &o, error);
    if (s != STATUS_OK) {
        return s;
    }
    if (o.data == NULL) {
        return error_set(error, STATUS_INVALID, "--data DIR is required");
    }
    uint32_t peer_port_last = o.port + o.nodes - 1 + OPTIONS_PEER_PORT_DISTANCE;
    if (peer_port_last > UINT16_MAX) {
        return error_set(error,
                         STATUS_INVALID,
                         "--port %" PRIu32 ": the peer port of node %" PRIu32 " would be %" PRIu32
                         ", over 65535; take a lower one",
                         o.port,
                         o.nodes,
                         peer_port_last);
    }
    *out_options = o;
    return STATUS_OK;
}

enum status options_parse_query(int arg_count,
                                char **args,
                                bool needs_key,
                                struct options_query *out_options,
                                struct error *error)
{
    struct options_query o = {0};
    const char *key = NULL;
    enum status s = parse(options_query_table, arg_count, args, needs_key ? &key : NULL, &o, error);
    if (s != STATUS_OK) {
        return s;
    }
    ensure(o.connect != NULL); /* it has a default */
    if (needs_key && key == NULL) {
        return error_set(error, STATUS_INVALID, "a KEY is required: `dougong locate KEY`");
    }
    struct bytes host = {0};
    uint16_t port = 0;
    if (!address_split(bytes_of_text(o.connect), &host, &port)) {
        return error_set(error,
                         STATUS_INVALID,
                         "--connect %s: write it as HOST:PORT, IPv6 in brackets",
                         o.connect);
    }
    o.key = key;
    *out_options = o;
    return STATUS_OK;
}
