/* A snapshot takes the place of the log (LOG-15). */
#include <inttypes.h>

#include "base/assert.h"
#include "consensus/replica_parts.h"

/* ---- sent ------------------------------------------------------------------------------------ */

bool replica_send_install(struct replica *r, uint64_t replica_id, const struct replica_base *base)
{
    if (!replica_is_leader(r)) {
        return false;
    }
    ensure(base->index > 0);
    ensure(base->index <= r->index_applied);
    struct engine_message m = {
        .type = ENGINE_INSTALL,
        .peer = replica_id,
        .term = engine_term(r->engine),
        .install =
            {
                .last_index = base->index,
                .last_term = base->term,
                .config = base->config,
            },
    };
    (void)replica_send(r, &m); /* lost: the engine wants an install again */
    return true;
}

bool replica_is_installing(const struct replica *r)
{
    return r->is_installing;
}

/* ---- received -------------------------------------------------------------------------------- */

/*
 * The log is void. Writes of its entries that are in flight find no entry to make durable (LOG-14);
 * what apply() waits for is not needed any more.
 */
void replica_install_begin(struct replica *r,
                           uint64_t index,
                           uint64_t term,
                           const struct engine_config *config)
{
    ensure(!r->is_installing);
    if (index <= r->index_applied) {
        /* A restart forgets what is committed, the log does not: a peer has lost what it had. */
        env_halt(r->env,
                 "group %u: entry %" PRIu64 " is applied here, and a snapshot replaces it",
                 (unsigned)r->options.group,
                 index);
        return;
    }
    if (r->is_waiting) {
        reached("consensus: snapshot installed while apply waits");
        r->is_waiting = false;
    }
    r->is_installing = true;
    r->install = (struct replica_base){.index = index, .term = term, .config = *config};
    replica_void(r, index + 1);
    r->index_durable = index;
    struct group_record g = {
        .generation = r->install_generation,
        .replica_id = r->options.id,
        .base = r->install,
    };
    struct buf payload;
    buf_init(&payload, KIB);
    group_record_encode(&g, &payload);
    r->install_batch = replica_log_record(r, LOG_KIND_INSTALL, term, index, buf_bytes(&payload));
    buf_deinit(&payload);
}

enum status replica_install_end(struct replica *r, struct error *error)
{
    ensure(r->is_installing);
    struct replica_base base = {0};
    enum status s = r->events->restore(r->owner, r->install_generation, &base, error);
    if (s != STATUS_OK) {
        return s;
    }
    if (base.index != r->install.index || base.term != r->install.term) {
        return error_set(error,
                         STATUS_CORRUPT,
                         "the installed state ends with entry %" PRIu64 " of term %" PRIu64
                         ", not %" PRIu64 " of term %" PRIu64,
                         base.index,
                         base.term,
                         r->install.index,
                         r->install.term);
    }
    r->is_installing = false;
    r->generation = r->install_generation;
    r->index_config = base.index;
    r->index_compacted = base.index;
    r->index_commit_noted = base.index;
    r->synced = base;
    replica_state_begin(r, &base);
    return engine_installed(r->engine, replica_now_ms(r), base.index, base.term, &base.config);
}
