/*
 * Reading without a consensus round: two looks (TXN-14), the versions of WATCH (TXN-21), and what
 * goes to one group alone (TXN-19).
 */
#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "protocol/resp_writer.h"
#include "txn/txn_parts.h"

static void on_look(struct txn_exchange *e,
                    enum txn_result result,
                    const struct txn_answer *answer);

/* ---- life ------------------------------------------------------------------------------------ */

static void create_looks(struct txn *t)
{
    if (t->looks != NULL) {
        return;
    }
    t->looks = mem_alloc_zero(t->plan.group_count * sizeof t->looks[0]);
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        t->looks[i].t = t;
        txn_exchange_init(&t->looks[i].exchange, t->m);
        buf_init(&t->looks[i].seen, SIZE_MAX / 2);
        buf_init(&t->looks[i].expected, SIZE_MAX / 2);
    }
}

void txn_look_deinit(struct txn_look *look)
{
    txn_exchange_deinit(&look->exchange);
    buf_deinit(&look->seen);
    buf_deinit(&look->expected);
}

static const struct plan_group *group_of(const struct txn_look *look)
{
    return &look->t->plan.groups[look - look->t->looks];
}

/* ---- sending --------------------------------------------------------------------------------- */

static void ask(struct txn_look *look, enum command_id command, struct bytes argument)
{
    struct txn *t = look->t;
    look->exchange.done = on_look;
    t->looks_busy++;
    txn_exchange_start(&look->exchange, command, group_of(look)->group, t->resp, argument, NULL);
}

/* All commands of a group, as one request without an id. */
static void append_work(const struct txn *t,
                        const struct plan_group *group,
                        bool is_alone,
                        struct buf *out)
{
    struct txn_work work = {
        .time_ms = 0, /* the leader's clock will do: a read puts no time into the log */
        .flags = t->is_strict ? TXN_STRICT : 0u,
        .compare_count = is_alone ? group->compare_count : 0,
        .command_count = group->command_count,
        .compares = is_alone ? buf_bytes(&group->compares) : (struct bytes){0},
        .body = buf_bytes(&group->body),
    };
    txn_work_append(out, &work);
}

static void check_looks(struct txn *t);

void txn_look(struct txn *t)
{
    create_looks(t);
    t->phase = TXN_PHASE_LOOKING;
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        const struct plan_group *group = &t->plan.groups[i];
        if (t->plan.way == TXN_WAY_WATCH) {
            ask(&t->looks[i], COMMAND_ID_VERSIONS, buf_bytes(&group->keys));
        } else if (group->command_count > 0) { /* what is only watched needs no first look */
            struct buf *argument = txn_scratch(t->m);
            append_work(t, group, false, argument);
            ask(&t->looks[i], COMMAND_ID_EXECREAD, buf_bytes(argument));
        }
    }
}

void txn_look_rows(struct txn *t)
{
    create_looks(t);
    t->phase = TXN_PHASE_LOOKING;
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        if (t->plan.groups[i].key_count > 0) {
            ask(&t->looks[i], COMMAND_ID_ROWS, buf_bytes(&t->plan.groups[i].keys));
        }
    }
}

void txn_prove(struct txn *t)
{
    t->phase = TXN_PHASE_PROVING;
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        struct buf *argument = txn_scratch(t->m);
        buf_append_bytes(argument, buf_bytes(&t->plan.groups[i].keys));
        buf_append_bytes(argument, buf_bytes(&t->plan.groups[i].watched));
        ask(&t->looks[i], COMMAND_ID_VERSIONS, buf_bytes(argument));
    }
}

/* ---- the first look -------------------------------------------------------------------------- */

static bool has_versions(const struct txn_answer *answer, uint64_t count)
{
    return answer->versions.size == count * sizeof(uint64_t);
}

/* Keeps what was seen, and with which versions. False: no answer to this. */
static bool keep_seen(struct txn_look *look)
{
    struct txn_answer answer;
    const struct plan_group *group = group_of(look);
    buf_clear(&look->expected, TXN_SCRATCH_BYTES_KEPT);
    if (group->command_count > 0) {
        struct buf empty = look->seen;
        if (!txn_exchange_answer(&look->exchange, &answer) ||
            !has_versions(&answer, group->key_count)) {
            return false;
        }
        buf_append_bytes(&look->expected, answer.versions);
        look->seen = look->exchange.reply;
        look->exchange.reply = empty;
    }
    buf_append_bytes(&look->expected, buf_bytes(&group->watch_versions));
    return true;
}

