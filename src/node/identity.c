#include "node/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crc.h"

#define PATH_BYTES 512u
#define FILE_BYTES_MAX 1024u
#define HEX_BYTES (2u * IDENTITY_ID_BYTES + 1u)

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

static void print(const struct identity *identity, struct buf *out)
{
    char node[HEX_BYTES];
    char cluster[HEX_BYTES];
    to_hex(identity->node, node);
    to_hex(identity->cluster, cluster);
    buf_printf(out,
               "dougong %u\nnode %s\ncluster %s\nincarnation %" PRIu32 "\nlog %u\n",
               IDENTITY_FORMAT,
               node,
               cluster,
               identity->incarnation,
               identity->has_log ? 1u : 0u);
    buf_printf(out, "checksum %08" PRIx32 "\n", crc32c(0, out->data, out->size));
}

static enum status damaged(const char *path, struct error *error)
{
    return error_set(error,
                     STATUS_CORRUPT,
                     "%s is damaged; this copy of the data must not be used (restore a backup, or "
                     "rebuild this replica from its peers)",
                     path);
}

/* What was read has to be what would be written, to the byte: that covers checksum and numbers. */
static bool is_exact(const struct identity *identity, const char *text)
{
    struct buf exact;
    buf_init(&exact, FILE_BYTES_MAX);
    print(identity, &exact);
    bool is_same = bytes_equal_text(buf_bytes(&exact), text);
    buf_deinit(&exact);
    return is_same;
}

static enum status parse(const char *text,
                         const char *path,
                         struct identity *out,
                         struct error *error)
{
    unsigned format = 0;
    char node[HEX_BYTES] = "";
    char cluster[HEX_BYTES] = "";
    unsigned has_log = 0;
    struct identity identity = {0};
    /* NOLINTNEXTLINE(cert-err34-c): is_exact finds a number that did not convert */
    int fields = sscanf(text,
                        "dougong %u\nnode %32s\ncluster %32s\nincarnation %" SCNu32 "\nlog %u\n",
                        &format,
                        node,
                        cluster,
                        &identity.incarnation,
                        &has_log);
    if (fields >= 1 && format != IDENTITY_FORMAT) {
        return error_set(error,
                         STATUS_UNSUPPORTED,
                         "%s: format %u is not known to this version; upgrade this node",
                         path,
                         format);
    }
    identity.has_log = has_log == 1;
    if (fields != 5 || !from_hex(node, identity.node) || !from_hex(cluster, identity.cluster) ||
        !is_exact(&identity, text)) {
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

/* A new file under another name, synced, then renamed over the old one, then the name synced. */
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
    return s == STATUS_OK ? env_dir_sync(env, dir) : s;
}

enum status identity_store(struct env *env,
                           const char *dir,
                           const struct identity *identity,
                           struct error *error)
{
    struct buf text;
    buf_init(&text, FILE_BYTES_MAX);
    print(identity, &text);
    enum status s = replace(env, dir, buf_bytes(&text));
    buf_deinit(&text);
    if (s != STATUS_OK) {
        return error_set(error, s, "%s/node: cannot write", dir);
    }
    return STATUS_OK;
}
