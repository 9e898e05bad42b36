#include "sim/history.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/expiry.h"

#define CHECK_BUDGET 40000000u

void history_init(struct history *h, struct world *world, unsigned keys, unsigned expiring_keys)
{
    *h = (struct history){.world = world, .key_count = keys + expiring_keys};
    ensure(h->key_count <= HISTORY_KEYS_MAX);
    for (unsigned i = 0; i < h->key_count; i++) {
        struct history_key *key = &h->keys[i];
        key->is_expiring = i >= keys;
        key->is_counter = i % 2 == 0;
        key->is_slow = i % 3 == 0;
        (void)snprintf(key->name, sizeof key->name, "%s%u", key->is_expiring ? "brief" : "key", i);
    }
}

void history_deinit(struct history *h)
{
    for (unsigned i = 0; i < h->key_count; i++) {
        mem_free(h->keys[i].operations);
        mem_free(h->keys[i].is_void);
    }
    *h = (struct history){0};
}

size_t history_add(struct history_key *key, const struct linear_operation *op)
{
    if (key->count == key->capacity) {
        key->capacity = key->capacity > 0 ? key->capacity * 2 : 64;
        key->operations = mem_realloc(key->operations, key->capacity * sizeof *key->operations);
        key->is_void = mem_realloc(key->is_void, key->capacity * sizeof *key->is_void);
    }
    key->operations[key->count] = *op;
    key->is_void[key->count] = false;
    return key->count++;
}

/* ---- judging --------------------------------------------------------------------------------- */

static void drop_void(struct history_key *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < key->count; i++) {
        if (!key->is_void[i]) {
            key->is_void[kept] = false;
            key->operations[kept++] = key->operations[i];
        }
    }
    key->count = kept;
}

static void check_linear(struct history *h, struct history_key *key, struct buf *out_report)
{
    size_t at = out_report->size;
    buf_printf(out_report, "%s, %zu operations:\n", key->name, key->count);
    struct linear_result r = linear_check(key->operations, key->count, CHECK_BUDGET, out_report);
    if (r.verdict == LINEAR_OK) {
        out_report->size = at;
        return;
    }
    h->undecided += r.verdict == LINEAR_BUDGET ? 1 : 0;
    world_fail(h->world,
               "%s is %s",
               key->name,
               r.verdict == LINEAR_BUDGET ? "undecided: the check ran out of its budget"
                                          : "not linearizable");
}

void history_check(struct history *h, struct buf *out_report)
{
    for (unsigned i = 0; i < h->key_count; i++) {
        struct history_key *key = &h->keys[i];
        drop_void(key);
        if (key->is_expiring) {
            expiry_check(h->world, key);
        } else {
            check_linear(h, key, out_report);
        }
    }
}