static void write_versions(struct txn *t)
{
    size_t *taken = mem_alloc_zero(t->plan.group_count * sizeof taken[0]);
    for (size_t i = 0; i < t->watch->key_count; i++) {
        uint32_t place = t->plan.place_of[i];
        struct txn_answer answer;
        bool is_good = txn_exchange_answer(&t->looks[place].exchange, &answer);
        ensure(is_good); /* on_look has looked at it */
        t->watch->versions[i] = txn_version(get_u64_le(answer.versions.data + taken[place]));
        taken[place] += sizeof(uint64_t);
    }
    mem_free(taken);
}

static void finish_strange(struct txn *t)
{
    reached("txn: an answer of a group that does not fit");
    txn_finish_text(t,
                    TXN_NOT_EXECUTED,
                    "ERR what the groups of these keys answered is too large, or makes no sense; "
                    "nothing was executed");
}

static void first_look_done(struct txn *t)
{
    if (t->plan.way == TXN_WAY_WATCH) {
        write_versions(t);
        txn_finish(t, TXN_COMMITTED);
        return;
    }
    if (t->plan.way == TXN_WAY_GATEWAY) {
        txn_gateway_run(t);
        return;
    }
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        if (!keep_seen(&t->looks[i])) {
            finish_strange(t);
            return;
        }
    }
    txn_prove(t); /* after the last answer of the first look */
}

/* ---- the second look ------------------------------------------------------------------------- */

enum proof {
    PROOF_EQUAL,
    PROOF_DIFFERS,
    PROOF_CHANGED,
    PROOF_STRANGE
};

/* A watched key that differs is the client's answer; any other is only not seen at one moment. */
static enum proof prove_one(const struct txn_look *look)
{
    struct txn_answer answer;
    const struct plan_group *group = group_of(look);
    uint64_t watch_bytes = group->watch_versions.size;
    if (!txn_exchange_answer(&look->exchange, &answer) ||
        answer.versions.size != look->expected.size || answer.versions.size < watch_bytes) {
        return PROOF_STRANGE;
    }
    size_t own_bytes = look->expected.size - watch_bytes;
    for (size_t at = own_bytes; at < answer.versions.size; at += sizeof(uint64_t)) {
        uint64_t version = txn_version(get_u64_le(answer.versions.data + at));
        if (version != get_u64_le(look->expected.data + at)) {
            return PROOF_CHANGED;
        }
    }
    bool is_equal =
        own_bytes == 0 || memcmp(answer.versions.data, look->expected.data, own_bytes) == 0;
    return is_equal ? PROOF_EQUAL : PROOF_DIFFERS;
}

static void answer_seen(struct txn *t)
{
    struct bytes *replies = mem_alloc_zero(t->plan.group_count * sizeof replies[0]);
    bool is_good = true;
    for (uint32_t i = 0; i < t->plan.group_count && is_good; i++) {
        struct txn_answer answer;
        if (t->plan.groups[i].command_count > 0) {
            is_good = txn_answer_of(buf_bytes(&t->looks[i].seen), &answer) &&
                      answer.reply_count == t->plan.groups[i].command_count;
            replies[i] = answer.replies;
        }
    }
    is_good = is_good && plan_merge(&t->plan, replies, t->request->replies);
    mem_free(replies);
    if (is_good) {
        txn_finish(t, TXN_COMMITTED);
    } else {
        finish_strange(t);
    }
}

static void second_look_done(struct txn *t)
{
    enum proof worst = PROOF_EQUAL;
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        enum proof proof = prove_one(&t->looks[i]);
        worst = proof > worst ? proof : worst;
    }
    switch (worst) {
    case PROOF_EQUAL:
        if (t->plan.way == TXN_WAY_GATEWAY) {
            txn_gateway_answer(t);
        } else {
            answer_seen(t);
        }
        return;
    case PROOF_DIFFERS:
        reached("txn: the second look differs");
        t->looked++;
        t->m->counts.read_again++;
        if (t->looked <= TXN_LOOKS_MAX && t->plan.way == TXN_WAY_READ) {
            txn_begin(t);
        } else {
            txn_again(t);
        }
        return;
    case PROOF_CHANGED:
        txn_finish(t, TXN_CHANGED);
        return;
    case PROOF_STRANGE:
        finish_strange(t);
        return;
    }
    unreachable("every proof means something");
}

/* ---- answers --------------------------------------------------------------------------------- */

