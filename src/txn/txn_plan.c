/* Which way a transaction goes, and which group gets what of it. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "data/slot.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"
#include "txn/txn_parts.h"

/* ---- what may be in one ---------------------------------------------------------------------- */

static bool is_keyed(const struct command *command)
{
    return command->policy == COMMAND_ONE_SHARD || command->policy == COMMAND_SPLIT_BY_KEY;
}

bool txn_allows(const struct command *command, const char **out_error)
{
    if (is_keyed(command) || command->policy == COMMAND_LOCAL) {
        return true;
    }
    *out_error = "ERR this command looks at whole databases, which have no version, so it cannot "
                 "be in a transaction; call it outside MULTI";
    return false;
}

bool txn_needs(const struct router *router,
               const struct command *command,
               const struct bytes *args,
               size_t arg_count)
{
    size_t count = is_keyed(command) ? command_key_count(command, arg_count) : 0;
    uint32_t first = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = command_key_at(command, arg_count, i);
        uint32_t group = router_group_of_slot(router, slot_of_key(args[at]));
        if (i > 0 && group != first) {
            return true;
        }
        first = group;
    }
    return false;
}

/* ---- keys and groups ------------------------------------------------------------------------- */

static uint32_t group_of(const struct txn_manager *m, struct bytes key)
{
    return router_group_of_slot(m->router, slot_of_key(key));
}

/* The i-th key of a command: its argument, and its database. */
static struct txn_key key_of(const struct txn_command *c, size_t i)
{
    size_t at = command_key_at(c->command, c->arg_count, i);
    uint8_t database = c->database;
    if (c->command->database_of != NULL) {
        database = c->command->database_of(c->args, c->arg_count, at, c->database);
    }
    return (struct txn_key){.database = database, .key = c->args[at]};
}

static size_t key_count(const struct txn_command *c)
{
    return command_key_count(c->command, c->arg_count);
}

void plan_key_name(struct buf *out, uint8_t database, struct bytes key)
{
    buf_clear(out, SIZE_MAX);
    buf_append(out, &database, 1);
    buf_append_bytes(out, key);
}

static int compare_groups(const void *a, const void *b)
{
    const struct plan_group *left = a;
    const struct plan_group *right = b;
    return (left->group > right->group) - (left->group < right->group);
}

uint32_t plan_place(const struct txn_plan *plan, uint32_t group)
{
    const struct plan_group wanted = {.group = group};
    const struct plan_group *found =
        bsearch(&wanted, plan->groups, plan->group_count, sizeof wanted, compare_groups);
    ensure(found != NULL);
    return (uint32_t)(found - plan->groups);
}

static void mark_group(struct txn_plan *plan, struct txn_manager *m, struct bytes key)
{
    uint32_t *place = &m->place_of_group[group_of(m, key)];
    plan->key_count++;
    plan->key_bytes += txn_key_bytes(key.size);
    if (*place == 0) {
        *place = 1;
        plan->group_count++;
    }
}

/* Of those that were marked; ascending. */
static void create_groups(struct txn_plan *plan, struct txn_manager *m)
{
    uint32_t place = 0;
    plan->groups = mem_alloc_zero(plan->group_count * sizeof plan->groups[0]);
    for (uint32_t g = 0; g <= m->options.group_count; g++) {
        if (m->place_of_group[g] == 0) {
            continue;
        }
        struct plan_group *group = &plan->groups[place++];
        m->place_of_group[g] = 0;
        group->group = g;
        buf_init(&group->body, SIZE_MAX / 2);
        buf_init(&group->keys, SIZE_MAX / 2);
        buf_init(&group->compares, SIZE_MAX / 2);
        buf_init(&group->watched, SIZE_MAX / 2);
        buf_init(&group->watch_versions, SIZE_MAX / 2);
    }
    ensure(place == plan->group_count);
}

