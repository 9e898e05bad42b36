#include "node/identity.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc.h"

#define PATH_BYTES 512u
#define FILE_BYTES_MAX 8192u /* a full list, all members, and the rest */
#define HEX_BYTES (2u * IDENTITY_ID_BYTES + 1u)
#define NO_LIST "-"

bool identity_id_is_set(const uint8_t id[IDENTITY_ID_BYTES])
{
    static const uint8_t zeros[IDENTITY_ID_BYTES];
    return memcmp(id, zeros, IDENTITY_ID_BYTES) != 0;
}

uint32_t identity_founder_count(const struct identity *identity)
{
    uint32_t count = 1;
    for (const char *c = identity->founders; *c != '\0'; c++) {
        count += *c == ',' ? 1 : 0;
    }
    return count;
}

static void path_of(char out_path[PATH_BYTES], const char *dir, const char *name)
{
    int size = snprintf(out_path, PATH_BYTES, "%s/%s", dir, name);
    ensure(size > 0 && (unsigned)size < PATH_BYTES);
}

static void to_hex(const uint8_t id[IDENTITY_ID_BYTES], char out_text[HEX_BYTES])
{
    for (unsigned i = 0; i < IDENTITY_ID_BYTES; i++) {
        (void)snprintf(out_text + 2 * i, 3, "%02x", (unsigned)id[i]);
    }
}

static bool from_hex(const char *text, uint8_t out_id[IDENTITY_ID_BYTES])
{
    for (unsigned i = 0; i < IDENTITY_ID_BYTES; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};
        char *end = NULL;
        out_id[i] = (uint8_t)strtoul(pair, &end, 16);
        if (*end != '\0') {
            return false;
        }
    }
    return true;
}

static void print(const struct identity *identity, unsigned format, struct buf *out)
{
    char id[HEX_BYTES];
    to_hex(identity->node, id);
    buf_printf(out, "dougong %u\nnode %s\n", format, id);
    const char *list = identity->founders[0] != '\0' ? identity->founders : NO_LIST;
    to_hex(identity->cluster, id);
    buf_printf(out,
               "number %" PRIu32 "\nfounders %s\ngroups %" PRIu32 "\nformed %u\ncluster %s\n",
               identity->number,
               list,
               identity->groups,
               identity->is_formed ? 1u : 0u,
               id);
    uint32_t count = identity_founder_count(identity);
    for (uint32_t i = 0; i < count; i++) {
        to_hex(identity->members[i], id);
        buf_printf(out, "member %s\n", id);
    }
    buf_printf(out, "incarnation %" PRIu32 "\n", identity->incarnation);
    if (format > IDENTITY_FORMAT_WITHOUT_LIFE) {
        buf_printf(out, "life %" PRIu32 "\n", identity->life);
    }
    buf_printf(out, "log %u\n", identity->has_log ? 1u : 0u);
    buf_printf(out, "checksum %08" PRIx32 "\n", crc32c(0, out->data, out->size));
}

static enum status damaged(const char *path, struct error *error)
{
    return error_set(error,
                     STATUS_CORRUPT,
                     "%s is damaged; this copy of the data must not be used (restore a backup; "
                     "`dougong rebuild` needs this file whole)",
                     path);
}

/* What was read has to be what would be written, to the byte: that covers checksum and numbers. */
static bool is_exact(const struct identity *identity, unsigned format, const char *text)
{
    struct buf exact;
    buf_init(&exact, FILE_BYTES_MAX);
    print(identity, format, &exact);
    bool is_same = bytes_equal_text(buf_bytes(&exact), text);
    buf_deinit(&exact);
    return is_same;
}

/* The lines up to the members; out_size: where these begin. */
static bool parse_head(const char *text, struct identity *out, int *out_size)
{
    char node[HEX_BYTES] = "";
    char cluster[HEX_BYTES] = "";
    unsigned is_formed = 0;
    static_assert(IDENTITY_LIST_BYTES_MAX == 4095, "the width of founders below");
    /* NOLINTNEXTLINE(cert-err34-c): is_exact finds a number that did not convert */
    int fields = sscanf(text,
                        "dougong %*u\nnode %32s\nnumber %" SCNu32 "\nfounders %4095s\n"
                        "groups %" SCNu32 "\nformed %u\ncluster %32s\n%n",
                        node,
                        &out->number,
                        out->founders,
                        &out->groups,
                        &is_formed,
                        cluster,
                        out_size);
    out->is_formed = is_formed == 1;
    if (strcmp(out->founders, NO_LIST) == 0) {
        out->founders[0] = '\0';
    }
    return fields == 6 && *out_size > 0 && from_hex(node, out->node) &&
           from_hex(cluster, out->cluster);
}

