/* What clients of transactions are told, and whether such an answer can be. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "protocol/resp_reply.h"
#include "sim/dealer.h"

#define TAGS_MAX 4096u
#define TAG_DIGITS 6u

/* ---- values ---------------------------------------------------------------------------------- */

static bool take_digit(uint8_t c, uint32_t *inout_number)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != 0 ? strchr(digits, c) : NULL;
    *inout_number = *inout_number * 16 + (at != NULL ? (uint32_t)(at - digits) : 0);
    return at != NULL;
}

/* "00002a;" again and again. */
static bool parse_tags(struct bytes text, uint32_t *out_tags, uint32_t *out_count)
{
    *out_count = (uint32_t)(text.size / DEALER_TAG_BYTES);
    if (text.size % DEALER_TAG_BYTES != 0 || *out_count > TAGS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < *out_count; i++) {
        const uint8_t *tag = text.data + (size_t)i * DEALER_TAG_BYTES;
        out_tags[i] = 0;
        for (unsigned k = 0; k < TAG_DIGITS; k++) {
            if (!take_digit(tag[k], &out_tags[i])) {
                return false;
            }
        }
        if (tag[TAG_DIGITS] != ';') {
            return false;
        }
    }
    return true;
}

static bool is_ok(const struct resp_value *v)
{
    return v->type == RESP_TYPE_SIMPLE && bytes_equal_text(v->text, "OK");
}

static bool is_error(const struct resp_value *v, const char *text)
{
    return v->type == RESP_TYPE_ERROR && bytes_equal_text(v->text, text);
}

static bool begins_with(const struct resp_value *v, const char *prefix)
{
    size_t size = strlen(prefix);
    return v->type == RESP_TYPE_ERROR && v->text.size >= size &&
           memcmp(v->text.data, prefix, size) == 0;
}

static bool take_list(struct dealer *c, size_t step, const struct resp_value *v)
{
    static uint32_t tags[TAGS_MAX];
    uint32_t count = 0;
    bool is_text = v->type == RESP_TYPE_BULK && !resp_value_is_null(v);
    if (!resp_value_is_null(v) && (!is_text || !parse_tags(v->text, tags, &count))) {
        return false;
    }
    struct append_history *h = &c->deals->history;
    if (!append_read(h, step, tags, count)) {
        world_fail(c->deals->world, "dealer %u: %s", c->index, h->failure);
        return false;
    }
    if (c->told_count < DEALER_WATCHED_MAX) {
        c->lengths[c->told_count++] = count;
    }
    return true;
}

static bool take_length(struct dealer *c, size_t step, const struct resp_value *v)
{
    int64_t size = (int64_t)DEALER_TAG_BYTES;
    if (v->type != RESP_TYPE_INTEGER || v->integer <= 0 || v->integer % size != 0) {
        return false;
    }
    append_told(&c->deals->history, step, v->integer / size);
    c->deals->appended++;
    return true;
}

static bool take_number(const struct resp_value *v, int64_t *out_number)
{
    *out_number = 0;
    return resp_value_is_null(v) ||
           (v->type == RESP_TYPE_BULK && bytes_to_i64(v->text, out_number));
}

static bool take_account(struct dealer *c, const struct resp_value *v)
{
    return c->told_count < 2 && take_number(v, &c->balances[c->told_count++]);
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static bool take_lists(struct dealer *c, const struct item *item, struct bytes *rest)
{
    for (unsigned i = 0; i < item->count; i++) {
        struct resp_value v;
        if (resp_value_read(rest, &v) != STATUS_OK || !take_list(c, item->step + i, &v)) {
            return false;
        }
    }
    return true;
}

static bool take_accounts(struct dealer *c, const struct item *item, struct bytes *rest)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < item->count; i++) {
        struct resp_value v;
        int64_t number = 0;
        if (resp_value_read(rest, &v) != STATUS_OK || !take_number(&v, &number)) {
            return false;
        }
        sum += number;
    }
    c->deals->sums++;
    if (sum != 0) {
        world_fail(c->deals->world, "dealer %u: the bank has %" PRId64 " too much", c->index, sum);
    }
    return sum == 0;
}

