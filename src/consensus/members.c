#include "consensus/members.h"

#include "base/assert.h"
#include "consensus/replica.h"

static bool is_wished(const uint64_t *wished, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++) {
        if (wished[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_valid_wish(const uint64_t *wished, unsigned count)
{
    if (count == 0 || count > ENGINE_MEMBERS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < i; j++) {
            if (replica_node(wished[i]) == replica_node(wished[j])) {
                return false;
            }
        }
        if (wished[i] == 0) {
            return false;
        }
    }
    return true;
}

static unsigned voters_of(const struct engine_config *config)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < config->count; i++) {
        voters += config->members[i].is_voter ? 1 : 0;
    }
    return voters;
}

/*
 * That node has begun anew: this replica never answers again. It goes before the new one votes:
 * until then the majority needs the same living voters as with it, afterwards fewer; and should the
 * node be lost once more meanwhile, no second dead voter is left behind.
 */
static bool is_dead(const uint64_t *wished, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++) {
        if (replica_node(wished[i]) == replica_node(id) && wished[i] > id) {
            return true;
        }
    }
    return false;
}

static enum members_step remove_at(const struct engine_config *now,
                                   unsigned at,
                                   struct engine_config *out_next)
{
    if (now->members[at].is_voter && voters_of(now) <= 2) {
        return MEMBERS_BLOCKED;
    }
    *out_next = *now;
    out_next->count--;
    for (unsigned i = at; i < out_next->count; i++) {
        out_next->members[i] = now->members[i + 1];
    }
    return MEMBERS_CHANGE;
}

static enum members_step add(const struct engine_config *now,
                             uint64_t id,
                             struct engine_config *out_next)
{
    if (now->count == ENGINE_MEMBERS_MAX) {
        return MEMBERS_BLOCKED;
    }
    *out_next = *now;
    out_next->members[out_next->count++] = (struct engine_member){.id = id};
    return MEMBERS_CHANGE;
}

/* The first member that is not wished and may go before new ones are there; count: none. */
static unsigned find_spare(const struct engine_config *now, const uint64_t *wished, unsigned count)
{
    bool has_spare_voter = voters_of(now) > 2;
    for (unsigned i = 0; i < now->count; i++) {
        const struct engine_member *m = &now->members[i];
        if (!is_wished(wished, count, m->id) &&
            (!m->is_voter || (has_spare_voter && is_dead(wished, count, m->id)))) {
            return i;
        }
    }
    return now->count;
}

static unsigned find_unwished(const struct engine_config *now,
                              const uint64_t *wished,
                              unsigned count)
{
    for (unsigned i = 0; i < now->count; i++) {
        if (!is_wished(wished, count, now->members[i].id)) {
            return i;
        }
    }
    return now->count;
}

static uint64_t find_missing(const struct engine_config *now,
                             const uint64_t *wished,
                             unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned at = 0;
        while (at < now->count && now->members[at].id != wished[i]) {
            at++;
        }
        if (at == now->count) {
            return wished[i];
        }
    }
    return 0;
}

/*
 * Wished learners, after the others were found to be members. From a single voter two learners
 * catch up before one is promoted: two voters have no spare (MOVE-6).
 */
static enum members_step promote(const struct engine_config *now,
                                 bool (*has_caught_up)(void *ctx, uint64_t id),
                                 void *ctx,
                                 struct engine_config *out_next)
{
    unsigned learners = 0;
    unsigned ready = 0;
    unsigned first = 0;
    for (unsigned i = 0; i < now->count; i++) {
        if (!now->members[i].is_voter) {
            learners++;
            if (has_caught_up(ctx, now->members[i].id)) {
                first = ready == 0 ? i : first;
                ready++;
            }
        }
    }
    if (learners == 0) {
        return MEMBERS_DONE;
    }
    unsigned needed = voters_of(now) == 1 && learners >= 2 ? 2 : 1;
    if (ready < needed) {
        return MEMBERS_WAIT;
    }
    *out_next = *now;
    out_next->members[first].is_voter = true;
    return MEMBERS_CHANGE;
}

enum members_step members_next(const struct engine_config *now,
                               const uint64_t *wished,
                               unsigned wished_count,
                               bool (*has_caught_up)(void *ctx, uint64_t id),
                               void *ctx,
                               struct engine_config *out_next)
{
    if (!is_valid_wish(wished, wished_count) || now->count == 0) {
        return MEMBERS_BLOCKED;
    }
    unsigned spare = find_spare(now, wished, wished_count);
    if (spare < now->count) {
        return remove_at(now, spare, out_next);
    }
    uint64_t missing = find_missing(now, wished, wished_count);
    if (missing != 0) {
        return add(now, missing, out_next);
    }
    enum members_step step = promote(now, has_caught_up, ctx, out_next);
    if (step != MEMBERS_DONE) {
        return step;
    }
    unsigned unwished = find_unwished(now, wished, wished_count);
    return unwished < now->count ? remove_at(now, unwished, out_next) : MEMBERS_DONE;
}
