/*
 * Commands that need values of several groups run here, on rows fetched from them (TXN-20). What
 * they would change goes to the groups as effects, with compares of everything that was read; what
 * they answer is shown only after that has been found to be still so.
 */
#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "data/slot.h"
#include "data/view_overlay.h"
#include "protocol/resp_writer.h"
#include "txn/txn_parts.h"

/* ---- rows ------------------------------------------------------------------------------------ */

/* False: not as many rows as keys. */
static bool record_rows(struct txn *t, uint32_t place)
{
    struct txn_answer answer;
    struct bytes keys = buf_bytes(&t->plan.groups[place].keys);
    struct buf *expected = &t->looks[place].expected;
    buf_clear(expected, TXN_SCRATCH_BYTES_KEPT);
    if (keys.size == 0) {
        buf_append_bytes(expected, buf_bytes(&t->plan.groups[place].watch_versions));
        return true;
    }
    if (!txn_exchange_answer(&t->looks[place].exchange, &answer)) {
        return false;
    }
    while (keys.size > 0) {
        struct txn_key key;
        struct bytes row;
        enum status status = txn_key_take(&keys, &key);
        ensure(status == STATUS_OK);
        if (answer.rows.size == 0 || txn_row_take(&answer.rows, &row) != STATUS_OK) {
            return false;
        }
        view_recorded_add(&t->recorded, key.database, key.key, row);
    }
    buf_append_bytes(expected, answer.versions); /* for a second look */
    buf_append_bytes(expected, buf_bytes(&t->plan.groups[place].watch_versions));
    return answer.rows.size == 0 &&
           answer.versions.size == t->plan.groups[place].key_count * sizeof(uint64_t);
}

static bool record_all(struct txn *t)
{
    view_recorded_begin(&t->recorded, env_wall_ms(t->m->env));
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        if (!record_rows(t, i)) {
            return false;
        }
    }
    return true;
}

/* ---- running --------------------------------------------------------------------------------- */

/* Runs one command; its reply is appended. True: it failed, and changed nothing. */
static bool run_one(struct txn *t,
                    struct view *view,
                    const struct entry_command *c,
                    const struct bytes *args,
                    uint64_t seed)
{
    struct command_call call = {
        .command = command_by_id(c->id),
        .args = args,
        .arg_count = (size_t)c->arg_count + 1,
        .resp = c->resp,
        .reply = &t->replies,
        .view = view,
        .database = c->database,
        .now_ms = t->recorded.now_ms,
        .seed = seed,
    };
    view_select(view, c->database);
    enum command_result result = call.command->handler(&call);
    ensure(result == COMMAND_DONE || result == COMMAND_ERROR); /* all its keys were recorded */
    return result == COMMAND_ERROR;
}

/*
 * Runs them in order. Strict: the first error is all that is left. False: they would write or
 * answer more than one group may, so more than is to be held here.
 */
static bool run_commands(struct txn *t, struct view_overlay *overlay)
{
    struct entry_reader reader;
    uint64_t seed = env_random(t->m->env);
    entry_reader_of(buf_bytes(&t->plan.flat), &reader);
    buf_clear(&t->replies, TXN_SCRATCH_BYTES_KEPT);
    t->has_error = false;
    while (!entry_is_read(&reader) && !t->has_error) {
        struct entry_command c;
        enum status status = entry_next(&reader, &c);
        ensure(status == STATUS_OK);
        struct bytes *args = mem_alloc(((size_t)c.arg_count + 1) * sizeof args[0]);
        args[0] = bytes_of_text(command_by_id(c.id)->name);
        for (uint32_t i = 1; i <= c.arg_count; i++) {
            status = entry_next_arg(&reader, &args[i]);
            ensure(status == STATUS_OK);
        }
        size_t before = t->replies.size;
        bool has_failed = run_one(t, &overlay->base, &c, args, seed++);
        mem_free(args);
        if (overlay->written_bytes > LIMIT_TRANSACTION_ROWS_BYTES ||
            t->replies.size > LIMIT_TRANSACTION_REPLIES_BYTES) {
            reached("txn: a run at the gateway becomes too large");
            return false;
        }
        if (has_failed && t->is_strict) {
            t->has_error = true;
            buf_drop_front(&t->replies, before);
        }
    }
    return true;
}

/* ---- effects and compares -------------------------------------------------------------------- */