static void find_groups(struct txn_plan *plan, struct txn_manager *m, const struct txn_request *r)
{
    for (size_t i = 0; i < r->command_count; i++) {
        for (size_t k = 0; k < key_count(&r->commands[i]); k++) {
            mark_group(plan, m, key_of(&r->commands[i], k).key);
        }
    }
    for (size_t i = 0; i < r->watch_count; i++) {
        mark_group(plan, m, r->watches[i].key);
    }
    create_groups(plan, m);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void append_command(struct buf *out,
                           const struct txn_command *c,
                           uint8_t resp,
                           const struct bytes *args,
                           size_t arg_count)
{
    struct entry_command e = {
        .id = (uint16_t)c->command->id,
        .semantics = c->command->semantics,
        .resp = resp,
        .database = c->database,
        .arg_count = (uint32_t)arg_count,
    };
    entry_append(out, &e, args);
}

/* Nothing but keys with what belongs to each; MSET with a value missing is for its handler. */
static bool can_cut(const struct txn_command *c)
{
    return router_can_cut(c->command) &&
           key_count(c) * (size_t)c->command->keys.step == c->arg_count - 1;
}

static void add_key(struct plan_group *group, const struct txn_key *key)
{
    txn_key_append(&group->keys, key);
    group->key_count++;
}

static void add_cut(struct txn_plan *plan,
                    struct plan_command *p,
                    const struct txn_command *c,
                    uint8_t resp)
{
    struct bytes *args = mem_alloc(c->arg_count * sizeof args[0]);
    size_t *ends = mem_alloc(p->cut.part_count * sizeof ends[0]);
    router_cut_args(&p->cut, c->command, c->args, c->arg_count, args, ends);
    for (uint32_t i = 0; i < p->cut.part_count; i++) {
        struct plan_group *group = &plan->groups[plan_place(plan, p->cut.groups[i])];
        size_t begin = i > 0 ? ends[i - 1] : 0;
        append_command(&group->body, c, resp, args + begin, ends[i] - begin);
        group->command_count++;
    }
    mem_free(ends);
    mem_free(args);
}

static void add_command(struct txn_plan *plan,
                        struct txn_manager *m,
                        const struct txn_command *c,
                        uint8_t resp)
{
    struct plan_command *p = &plan->commands[plan->command_count++];
    *p = (struct plan_command){.command = c->command};
    p->place = plan_place(plan, group_of(m, key_of(c, 0).key));
    if (txn_needs(m->router, c->command, c->args, c->arg_count)) {
        router_cut_init(&p->cut, m->router, c->command, c->args, c->arg_count);
        add_cut(plan, p, c, resp);
    } else {
        append_command(&plan->groups[p->place].body, c, resp, c->args + 1, c->arg_count - 1);
        plan->groups[p->place].command_count++;
    }
    for (size_t k = 0; k < key_count(c); k++) {
        struct txn_key key = key_of(c, k);
        add_key(&plan->groups[plan_place(plan, group_of(m, key.key))], &key);
    }
}

static void add_commands(struct txn_plan *plan, struct txn_manager *m, const struct txn_request *r)
{
    for (size_t i = 0; i < r->command_count; i++) {
        add_command(plan, m, &r->commands[i], r->resp);
    }
}

/* Adds a key to what is fetched, unless it is there already. */
static void add_once(struct txn_plan *plan,
                     struct txn_manager *m,
                     struct omap *seen,
                     const struct txn_key *key)
{
    struct omap_item item;
    plan_key_name(&m->scratch, key->database, key->key);
    if (!omap_get(seen, buf_bytes(&m->scratch), &item)) {
        omap_put(seen, buf_bytes(&m->scratch), NULL);
        add_key(&plan->groups[plan_place(plan, group_of(m, key->key))], key);
    }
}

/* For a run here: all commands in one piece, and each key once. */
static void add_flat(struct txn_plan *plan, struct txn_manager *m, const struct txn_request *r)
{
    struct omap seen;
    omap_init(&seen);
    for (size_t i = 0; i < r->command_count; i++) {
        const struct txn_command *c = &r->commands[i];
        append_command(&plan->flat, c, r->resp, c->args + 1, c->arg_count - 1);
        plan->command_count++;
        for (size_t k = 0; k < key_count(c); k++) {
            struct txn_key key = key_of(c, k);
            struct txn_key here = {.database = c->database, .key = key.key};
            add_once(plan, m, &seen, &key);
            add_once(plan, m, &seen, &here); /* MOVE looks at it in both databases */
        }
    }
    omap_deinit(&seen);
}

static void add_watches(struct txn_plan *plan, struct txn_manager *m, const struct txn_request *r)
{
    for (size_t i = 0; i < r->watch_count; i++) {
        struct txn_compare compare = r->watches[i];
        struct plan_group *group = &plan->groups[plan_place(plan, group_of(m, compare.key))];
        struct txn_key key = {.database = compare.database, .key = compare.key};
        compare.is_watched = true;
        compare.version = txn_version(compare.version);
        txn_compare_append(&group->compares, &compare);
        group->compare_count++;
        group->watch_count++;
        group->watch_bytes = group->compares.size;
        txn_key_append(&group->watched, &key);
        put_u64_le(buf_reserve(&group->watch_versions, sizeof(uint64_t)), compare.version);
        buf_extend(&group->watch_versions, sizeof(uint64_t));
    }
}

/* ---- the way --------------------------------------------------------------------------------- */

/* Of the commands, before anything of them is kept. */
static enum txn_way choose_way(const struct txn_plan *plan,
                               const struct txn_manager *m,
                               const struct txn_request *r)
{
    if (plan->group_count == 1) {
        return TXN_WAY_ONE;
    }
    for (size_t i = 0; i < r->command_count; i++) {
        const struct txn_command *c = &r->commands[i];
        if (txn_needs(m->router, c->command, c->args, c->arg_count) && !can_cut(c)) {
            return TXN_WAY_GATEWAY;
        }
    }
    return plan->is_reading && !plan->watches_absent ? TXN_WAY_READ : TXN_WAY_VOTE;
}

static uint64_t request_bytes(const struct txn_request *r)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < r->command_count; i++) {
        bytes += entry_command_size(r->commands[i].args, r->commands[i].arg_count);
    }
    for (size_t i = 0; i < r->watch_count; i++) {
        bytes += r->watches[i].key.size;
    }
    return bytes;
}

