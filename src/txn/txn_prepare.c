/*
 * One id of a transaction, from its votes until everybody has confirmed the outcome (TXN-1 to
 * TXN-9, TXN-16). The gateway decides nothing: it adds up what was applied, like any recoverer.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/endian.h"
#include "base/mem.h"
#include "txn/txn_parts.h"

#define BIT(phase) (1u << (phase))

/* Of each phase: what is sent, and what may follow. */
static const struct {
    enum command_id command;
    unsigned next;
} phases[] = {
    [PART_NEW] = {.next = BIT(PART_PREPARE) | BIT(PART_CHECK) | BIT(PART_DONE)},
    [PART_PREPARE] = {.command = COMMAND_ID_TXNPREPARE,
                      .next = BIT(PART_VOTED) | BIT(PART_CHECK) | BIT(PART_ABORT)},
    [PART_CHECK] = {.command = COMMAND_ID_TXNCHECK,
                    .next = BIT(PART_VOTED) | BIT(PART_CHECK) | BIT(PART_ABORT)},
    [PART_VOTED] = {.next = BIT(PART_COMMIT) | BIT(PART_ABORT) | BIT(PART_CHECK) | BIT(PART_DONE)},
    [PART_COMMIT] = {.command = COMMAND_ID_TXNCOMMIT, .next = BIT(PART_COMMIT) | BIT(PART_DONE)},
    [PART_ABORT] = {.command = COMMAND_ID_TXNABORT, .next = BIT(PART_ABORT) | BIT(PART_DONE)},
    [PART_DONE] = {.next = 0},
};

static void try_step(struct txn_try *try);

/* ---- life ------------------------------------------------------------------------------------ */

static void on_part(struct txn_exchange *e,
                    enum txn_result result,
                    const struct txn_answer *answer);

struct txn_try *txn_try_create(struct txn_manager *m, uint32_t part_count)
{
    struct txn_try *try = mem_alloc_zero(sizeof *try + part_count * sizeof try->parts[0]);
    try->m = m;
    try->since_us = env_now_us(m->env);
    try->part_count = part_count;
    list_init(&try->link);
    list_init(&try->commit_link);
    buf_init(&try->participants, SIZE_MAX / 2);
    for (uint32_t i = 0; i < part_count; i++) {
        try->parts[i].try = try;
        list_init(&try->parts[i].open_link);
        txn_exchange_init(&try->parts[i].exchange, m);
        try->parts[i].exchange.done = on_part;
    }
    m->memory += sizeof *try + part_count * sizeof try->parts[0];
    return try;
}

void txn_try_destroy(struct txn_try *try)
{
    list_remove(&try->link);
    list_remove(&try->commit_link);
    try->m->try_count -= try->is_recovery ? 0 : 1;
    try->m->memory -= sizeof *try + try->part_count * sizeof try->parts[0];
    for (uint32_t i = 0; i < try->part_count; i++) {
        txn_due_clear(&try->parts[i].again);
        list_remove(&try->parts[i].open_link);
        txn_exchange_deinit(&try->parts[i].exchange);
    }
    buf_deinit(&try->participants);
    mem_free(try);
}

uint64_t txn_mark(const struct txn_manager *m, uint32_t group)
{
    const struct list *open = &m->groups[group].open;
    if (list_is_empty(open)) {
        return m->sequence_last;
    }
    return container_of(open->next, struct txn_part, open_link)->try->id.sequence - 1;
}

const char *txn_try_state(const struct txn_try *try)
{
    static const char *const states[] = {
        [TXN_OPEN] = "voting",
        [TXN_COMMITS] = "committing",
        [TXN_ABORTS] = "aborting",
    };
    return states[try->decision];
}

/* ---- sending --------------------------------------------------------------------------------- */