static bool take_places(struct dealer *c, const struct item *item, struct bytes *rest)
{
    struct deals *d = c->deals;
    unsigned found = 0;
    c->place = -1;
    for (unsigned i = 0; i < item->count; i++) {
        struct resp_value v;
        if (resp_value_read(rest, &v) != STATUS_OK) {
            return false;
        }
        if (!resp_value_is_null(&v)) {
            found++;
            c->place = i;
        }
    }
    unsigned least = d->token_since_us < c->began_us ? 1 : 0;
    if (found > 1 || found < least) {
        world_fail(d->world, "dealer %u: the token is in %u places", c->index, found);
        return false;
    }
    if (found == 1 && d->token_since_us == UINT64_MAX) {
        d->token_since_us = d->world->now_us;
    }
    return true;
}

static bool take_trio(struct dealer *c, const struct item *item, struct bytes *rest)
{
    struct bytes first = {0};
    for (unsigned i = 0; i < item->count; i++) {
        struct resp_value v;
        if (resp_value_read(rest, &v) != STATUS_OK) {
            return false;
        }
        struct bytes text = resp_value_is_null(&v) ? bytes_of(NULL, 0) : v.text;
        first = i == 0 ? text : first;
        if (!bytes_equal(text, first)) {
            world_fail(c->deals->world, "dealer %u: the trio differs", c->index);
            return false;
        }
    }
    return true;
}

static bool take_array(struct dealer *c,
                       const struct item *item,
                       const struct resp_value *v,
                       struct bytes *rest)
{
    if (v->type != RESP_TYPE_ARRAY || v->count != (int64_t)item->count) {
        return false;
    }
    switch ((unsigned)item->kind) {
    case ITEM_MGET:
        return take_lists(c, item, rest);
    case ITEM_ACCOUNTS:
        return take_accounts(c, item, rest);
    case ITEM_PLACES:
        return take_places(c, item, rest);
    default:
        return take_trio(c, item, rest);
    }
}

/* ---- one reply ------------------------------------------------------------------------------- */

/* Right, for a command that was executed. */
static bool take_value(struct dealer *c,
                       const struct item *item,
                       const struct resp_value *v,
                       struct bytes *rest)
{
    switch (item->kind) {
    case ITEM_OK:
        return is_ok(v);
    case ITEM_QUEUED:
        return v->type == RESP_TYPE_SIMPLE && bytes_equal_text(v->text, "QUEUED");
    case ITEM_APPEND:
        return take_length(c, item->step, v);
    case ITEM_GET:
        return take_list(c, item->step, v);
    case ITEM_NO_INTEGER:
        return is_error(v, "ERR value is not an integer or out of range");
    case ITEM_INTEGER:
        return v->type == RESP_TYPE_INTEGER;
    case ITEM_BRIEF:
        return resp_value_is_null(v) ||
               (v->type == RESP_TYPE_BULK && bytes_equal_text(v->text, "v"));
    case ITEM_ACCOUNT:
        return take_account(c, v);
    case ITEM_MGET:
    case ITEM_ACCOUNTS:
    case ITEM_PLACES:
    case ITEM_TRIO:
        return take_array(c, item, v, rest);
    case ITEM_MOVED:
        return is_ok(v) || (v->type == RESP_TYPE_INTEGER && v->integer == 1) ||
               is_error(v, "ERR no such key");
    case ITEM_TRIO_COUNT:
        return v->type == RESP_TYPE_INTEGER && (v->integer == 0 || v->integer == 3);
    case ITEM_EXEC:
        break;
    }
    return false;
}

static enum fate take_replies_of_exec(struct dealer *c,
                                      const struct resp_value *v,
                                      struct bytes rest)
{
    bool must_not = c->must_fail || c->must_change;
    if (must_not || v->type != RESP_TYPE_ARRAY || v->count != (int64_t)c->inside.count) {
        return FATE_BAD;
    }
    for (size_t i = 0; i < c->inside.count; i++) {
        struct resp_value part;
        if (resp_value_read(&rest, &part) != STATUS_OK ||
            !take_value(c, &c->inside.items[i], &part, &rest)) {
            return FATE_BAD;
        }
    }
    c->deals->done++;
    return FATE_TOLD;
}