/* False: beyond a limit, the error is the plan. */
static bool check_limits(struct txn_plan *plan, const struct txn_request *r)
{
    bool is_too_large = request_bytes(r) > TXN_BYTES_MAX ||
                        (plan->way != TXN_WAY_ONE && plan->key_bytes > TXN_BYTES_MAX);
    if (is_too_large) {
        resp_write_errorf(&plan->error, "ERR transaction of more than %u bytes", TXN_BYTES_MAX);
    } else if (plan->key_count > TXN_KEYS_MAX) {
        resp_write_errorf(&plan->error, "ERR more than %u keys in a transaction", TXN_KEYS_MAX);
    }
    return plan->error.size == 0;
}

static bool is_reading(const struct txn_request *r)
{
    for (size_t i = 0; i < r->command_count; i++) {
        if ((r->commands[i].command->flags & COMMAND_READ) == 0) {
            return false;
        }
    }
    return true;
}

void plan_make(struct txn_plan *plan, struct txn_manager *m, const struct txn_request *r)
{
    ensure(r->command_count > 0);
    *plan = (struct txn_plan){.is_reading = is_reading(r)};
    buf_init(&plan->flat, SIZE_MAX / 2);
    buf_init(&plan->error, SIZE_MAX / 2);
    find_groups(plan, m, r);
    for (size_t i = 0; i < r->watch_count; i++) {
        plan->watches_absent = plan->watches_absent || txn_version(r->watches[i].version) == 0;
    }
    plan->way = choose_way(plan, m, r);
    if (!check_limits(plan, r)) {
        plan->way = TXN_WAY_ERROR;
        return;
    }
    if (plan->way == TXN_WAY_GATEWAY) {
        add_flat(plan, m, r);
    } else {
        plan->commands = mem_alloc_zero(r->command_count * sizeof plan->commands[0]);
        add_commands(plan, m, r);
    }
    add_watches(plan, m, r);
}