static void append_prepare(const struct txn_part *part, struct buf *out)
{
    const struct txn_try *try = part->try;
    const struct txn_plan *plan = &try->txn->plan;
    const struct plan_group *group = &plan->groups[plan_place(plan, part->group)];
    bool is_effects = plan->way == TXN_WAY_GATEWAY;
    struct txn_work work = {
        .id = try->id,
        .mark = part->mark,
        .time_ms = try->time_ms,
        .flags = try->flags,
        .participant_count = try->part_count,
        .compare_count = group->compare_count,
        .command_count = is_effects ? 0 : group->command_count,
        .participants = buf_bytes(&try->participants),
        .compares = buf_bytes(&group->compares),
        .body = buf_bytes(&group->body),
    };
    txn_work_append(out, &work);
}

static void move(struct txn_part *part, enum part_phase phase)
{
    ensure((phases[part->phase].next & BIT(phase)) != 0);
    part->phase = phase;
}

static void part_send(struct txn_part *part, enum part_phase phase)
{
    struct txn_try *try = part->try;
    struct txn_manager *m = try->m;
    move(part, phase);
    part->mark = try->is_recovery ? 0 : txn_mark(m, part->group);
    struct buf *argument = txn_scratch(m);
    if (phase == PART_PREPARE) {
        append_prepare(part, argument);
    } else {
        struct txn_order order = {.id = try->id, .mark = part->mark};
        txn_order_append(argument, &order);
    }
    uint8_t resp = try->txn != NULL ? try->txn->resp : 2;
    txn_exchange_start(&part->exchange,
                       phases[phase].command,
                       part->group,
                       resp,
                       buf_bytes(argument),
                       NULL);
}

static bool is_waiting(const struct txn_part *part)
{
    return part->again.link.next != NULL && !list_is_empty(&part->again.link);
}

static void again_due(struct txn_due *due)
{
    try_step(container_of(due, struct txn_part, again)->try);
}

/* What is under way has failed; it is sent again, after a while. */
static void part_failed(struct txn_part *part)
{
    struct txn_manager *m = part->try->m;
    part->again.fn = again_due;
    txn_due_set(m,
                &part->again,
                txn_delay_ms(m, part->failures++, TXN_AGAIN_MS_MIN, TXN_AGAIN_MS_MAX));
}

/* ---- what a vote means ----------------------------------------------------------------------- */

static bool is_yes(const struct txn_part *part)
{
    return part->state == TXN_STATE_YES || part->state == TXN_STATE_COMMITTED;
}

/* Applied, so for good (TXN-4); or PREPARE will certainly never be voted on. */
static bool is_no(const struct txn_part *part)
{
    return txn_state_is_no(part->state) || part->state == TXN_STATE_ABORTED || part->is_refused;
}

static void violated(const struct txn_try *try, const char *rule)
{
    env_halt(try->m->env,
             "transaction %" PRIu32 ".%" PRIu32 ".%" PRIu64 ": %s; the data of some node is "
             "damaged or came from an older copy: keep all of it, and report this",
             try->id.node,
             try->id.incarnation,
             try->id.sequence,
             rule);
}

/* All yes commits, one no aborts, whatever else is said later (TXN-7). Answers are not counted. */
static enum txn_decision judge(const struct txn_try *try)
{
    bool are_all_yes = true;
    bool is_one_no = false;
    bool is_one_committed = false;
    for (uint32_t i = 0; i < try->part_count; i++) {
        const struct txn_part *part = &try->parts[i];
        are_all_yes = are_all_yes && is_yes(part);
        is_one_no = is_one_no || is_no(part);
        is_one_committed = is_one_committed || part->state == TXN_STATE_COMMITTED;
    }
    if (is_one_no && is_one_committed) {
        violated(try, "committed in one group, and refused in another (TXN-7)");
        return TXN_OPEN;
    }
    return is_one_no ? TXN_ABORTS : are_all_yes ? TXN_COMMITS : TXN_OPEN;
}

/* ---- the client's answer --------------------------------------------------------------------- */