/* True: goes on. False: the client has its answer. */
static bool is_look_good(struct txn_look *look,
                         enum txn_result result,
                         const struct txn_answer *answer)
{
    struct txn *t = look->t;
    if (result == TXN_RESULT_REFUSED) {
        txn_finish_error(t, TXN_NOT_EXECUTED, buf_bytes(&look->exchange.reply));
        return false;
    }
    if (result == TXN_RESULT_ANSWER && answer->state == TXN_STATE_NO_ERROR) {
        buf_append_bytes(t->request->replies, answer->replies);
        txn_finish(t, TXN_FAILED);
        return false;
    }
    bool is_watch = t->plan.way == TXN_WAY_WATCH;
    if (result != TXN_RESULT_ANSWER || answer->state != TXN_STATE_COMMITTED ||
        (is_watch && !has_versions(answer, group_of(look)->key_count))) {
        finish_strange(t);
        return false;
    }
    return true;
}

static void check_looks(struct txn *t)
{
    if (t->looks_busy > 0) {
        return;
    }
    if (t->phase == TXN_PHASE_LOOKING) {
        first_look_done(t);
    } else {
        second_look_done(t);
    }
}

static void on_look(struct txn_exchange *e, enum txn_result result, const struct txn_answer *answer)
{
    struct txn_look *look = container_of(e, struct txn_look, exchange);
    struct txn *t = look->t;
    t->looks_busy--;
    if (t->phase == TXN_PHASE_ANSWERED) {
        txn_release(t);
    } else if (is_look_good(look, result, answer)) {
        check_looks(t);
    }
}

/* ---- one group alone ------------------------------------------------------------------------- */

static void one_answered(struct txn *t, const struct txn_answer *answer)
{
    if (answer->state == TXN_STATE_NO_COMPARE) {
        txn_finish(t, TXN_CHANGED);
    } else if (answer->state == TXN_STATE_NO_ERROR) {
        buf_append_bytes(t->request->replies, answer->replies);
        txn_finish(t, TXN_FAILED);
    } else if (answer->state == TXN_STATE_COMMITTED &&
               answer->reply_count == t->plan.groups[0].command_count) {
        struct bytes replies = answer->replies;
        buf_append_bytes(t->request->replies, replies);
        txn_finish(t, TXN_COMMITTED);
    } else {
        reached("txn: an answer of the one group that does not fit");
        txn_finish_text(t,
                        t->plan.is_reading ? TXN_NOT_EXECUTED : TXN_UNKNOWN,
                        t->plan.is_reading ? "ERR the group of these keys makes no sense"
                                           : "UNKNOWNRESULT the transaction's replies are lost");
    }
}

static void on_one(struct txn_exchange *e, enum txn_result result, const struct txn_answer *answer)
{
    struct txn_look *look = container_of(e, struct txn_look, exchange);
    struct txn *t = look->t;
    t->looks_busy--;
    if (t->plan.way == TXN_WAY_WATCH) {
        if (is_look_good(look, result, answer)) {
            check_looks(t);
        }
        return;
    }
    switch (result) {
    case TXN_RESULT_ANSWER:
        one_answered(t, answer);
        return;
    case TXN_RESULT_REFUSED:
        txn_finish_error(t, TXN_NOT_EXECUTED, buf_bytes(&e->reply));
        return;
    case TXN_RESULT_UNKNOWN:
        if (t->plan.is_reading) {
            finish_strange(t);
        } else {
            txn_finish_text(t,
                            TXN_UNKNOWN,
                            "UNKNOWNRESULT the transaction may or may not have been executed (no "
                            "answer of its group in time, or a lost reply)");
        }
        return;
    }
    unreachable("every result means something");
}

void txn_look_one(struct txn *t, struct router_stream *stream)
{
    const struct plan_group *group = &t->plan.groups[0];
    struct buf *argument = txn_scratch(t->m);
    enum command_id command = COMMAND_ID_VERSIONS;
    create_looks(t);
    t->phase = TXN_PHASE_LOOKING;
    if (t->plan.way == TXN_WAY_WATCH) {
        buf_append_bytes(argument, buf_bytes(&group->keys));
    } else {
        command = t->plan.is_reading ? COMMAND_ID_EXECREAD : COMMAND_ID_EXEC;
        append_work(t, group, true, argument);
    }
    t->looks[0].exchange.done = on_one;
    t->looks_busy = 1;
    txn_exchange_start(&t->looks[0].exchange,
                       command,
                       group->group,
                       t->resp,
                       buf_bytes(argument),
                       stream);
}