/* Nil, an error, or the replies of its commands. */
static enum fate take_exec(struct dealer *c,
                           const struct item *item,
                           const struct resp_value *v,
                           struct bytes rest)
{
    if (resp_value_is_null(v)) {
        c->deals->changed++;
        return c->may_change || c->must_change ? FATE_REFUSED : FATE_BAD;
    }
    if (begins_with(v, "EXECABORT ")) {
        c->deals->failed++;
        return c->must_fail || c->has_trouble ? FATE_REFUSED : FATE_BAD;
    }
    if (v->type == RESP_TYPE_ERROR) {
        return client_fate_of_error(c->deals->workload, v->text, item->is_write);
    }
    return take_replies_of_exec(c, v, rest);
}

static enum fate take(struct dealer *c,
                      const struct item *item,
                      const struct resp_value *v,
                      struct bytes rest)
{
    if (item->kind == ITEM_EXEC) {
        return take_exec(c, item, v, rest);
    }
    if (take_value(c, item, v, &rest)) {
        return FATE_TOLD;
    }
    bool is_error = v->type == RESP_TYPE_ERROR && !c->deals->world->is_failed;
    bool is_of_many = item->count > 1; /* even a read of several groups may need an entry */
    return is_error
               ? client_fate_of_error(c->deals->workload, v->text, item->is_write || is_of_many)
               : FATE_BAD;
}

static void note_deal(struct dealer *c,
                      const struct item *item,
                      const struct resp_value *v,
                      enum fate fate)
{
    enum append_fate told = fate == FATE_TOLD      ? APPEND_DONE
                            : fate == FATE_REFUSED ? APPEND_NEVER
                                                   : APPEND_UNKNOWN;
    bool is_nil = item->kind == ITEM_EXEC && resp_value_is_null(v);
    told = is_nil && c->watched_count > 0 ? APPEND_CHANGED : told;
    append_end(&c->deals->history, item->deal, told, c->deals->world->now_us);
}

static void fail_reply(struct dealer *c, const struct item *item, const struct resp_value *v)
{
    size_t size = v->text.size < 200 ? v->text.size : 200;
    world_fail(c->deals->world,
               "dealer %u: unexpected reply in a deal of kind %d round %u, to item %d: type %d "
               "integer %" PRId64 " count %" PRId64 " text '%.*s'",
               c->index,
               (int)c->kind,
               c->round,
               (int)item->kind,
               (int)v->type,
               v->integer,
               v->count,
               (int)size,
               v->text.data != NULL ? (const char *)v->text.data : "");
}

static void take_reply(struct dealer *c, const struct resp_value *v, struct bytes rest)
{
    static const char *const fates[] = {"told", "refused", "silent", "unknown", "bad"};
    struct workload *w = c->deals->workload;
    struct item none = {.kind = ITEM_OK};
    if (c->direct.first == c->direct.count) {
        fail_reply(c, &none, v);
        return;
    }
    struct item item = c->direct.items[c->direct.first++];
    enum fate fate = take(c, &item, v, rest);
    world_trace(w->world, "dealer %u is told: item %d %s", c->index, item.kind, fates[fate]);
    if (fate == FATE_BAD) {
        fail_reply(c, &item, v);
        return;
    }
    c->has_trouble = c->has_trouble || fate != FATE_TOLD;
    bool counts = item.kind != ITEM_QUEUED && item.kind != ITEM_OK;
    w->operations += counts && fate == FATE_TOLD ? 1 : 0;
    w->refused += fate == FATE_REFUSED ? 1 : 0;
    w->unknown += fate == FATE_UNKNOWN ? 1 : 0;
    if (item.deal != DEALER_NO_DEAL) {
        note_deal(c, &item, v, fate);
    }
}

void deal_take_replies(struct dealer *c)
{
    struct bytes rest = buf_bytes(&c->input);
    while (rest.size > 0 && !c->deals->world->is_failed) {
        struct resp_value value = {0};
        size_t size = 0;
        enum status s = resp_reply_size(rest, &size);
        if (s == STATUS_NEED) {
            break;
        }
        struct bytes parts = bytes_of(rest.data, size);
        if (s != STATUS_OK || resp_value_read(&parts, &value) != STATUS_OK) {
            world_fail(c->deals->world, "dealer %u: a malformed reply", c->index);
            return;
        }
        take_reply(c, &value, parts);
        rest = bytes_of(rest.data + size, rest.size - size);
    }
    buf_drop_front(&c->input, c->input.size - rest.size);
}