static struct plan_group *group_of_key(struct txn *t, struct bytes key)
{
    uint32_t group = router_group_of_slot(t->m->router, slot_of_key(key));
    return &t->plan.groups[plan_place(&t->plan, group)];
}

static void keep_effects(struct txn *t, const struct view_overlay *overlay)
{
    struct buf all;
    buf_init(&all, SIZE_MAX / 2);
    if (!t->has_error) {
        view_overlay_effects(overlay, &all);
    }
    t->has_effects = all.size > 0;
    for (struct bytes rest = buf_bytes(&all); rest.size > 0;) {
        struct effect e;
        enum status status = effect_take(&rest, &e);
        ensure(status == STATUS_OK && e.kind != EFFECT_FLUSH);
        effect_append(&group_of_key(t, e.key)->body, &e);
    }
    buf_deinit(&all);
}

/* The names of the keys that the client watches. */
static void collect_watched(struct txn *t, struct omap *out_watched)
{
    omap_init(out_watched);
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        struct bytes rest = buf_bytes(&t->plan.groups[i].watched);
        while (rest.size > 0) {
            struct txn_key key;
            enum status status = txn_key_take(&rest, &key);
            ensure(status == STATUS_OK);
            plan_key_name(&t->m->scratch, key.database, key.key);
            omap_put(out_watched, buf_bytes(&t->m->scratch), NULL);
        }
    }
}

/* What was read has to be the same still; of a watched key its own compare says so. */
static void add_compares(struct txn *t, uint32_t place, const struct omap *watched)
{
    struct plan_group *group = &t->plan.groups[place];
    struct bytes rest = buf_bytes(&group->keys);
    while (rest.size > 0) {
        struct txn_key key;
        struct omap_item item;
        enum status status = txn_key_take(&rest, &key);
        ensure(status == STATUS_OK);
        struct txn_compare compare = {
            .database = key.database,
            .version = view_recorded_version(&t->recorded, key.database, key.key),
            .key = key.key,
        };
        plan_key_name(&t->m->scratch, key.database, key.key);
        if (!omap_get(watched, buf_bytes(&t->m->scratch), &item)) {
            txn_compare_append(&group->compares, &compare);
            group->compare_count++;
        }
    }
}

static void forget_last_run(struct txn *t)
{
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        struct plan_group *group = &t->plan.groups[i];
        buf_clear(&group->body, TXN_SCRATCH_BYTES_KEPT);
        group->compares.size = group->watch_bytes;
        group->compare_count = group->watch_count;
    }
}

static bool is_too_large(const struct txn *t)
{
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        const struct plan_group *group = &t->plan.groups[i];
        if ((uint64_t)group->body.size + group->compares.size > TXN_BYTES_MAX) {
            return true;
        }
    }
    return false;
}

/* ---- steps ----------------------------------------------------------------------------------- */

void txn_gateway_run(struct txn *t)
{
    struct view_overlay overlay;
    struct omap watched;
    if (!record_all(t)) {
        txn_finish_text(t,
                        TXN_NOT_EXECUTED,
                        "ERR the rows of these keys are too large, or make no sense; nothing was "
                        "executed");
        return;
    }
    forget_last_run(t);
    view_overlay_init(&overlay, &t->recorded.base);
    overlay.now_ms = t->recorded.now_ms;
    bool fits = run_commands(t, &overlay);
    if (fits) {
        keep_effects(t, &overlay);
    }
    view_overlay_deinit(&overlay);
    collect_watched(t, &watched);
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        add_compares(t, i, &watched);
    }
    omap_deinit(&watched);
    if (!fits || is_too_large(t)) {
        txn_finish_text(t,
                        TXN_NOT_EXECUTED,
                        "ERR the transaction is too large: what it would write or answer is more "
                        "than is allowed; nothing was executed");
    } else if (t->has_effects || t->plan.watches_absent ||
               view_recorded_has_expired(&t->recorded)) {
        txn_vote(t); /* also to have the groups say what has expired, before it is shown (ORD-5) */
    } else {
        txn_prove(t); /* nothing to be done, but what was read has to be one moment's (TXN-20) */
    }
}

void txn_gateway_answer(struct txn *t)
{
    buf_append_bytes(t->request->replies, buf_bytes(&t->replies));
    txn_finish(t, t->has_error ? TXN_FAILED : TXN_COMMITTED);
}
