/*
 * Gives up what a damaged node knew, so that it comes back as another replica (LOG-7, MOVE-1).
 *
 * 1. DIR/log goes to DIR/damaged.N, durably: a start under the old life finds no log although it
 *    had one, and refuses (NODE-3).
 * 2. DIR/store follows, durably.
 * 3. The identity with the next life, and without a log, is durable: what starts from here on is
 *    the new replica.
 *
 * A crash anywhere leaves the whole node as it was, or one that refuses to start until this is done
 * again, or the new one. A directory moves by one rename: half a log could look like a whole one.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "node/identity.h"
#include "node/node.h"

#define PATH_BYTES 512u
#define DAMAGED_MAX 1000u
/* With two, the other one alone is no majority: it can never take this one in again. */
#define FOUNDERS_MIN 3u

static void join(char out_path[PATH_BYTES], const char *dir, const char *name)
{
    int size = snprintf(out_path, PATH_BYTES, "%s/%s", dir, name);
    ensure(size > 0 && (unsigned)size < PATH_BYTES);
}

static enum status check(const struct identity *identity, const char *dir, struct error *error)
{
    uint32_t founders = identity_founder_count(identity);
    if (founders >= FOUNDERS_MIN) {
        return STATUS_OK;
    }
    return error_set(error,
                     STATUS_INVALID,
                     founders == 1
                         ? "%s: a cluster of one has no peers to be rebuilt from; restore a backup"
                         : "%s: of two nodes the other one alone is no majority and cannot "
                           "rebuild this one; restore a backup of both",
                     dir);
}

static enum status open_identity(struct env *env,
                                 const char *dir,
                                 struct identity *out_identity,
                                 struct error *error)
{
    if (strlen(dir) + strlen("/damaged.1000/store") >= PATH_BYTES) {
        return error_set(error, STATUS_INVALID, "the path of the data directory is too long");
    }
    /* First, so that nothing is left in a directory that is no node's. */
    enum status s = identity_load(env, dir, out_identity, error);
    if (s == STATUS_NOT_FOUND) {
        return error_set(error, s, "%s has no file named node: it is not a node's directory", dir);
    }
    if (s != STATUS_OK) {
        return s;
    }
    s = env_dir_lock(env, dir);
    if (s != STATUS_OK) {
        return error_set(error,
                         s,
                         s == STATUS_BUSY ? "%s is in use by another process; stop the node first"
                                          : "%s: cannot lock the directory",
                         dir);
    }
    s = identity_load(env, dir, out_identity, error); /* nobody changes it any more */
    return s == STATUS_OK ? check(out_identity, dir, error) : s;
}

/* A directory of its own for each time, so that nothing is ever overwritten. */
static enum status make_aside(struct env *env,
                              const char *dir,
                              char out_aside[PATH_BYTES],
                              struct error *error)
{
    enum status s = STATUS_EXISTS;
    for (unsigned n = 1; n <= DAMAGED_MAX && s == STATUS_EXISTS; n++) {
        char name[sizeof "damaged.1000"];
        (void)snprintf(name, sizeof name, "damaged.%u", n);
        join(out_aside, dir, name);
        s = env_dir_create(env, out_aside);
    }
    if (s == STATUS_OK) {
        s = env_dir_sync(env, dir);
    }
    return s == STATUS_OK ? s : error_set(error, s, "%s: cannot make the directory", out_aside);
}

/* Durable on return. A directory that is not there was moved before, or never made. */
static enum status move_aside(struct env *env,
                              const char *dir,
                              const char *aside,
                              const char *name,
                              struct error *error)
{
    char from[PATH_BYTES];
    char to[PATH_BYTES];
    join(from, dir, name);
    join(to, aside, name);
    enum status s = env_file_rename(env, from, to);
    if (s == STATUS_NOT_FOUND) {
        return STATUS_OK;
    }
    if (s == STATUS_OK) {
        s = env_dir_sync(env, aside);
    }
    if (s == STATUS_OK) {
        s = env_dir_sync(env, dir);
    }
    return s == STATUS_OK ? s : error_set(error, s, "%s: cannot be moved to %s", from, aside);
}

enum status node_rebuild(struct env *env, const char *data_dir, struct error *error)
{
    struct identity identity = {0};
    char aside[PATH_BYTES];
    enum status s = open_identity(env, data_dir, &identity, error);
    if (s == STATUS_OK) {
        s = make_aside(env, data_dir, aside, error);
    }
    if (s == STATUS_OK) {
        s = move_aside(env, data_dir, aside, "log", error);
    }
    if (s == STATUS_OK) {
        s = move_aside(env, data_dir, aside, "store", error);
    }
    if (s != STATUS_OK) {
        return s;
    }
    /* Before the cluster is formed nobody votes (NODE-5): there is nothing that could be forgotten,
     * and the founders are those of the first life. */
    identity.life += identity.is_formed ? 1 : 0;
    identity.has_log = false;
    s = identity_store(env, data_dir, &identity, error);
    if (s == STATUS_OK) {
        env_log(env,
                ENV_LEVEL_INFO,
                "rebuild data=%s moved_to=%s node=%" PRIu32 " life=%" PRIu32,
                data_dir,
                aside,
                identity.number,
                identity.life);
    }
    return s;
}