/* The lines behind the members. */
static bool parse_tail(const char *text, unsigned format, struct identity *out)
{
    unsigned has_log = 0;
    int fields = 0;
    if (format == IDENTITY_FORMAT_WITHOUT_LIFE) {
        /* NOLINTNEXTLINE(cert-err34-c): is_exact finds a number that did not convert */
        fields = sscanf(text, "incarnation %" SCNu32 "\nlog %u\n", &out->incarnation, &has_log) + 1;
    } else {
        /* NOLINTNEXTLINE(cert-err34-c): is_exact finds a number that did not convert */
        fields = sscanf(text,
                        "incarnation %" SCNu32 "\nlife %" SCNu32 "\nlog %u\n",
                        &out->incarnation,
                        &out->life,
                        &has_log);
    }
    out->has_log = has_log == 1;
    return fields == 3;
}

static bool parse_rest(const char *text, unsigned format, struct identity *out)
{
    uint32_t count = identity_founder_count(out);
    if (count > IDENTITY_FOUNDERS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        char member[HEX_BYTES] = "";
        int size = 0;
        if (sscanf(text, "member %32s\n%n", member, &size) != 1 || size == 0 ||
            !from_hex(member, out->members[i])) {
            return false;
        }
        text += size;
    }
    return parse_tail(text, format, out);
}

/* What nobody writes, with however good a checksum. */
static bool is_consistent(const struct identity *identity)
{
    uint32_t count = identity_founder_count(identity);
    if (identity->number == 0 || identity->number > count ||
        memcmp(identity->members[identity->number - 1], identity->node, IDENTITY_ID_BYTES) != 0 ||
        identity_id_is_set(identity->cluster) != identity->is_formed) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (identity->is_formed && !identity_id_is_set(identity->members[i])) {
            return false;
        }
    }
    return true;
}

static enum status parse(const char *text,
                         const char *path,
                         struct identity *out,
                         struct error *error)
{
    unsigned format = 0;
    /* NOLINTNEXTLINE(cert-err34-c): is_exact finds a number that did not convert */
    if (sscanf(text, "dougong %u\n", &format) == 1 && format != IDENTITY_FORMAT &&
        format != IDENTITY_FORMAT_WITHOUT_LIFE) {
        return error_set(error,
                         STATUS_UNSUPPORTED,
                         format < IDENTITY_FORMAT
                             ? "%s: format %u was written by an older version, which this one "
                               "does not read"
                             : "%s: format %u was written by a newer version; upgrade this node",
                         path,
                         format);
    }
    struct identity identity = {0};
    int head_size = 0;
    if (!parse_head(text, &identity, &head_size) ||
        !parse_rest(text + head_size, format, &identity) || !is_exact(&identity, format, text) ||
        !is_consistent(&identity)) {
        return damaged(path, error);
    }
    *out = identity;
    return STATUS_OK;
}

enum status identity_load(struct env *env,
                          const char *dir,
                          struct identity *out_identity,
                          struct error *error)
{
    char path[PATH_BYTES];
    path_of(path, dir, "node");
    struct env_file *file = NULL;
    enum status s = env_file_open(env, path, ENV_OPEN_READ, &file);
    if (s == STATUS_NOT_FOUND) {
        return s;
    }
    if (s != STATUS_OK) {
        return error_set(error, s, "%s: cannot open", path);
    }
    char text[FILE_BYTES_MAX + 1] = "";
    size_t size = 0;
    s = env_file_read(env, file, 0, text, FILE_BYTES_MAX, &size);
    env_file_close(env, file);
    if (s != STATUS_OK) {
        return error_set(error, s, "%s: cannot read", path);
    }
    text[size] = '\0';
    return parse(text, path, out_identity, error);
}

/*
 * A new file under another name, synced, then renamed over the old one, then the name synced.
 * NO_SPACE: the old one still stands.
 */
static enum status replace(struct env *env, const char *dir, struct bytes bytes)
{
    char fresh[PATH_BYTES];
    char path[PATH_BYTES];
    path_of(fresh, dir, "node.new");
    path_of(path, dir, "node");
    enum status s = env_file_remove(env, fresh);
    if (s != STATUS_OK && s != STATUS_NOT_FOUND) {
        return s;
    }
    struct env_file *file = NULL;
    s = env_file_open(env, fresh, ENV_OPEN_CREATE, &file);
    if (s != STATUS_OK) {
        return s;
    }
    s = env_file_write(env, file, 0, bytes);
    if (s == STATUS_OK) {
        s = env_file_sync(env, file);
    }
    env_file_close(env, file);
    if (s == STATUS_OK) {
        s = env_file_rename(env, fresh, path);
    }
    if (s != STATUS_OK) {
        return s;
    }
    s = env_dir_sync(env, dir);
    return s == STATUS_NO_SPACE ? STATUS_IO : s; /* which one stands is not known */
}

enum status identity_store(struct env *env,
                           const char *dir,
                           const struct identity *identity,
                           struct error *error)
{
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    ensure(is_consistent(identity));
    print(identity, IDENTITY_FORMAT, &text);
    enum status s = replace(env, dir, buf_bytes(&text));
    buf_deinit(&text);
    if (s != STATUS_OK) {
        return error_set(error, s, "%s/node: cannot write: %s", dir, status_text(s));
    }
    return STATUS_OK;
}