/* The replies that travelled with a vote; borrowed until the part sends something else. */
static struct bytes replies_of(const struct txn_part *part, uint32_t *out_count)
{
    struct txn_answer answer;
    *out_count = 0;
    if (!txn_exchange_answer(&part->exchange, &answer)) {
        return (struct bytes){0};
    }
    *out_count = answer.reply_count;
    return answer.replies;
}

static bool write_replies(struct txn *t, const struct txn_try *try)
{
    if (t->plan.way == TXN_WAY_GATEWAY) {
        buf_append_bytes(t->request->replies, buf_bytes(&t->replies));
        return true;
    }
    struct bytes *replies = mem_alloc(try->part_count * sizeof replies[0]);
    bool is_good = true;
    for (uint32_t i = 0; i < try->part_count; i++) {
        uint32_t count = 0;
        replies[i] = replies_of(&try->parts[i], &count);
        is_good = is_good && count == t->plan.groups[i].command_count;
    }
    is_good = is_good && plan_merge(&t->plan, replies, t->request->replies);
    mem_free(replies);
    return is_good;
}

/* What the votes mean for the client, with its replies; or that it is worth another try. */
enum verdict {
    VERDICT_ANSWERS,
    VERDICT_AGAIN
};

static enum verdict answer_commit(struct txn *t,
                                  const struct txn_try *try,
                                  enum txn_outcome *out_outcome)
{
    static const char lost[] = "-UNKNOWNRESULT the transaction was executed; its replies are "
                               "lost\r\n";
    *out_outcome = TXN_COMMITTED;
    if (!write_replies(t, try)) {
        reached("txn: committed, and the replies are lost");
        buf_append_text(t->request->replies, lost);
        *out_outcome = TXN_UNKNOWN;
    }
    return VERDICT_ANSWERS;
}