void plan_make_watch(struct txn_plan *plan,
                     struct txn_manager *m,
                     const struct txn_watch_request *r)
{
    *plan = (struct txn_plan){.way = TXN_WAY_WATCH, .is_reading = true};
    buf_init(&plan->flat, SIZE_MAX / 2);
    buf_init(&plan->error, SIZE_MAX / 2);
    for (size_t i = 0; i < r->key_count; i++) {
        mark_group(plan, m, r->keys[i].key);
    }
    create_groups(plan, m);
    plan->place_of = mem_alloc(r->key_count * sizeof plan->place_of[0]);
    for (size_t i = 0; i < r->key_count; i++) {
        plan->place_of[i] = plan_place(plan, group_of(m, r->keys[i].key));
        add_key(&plan->groups[plan->place_of[i]], &r->keys[i]);
    }
}

void plan_deinit(struct txn_plan *plan)
{
    for (uint32_t i = 0; i < plan->group_count; i++) {
        buf_deinit(&plan->groups[i].body);
        buf_deinit(&plan->groups[i].keys);
        buf_deinit(&plan->groups[i].compares);
        buf_deinit(&plan->groups[i].watched);
        buf_deinit(&plan->groups[i].watch_versions);
    }
    for (size_t i = 0; plan->commands != NULL && i < plan->command_count; i++) {
        router_cut_deinit(&plan->commands[i].cut);
    }
    mem_free(plan->groups);
    mem_free(plan->commands);
    mem_free(plan->place_of);
    buf_deinit(&plan->flat);
    buf_deinit(&plan->error);
}

uint64_t plan_bytes(const struct txn_plan *plan)
{
    uint64_t bytes = plan->flat.size + plan->command_count * sizeof plan->commands[0];
    for (uint32_t i = 0; i < plan->group_count; i++) {
        const struct plan_group *g = &plan->groups[i];
        bytes += sizeof *g + g->body.size + g->keys.size + g->compares.size + g->watched.size;
    }
    return bytes;
}

/* ---- replies --------------------------------------------------------------------------------- */

/* Takes the next reply off the front. False: there is none. */
static bool take_reply(struct bytes *replies, struct bytes *out_reply)
{
    size_t size = 0;
    if (replies->size == 0 || resp_reply_size(*replies, &size) != STATUS_OK) {
        return false;
    }
    *out_reply = bytes_of(replies->data, size);
    *replies = bytes_of(replies->data + size, replies->size - size);
    return true;
}

static void write_merged(const struct plan_command *p, struct bytes *parts, struct buf *out)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->cut.part_count; i++) {
        bytes += parts[i].size;
        if (parts[i].data[0] == '-') {
            buf_append_bytes(out, parts[i]);
            return;
        }
    }
    if (p->command->merge == COMMAND_MERGE_ARRAY && router_cut_is_too_large(&p->cut, bytes)) {
        resp_write_errorf(out,
                          "ERR values of more than %u bytes in one reply",
                          LIMIT_REPLY_VALUES_BYTES);
    } else if (!router_cut_merge(&p->cut, p->command->merge, parts, out)) {
        reached("txn: replies that cannot be merged");
        resp_write_error(out, "ERR the groups of these keys answered in different ways");
    }
}

static bool merge_one(const struct txn_plan *plan,
                      const struct plan_command *p,
                      struct bytes *replies,
                      struct buf *out)
{
    if (p->cut.part_count == 0) {
        struct bytes reply;
        bool is_good = take_reply(&replies[p->place], &reply);
        if (is_good) {
            buf_append_bytes(out, reply);
        }
        return is_good;
    }
    struct bytes *parts = mem_alloc(p->cut.part_count * sizeof parts[0]);
    bool is_good = true;
    for (uint32_t i = 0; i < p->cut.part_count && is_good; i++) {
        is_good = take_reply(&replies[plan_place(plan, p->cut.groups[i])], &parts[i]);
    }
    if (is_good) {
        write_merged(p, parts, out);
    }
    mem_free(parts);
    return is_good;
}

bool plan_merge(const struct txn_plan *plan, struct bytes *replies, struct buf *out)
{
    size_t before = out->size;
    bool is_good = true;
    for (size_t i = 0; i < plan->command_count && is_good; i++) {
        is_good = merge_one(plan, &plan->commands[i], replies, out);
    }
    for (uint32_t i = 0; i < plan->group_count && is_good; i++) {
        is_good = replies[i].size == 0;
    }
    if (!is_good) {
        out->size = before;
    }
    return is_good;
}