static enum verdict answer_abort(struct txn *t,
                                 const struct txn_try *try,
                                 enum txn_outcome *out_outcome)
{
    const struct txn_part *refused = NULL;
    const struct txn_part *failed = NULL;
    bool is_changed = false;
    bool is_conflict = false;
    for (uint32_t i = 0; i < try->part_count; i++) {
        const struct txn_part *part = &try->parts[i];
        is_changed = is_changed || (part->state == TXN_STATE_NO_COMPARE && part->is_watched);
        is_conflict = is_conflict || part->state == TXN_STATE_NO_CONFLICT;
        failed = part->state == TXN_STATE_NO_ERROR ? part : failed;
        refused = part->is_refused ? part : refused;
    }
    if (is_changed) {
        *out_outcome = TXN_CHANGED;
        return VERDICT_ANSWERS;
    }
    if (failed != NULL) {
        uint32_t count = 0;
        buf_append_bytes(t->request->replies, replies_of(failed, &count));
        *out_outcome = TXN_FAILED;
        return VERDICT_ANSWERS;
    }
    if (refused != NULL) {
        buf_append_bytes(t->request->replies, buf_bytes(&refused->exchange.reply));
        *out_outcome = TXN_NOT_EXECUTED;
        return VERDICT_ANSWERS;
    }
    t->m->counts.conflicts += is_conflict ? 1 : 0;
    t->conflicts += is_conflict ? 1 : 0;
    return VERDICT_AGAIN;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The next question to a part that nothing is under way with, while the outcome is open. */
static void ask(struct txn_part *part)
{
    switch (part->phase) {
    case PART_NEW:
        part_send(part, part->try->is_recovery ? PART_CHECK : PART_PREPARE);
        return;
    case PART_PREPARE: /* its fate is unknown (TXN-5) */
        reached("txn: a vote that was not heard is asked for");
        part_send(part, PART_CHECK);
        return;
    case PART_CHECK:
        part_send(part, PART_CHECK);
        return;
    case PART_VOTED:
        return;
    case PART_COMMIT:
    case PART_ABORT:
    case PART_DONE:
        break;
    }
    unreachable("no outcome is told before it is known");
}

static bool is_idle(const struct txn_part *part)
{
    return !part->exchange.is_busy && !is_waiting(part);
}

/* All at once; ordered: the next one when the one before it has voted (TXN-16). */
static void ask_parts(struct txn_try *try)
{
    for (uint32_t i = 0; i < try->part_count; i++) {
        struct txn_part *part = &try->parts[i];
        if (is_idle(part)) {
            ask(part);
        }
        if (try->is_ordered && part->phase != PART_VOTED) {
            return;
        }
    }
}

/*
 * PREPARE was never sent there, or each copy of it was refused before the log: nobody will ever
 * find a yes there. It need not confirm anything (TXN-9); without a leader it could not.
 */
static bool is_untouched(const struct txn_part *part)
{
    return !part->try->is_recovery && (part->phase == PART_NEW || part->is_untouched);
}

static void tell_parts(struct txn_try *try)
{
    enum part_phase phase = try->decision == TXN_COMMITS ? PART_COMMIT : PART_ABORT;
    for (uint32_t i = 0; i < try->part_count; i++) {
        struct txn_part *part = &try->parts[i];
        if (part->phase != PART_DONE && is_untouched(part)) {
            move(part, PART_DONE);
        }
        if (part->phase == PART_CHECK) {
            txn_due_clear(&part->again); /* no need to ask any more */
        }
        if (part->phase != PART_DONE && is_idle(part)) {
            part_send(part, phase);
        }
    }
}

static bool are_all_done(const struct txn_try *try)
{
    for (uint32_t i = 0; i < try->part_count; i++) {
        if (try->parts[i].phase != PART_DONE) {
            return false;
        }
    }
    return true;
}

static void end(struct txn_try *try)
{
    struct txn_manager *m = try->m;
    bool is_recovery = try->is_recovery;
    struct txn_id id = try->id;
    txn_try_destroy(try);
    if (is_recovery) {
        txn_recover_forget(m, &id);
    } else {
        txn_mark_changed(m); /* everybody has confirmed: the mark may pass it (TXN-9) */
    }
}

void txn_commit_all(struct txn_manager *m)
{
    struct list *link = NULL;
    txn_due_clear(&m->commit_due);
    while ((link = list_take_first(&m->commits)) != NULL) {
        tell_parts(container_of(link, struct txn_try, commit_link));
    }
}

static void commit_due(struct txn_due *due)
{
    txn_commit_all(container_of(due, struct txn_manager, commit_due));
}

static void commit_soon(struct txn_try *try)
{
    struct txn_manager *m = try->m;
    if (list_is_empty(&m->commits)) {
        m->commit_due.fn = commit_due;
        txn_due_set(m, &m->commit_due, TXN_COMMIT_MS);
    }
    list_append(&m->commits, &try->commit_link);
}

/* The outcome is known: the client's answer first, as its replies lie where the next ones go. */
static void decided(struct txn_try *try)
{
    struct txn *t = try->txn;
    enum verdict verdict = VERDICT_ANSWERS;
    enum txn_outcome outcome = TXN_COMMITTED;
    if (t != NULL) {
        verdict = try->decision == TXN_COMMITS ? answer_commit(t, try, &outcome)
                                               : answer_abort(t, try, &outcome);
        t->try = NULL;
        try->txn = NULL;
    }
    if (try->decision == TXN_COMMITS && !try->is_recovery && !try->is_ordered) {
        commit_soon(try); /* of an ordered one somebody waits for the keys */
    } else {
        tell_parts(try);
    }
    if (t != NULL && verdict == VERDICT_AGAIN) {
        txn_again(t);
    } else if (t != NULL) {
        txn_finish(t, outcome);
    }
}

/*
 * A participant has forgotten it, so it is over everywhere. If the group that is led here is still
 * prepared when it is asked after that, the mark has passed one that was not over (TXN-9).
 */
static void prove_finished(struct txn_try *try)
{
    for (uint32_t i = 0; i < try->part_count; i++) {
        struct txn_part *home = &try->parts[i];
        if (home->group != try->home || !is_idle(home)) {
            continue;
        }
        if (!try->is_proving || home->state == TXN_STATE_NONE) {
            try->is_proving = true;
            home->state = TXN_STATE_NONE;
            part_send(home, PART_CHECK);
        } else if (home->state == TXN_STATE_YES) {
            violated(try, "prepared in one group, and forgotten in another (TXN-9)");
        } else {
            try->is_over = true;
        }
    }
}

static bool is_any_busy(const struct txn_try *try)
{
    for (uint32_t i = 0; i < try->part_count; i++) {
        if (try->parts[i].exchange.is_busy) {
            return true;
        }
    }
    return false;
}

/* Does what can be done now. The try may be gone after it. */
static void try_step(struct txn_try *try)
{
    if (try->m->env->is_halted) {
        return;
    }
    if (try->is_finished && try->decision == TXN_OPEN) {
        if (!try->is_over) {
            prove_finished(try);
        }
        if (try->is_over && !is_any_busy(try)) {
            end(try);
        }
        return;
    }
    if (try->decision == TXN_OPEN) {
        try->decision = judge(try);
        if (try->decision != TXN_OPEN) {
            try->m->counts.recovered += try->is_recovery ? 1 : 0;
            decided(try);
        } else if (!try->m->env->is_halted) {
            ask_parts(try);
        }
    } else {
        tell_parts(try);
    }
    if (are_all_done(try)) {
        end(try);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static void voted(struct txn_part *part, const struct txn_answer *answer)
{
    struct txn_try *try = part->try;
    switch (answer->state) {
    case TXN_STATE_NONE:
        reached("txn: a vote that is none");
        part_failed(part);
        return;
    case TXN_STATE_FINISHED:
        if (!try->is_recovery) {
            violated(try, "forgotten by a group before it was over (TXN-9)");
            return;
        }
        reached("txn: recovered by somebody else meanwhile");
        try->is_finished = true;
        break;
    case TXN_STATE_YES:
    case TXN_STATE_NO_CONFLICT:
    case TXN_STATE_NO_COMPARE:
    case TXN_STATE_NO_ERROR:
    case TXN_STATE_NO_VOTE:
    case TXN_STATE_COMMITTED:
    case TXN_STATE_ABORTED:
        break;
    }
    part->state = answer->state;
    part->is_watched = answer->is_watched;
    part->failures = 0;
    move(part, PART_VOTED);
}

static void prepared(struct txn_part *part, enum txn_result result, const struct txn_answer *answer)
{
    switch (result) {
    case TXN_RESULT_ANSWER:
        voted(part, answer);
        return;
    case TXN_RESULT_REFUSED:
        /* No copy of it will ever be voted on, and nobody else sends it: there is no yes. */
        part->is_refused = true;
        part->is_untouched = part->exchange.request.outcome == ROUTER_REFUSED;
        move(part, PART_VOTED);
        return;
    case TXN_RESULT_UNKNOWN:
        return; /* the phase stays: ask() goes on */
    }
    unreachable("every result of PREPARE means something");
}

static void settled(struct txn_part *part, enum txn_result result, const struct txn_answer *answer)
{
    bool is_commit = part->phase == PART_COMMIT;
    bool is_confirmed = false;
    if (result == TXN_RESULT_ANSWER) {
        enum txn_state state = answer->state;
        is_confirmed = state == TXN_STATE_FINISHED ||
                       (is_commit ? state == TXN_STATE_COMMITTED
                                  : state == TXN_STATE_ABORTED || txn_state_is_no(state));
    }
    if (is_confirmed) {
        move(part, PART_DONE);
    } else {
        reached("txn: an outcome is told again");
        part_failed(part);
    }
}

static void on_part(struct txn_exchange *e, enum txn_result result, const struct txn_answer *answer)
{
    struct txn_part *part = container_of(e, struct txn_part, exchange);
    struct txn_try *try = part->try;
    if (result == TXN_RESULT_ANSWER && part->mark > 0) {
        txn_mark_told(try->m, part->group, part->mark);
    }
    switch (part->phase) {
    case PART_PREPARE:
        prepared(part, result, answer);
        break;
    case PART_CHECK:
        if (result == TXN_RESULT_ANSWER) {
            voted(part, answer);
        } else {
            part_failed(part);
        }
        break;
    case PART_COMMIT:
    case PART_ABORT:
        settled(part, result, answer);
        break;
    case PART_NEW:
    case PART_VOTED:
    case PART_DONE:
        unreachable("nothing is under way in this phase");
    }
    try_step(try);
}

/* ---- from outside ---------------------------------------------------------------------------- */

static void name_participants(struct txn_try *try, const struct txn_plan *plan)
{
    for (uint32_t i = 0; i < try->part_count; i++) {
        uint32_t group = plan->groups[i].group;
        try->parts[i].group = group;
        put_u16_le(buf_reserve(&try->participants, sizeof(uint16_t)), (uint16_t)group);
        buf_extend(&try->participants, sizeof(uint16_t));
    }
}

/* What is left behind by groups without a quorum has a limit: here, and as records of others. */
static bool is_too_much_open(const struct txn *t)
{
    const struct txn_manager *m = t->m;
    bool is_too_much = m->try_count >= TXN_TRIES_MAX;
    for (uint32_t i = 0; i < t->plan.group_count; i++) {
        uint64_t mark = txn_mark(m, t->plan.groups[i].group);
        is_too_much = is_too_much || m->sequence_last - mark >= TXN_WINDOW;
    }
    return is_too_much;
}

/* From here on the groups that it names may have to remember it. */
static void open_try(struct txn_try *try)
{
    struct txn_manager *m = try->m;
    list_append(&m->tries, &try->link);
    m->try_count++;
    for (uint32_t i = 0; i < try->part_count; i++) {
        struct txn_group *group = &m->groups[try->parts[i].group];
        group->used = try->id.sequence;
        list_append(&group->open, &try->parts[i].open_link);
    }
}

void txn_vote(struct txn *t)
{
    struct txn_manager *m = t->m;
    if (is_too_much_open(t)) {
        reached("txn: too many transactions are open");
        txn_finish_text(t,
                        TXN_NOT_EXECUTED,
                        "TRYAGAIN too many transactions of this node wait for groups without a "
                        "leader; the transaction was not executed");
        return;
    }
    struct txn_try *try = txn_try_create(m, t->plan.group_count);
    ensure(t->try == NULL && m->sequence_last < TXN_SEQUENCE_MAX);
    try->txn = t;
    try->id = (struct txn_id){
        .node = m->options.node,
        .incarnation = m->options.incarnation,
        .sequence = ++m->sequence_last,
    };
    name_participants(try, &t->plan);
    open_try(try);
    bool is_gateway = t->plan.way == TXN_WAY_GATEWAY;
    try->is_ordered = t->conflicts >= TXN_CONFLICTS_MAX;
    m->counts.ordered += t->conflicts == TXN_CONFLICTS_MAX ? 1 : 0;
    try->time_ms = is_gateway ? t->recorded.now_ms : env_wall_ms(m->env);
    try->flags = (t->is_strict ? TXN_STRICT : 0u) | (try->is_ordered ? TXN_WAITS : 0u) |
                 (is_gateway ? TXN_IS_EFFECTS : 0u);
    t->try = try;
    t->phase = TXN_PHASE_VOTING;
    ask_parts(try);
}

void txn_try_recover(struct txn_try *try)
{
    ask_parts(try);
}

bool txn_try_leave(struct txn_try *try)
{
    bool is_certain = false;
    ensure(try->decision == TXN_OPEN && !try->is_recovery);
    for (uint32_t i = 0; i < try->part_count; i++) {
        is_certain = is_certain || try->parts[i].phase == PART_NEW;
    }
    try->txn = NULL;
    if (is_certain) {
        reached("txn: given up before all were asked to vote");
        try->decision = TXN_ABORTS; /* these are never asked: there cannot be a yes of all */
        tell_parts(try);
    }
    return is_certain;
}
