/* What a manager of transactions is made of. Inside the room txn only. */
#ifndef TXN_TXN_PARTS_H
#define TXN_TXN_PARTS_H

#include "router/router_cut.h"
#include "txn/txn.h"
#include "txn/view_recorded.h"

/* The client is answered so long after the router has given up what it was asked at the start. */
#define TXN_GRACE_MS 50u
/* Pauses before a next try, at random up to it; doubled with every try. */
#define TXN_PAUSE_MS_MIN 2u
#define TXN_PAUSE_MS_MAX 128u
/* Before an order or a question that failed is sent again; doubled with every failure. */
#define TXN_AGAIN_MS_MIN 20u
#define TXN_AGAIN_MS_MAX 1000u
/*
 * COMMITs wait for the next turn that has something to send anyway, at most so long: else they
 * would stand in the log right before the client's next transaction, which waits for that sync.
 */
#define TXN_COMMIT_MS 1u
/*
 * Own tries that are open: those of clients, and those they did not wait for; and how far sequences
 * may get beyond the mark of a group: so many records it may have to keep for us. One participant
 * without a quorum holds up the marks of all groups that it has a transaction with.
 */
#define TXN_TRIES_MAX 32768u
#define TXN_WINDOW (512u * 1024u)
/* Second looks that may differ; then an ordinary transaction (TXN-14). */
#define TXN_LOOKS_MAX 3u
/* How often groups that are led here are looked through for transactions to recover. */
#define TXN_RECOVERY_TICK_MS 200u
/* Recovered at once; and so many more at each look. Each is prepared here, which takes more. */
#define TXN_RECOVERIES_MAX 65536u
#define TXN_RECOVERIES_AT_ONCE 2048u
/* A group that has records, and has not been told the mark for so long, is told (TXN-10). */
#define TXN_MARK_MS 1000u
#define TXN_SCRATCH_BYTES_KEPT (64u * KIB)

/* ---- time ------------------------------------------------------------------------------------ */

/* One shot, in the manager's one timer; zero it before the first use. */
struct txn_due {
    struct list link; /* in manager.dues */
    uint64_t due_us;
    void (*fn)(struct txn_due *due);
};

/* ---- exchanges ------------------------------------------------------------------------------- */

/* What came of one internal command. */
enum txn_result {
    TXN_RESULT_ANSWER,  /* what the group said */
    TXN_RESULT_REFUSED, /* certainly not executed, and it never will be; `reply` is the error */
    TXN_RESULT_UNKNOWN, /* may have been executed, or may be yet */
};

/* One internal command for one group, and after its answer perhaps the next one. */
struct txn_exchange {
    struct router_request request;
    struct router_stream stream; /* of its own */
    struct txn_manager *m;
    struct buf reply; /* until the next one */
    bool is_busy;
    void (*done)(struct txn_exchange *e, enum txn_result result, const struct txn_answer *answer);
};

/* ---- plans ----------------------------------------------------------------------------------- */

enum txn_way {
    TXN_WAY_ONE,     /* all keys in one group */
    TXN_WAY_READ,    /* several groups, and only reads: two looks (TXN-14) */
    TXN_WAY_VOTE,    /* several groups vote on commands of their own */
    TXN_WAY_GATEWAY, /* some command needs values of several groups: it runs here */
    TXN_WAY_WATCH,   /* no transaction: the versions of keys */
    TXN_WAY_ERROR,   /* beyond the limits: only the error, in its place in the stream */
};

/* What one group has to do with it; the same for every try. */
struct plan_group {
    uint32_t group;
    uint32_t command_count;
    uint32_t key_count;
    uint32_t compare_count;
    struct buf body;           /* its commands, or of GATEWAY what the run here would change */
    struct buf keys;           /* of its commands, as they name them; GATEWAY: each once */
    struct buf compares;       /* of the watched keys; GATEWAY: then of those that were read */
    struct buf watched;        /* the watched keys, as `keys` */
    struct buf watch_versions; /* u64 each */
    uint32_t watch_count;
    size_t watch_bytes; /* of compares: so much are the watched keys */
};

struct plan_command {
    const struct command *command;
    uint32_t place;        /* in plan.groups; of one that is not cut */
    struct router_cut cut; /* part_count 0: it is not cut */
};

struct txn_plan {
    enum txn_way way;
    bool watches_absent; /* a watched key was absent: that two looks cannot tell (TXN-22) */
    bool is_reading;     /* no command writes */
    uint32_t group_count;
    struct plan_group *groups; /* ascending */
    size_t command_count;
    struct plan_command *commands;
    size_t key_count;   /* of the commands, and watched */
    uint64_t key_bytes; /* of the same, as looks name them */
    struct buf flat;    /* GATEWAY: all commands, one after the other */
    struct buf error;   /* ERROR: the reply */
    uint32_t *place_of; /* WATCH: of each key, in groups */
};

/* ---- tries ----------------------------------------------------------------------------------- */

/* Where one participant of a try is. The table in txn_prepare.c says what may follow what. */
enum part_phase {
    PART_NEW,
    PART_PREPARE, /* asked for its vote */
    PART_CHECK,   /* asked what its vote was */
    PART_VOTED,   /* it is known, or it is certain that there never will be a yes */
    PART_COMMIT,  /* told the outcome */
    PART_ABORT,
    PART_DONE, /* has confirmed that the outcome is applied */
};

struct txn_part {
    struct txn_exchange exchange;
    struct list open_link; /* in txn_group.open */
    struct txn_due again;
    struct txn_try *try;
    uint32_t group;
    enum part_phase phase;
    enum txn_state state; /* its vote, or what became of it; NONE: not known */
    bool is_refused;      /* PREPARE never took effect, and never will */
    bool is_untouched;    /* not even an entry of it exists, or ever will: nothing to be told */
    bool is_watched;      /* of NO_COMPARE */
    unsigned failures;
    uint64_t mark; /* that went with what is under way */
};

enum txn_decision {
    TXN_OPEN,
    TXN_COMMITS,
    TXN_ABORTS
};

/*
 * One id: from its PREPAREs until every participant has confirmed the outcome (TXN-9). Also the
 * recovery of one of another coordinator, which begins with CHECKs.
 */
struct txn_try {
    struct list link;        /* in manager.tries, by sequence; or in manager.recoveries */
    struct list commit_link; /* in manager.commits: decided, and nobody was told yet */
    struct txn_manager *m;
    struct txn *txn; /* whom to tell; NULL: nobody any more */
    struct txn_id id;
    enum txn_decision decision;
    bool is_ordered;
    bool is_recovery;
    bool is_finished; /* recovery: a participant has forgotten it, */
    bool is_proving;  /* and the home group was asked after that, */
    bool is_over;     /* and is not prepared any more */
    uint32_t home;    /* recovery: the group led here that is prepared */
    uint64_t since_us;
    uint64_t time_ms;
    unsigned flags;
    uint32_t part_count;
    struct buf participants; /* u16 each */
    struct txn_part parts[];
};

/* ---- transactions ---------------------------------------------------------------------------- */

/* What is read of one group. */
struct txn_look {
    struct txn_exchange exchange;
    struct txn *t;
    struct buf seen;     /* READ: the reply of the first look */
    struct buf expected; /* versions that the second look has to find, u64 each */
};

enum txn_phase {
    TXN_PHASE_QUEUED,   /* something before it in its stream is not answered */
    TXN_PHASE_LOOKING,  /* first look: EXECREAD, ROWS, or VERSIONS of WATCH */
    TXN_PHASE_PROVING,  /* second look: VERSIONS */
    TXN_PHASE_VOTING,   /* a try is open */
    TXN_PHASE_PAUSING,  /* before the next try */
    TXN_PHASE_ANSWERED, /* but the router still has something of it */
};

/* One of a client. */
struct txn {
    struct list link;          /* in manager.txns */
    struct list deadline_link; /* in manager.deadlines */
    struct txn_manager *m;
    struct txn_request *request;     /* or */
    struct txn_watch_request *watch; /* both NULL: answered */
    struct txn_plan plan;
    enum txn_phase phase;
    bool is_barrier_up;
    bool is_strict;
    uint8_t resp;
    struct router_request barrier;
    struct txn_due pause;
    struct txn_try *try;    /* the one that is open; NULL: none */
    struct txn_look *looks; /* [plan.group_count]; or NULL */
    uint32_t looks_busy;
    unsigned tries;     /* that ended in vain */
    unsigned conflicts; /* of them */
    unsigned looked;    /* second looks that differed */
    uint64_t deadline_us;
    uint64_t charged;
    struct view_recorded recorded; /* GATEWAY */
    struct buf replies;            /* GATEWAY: of the run here */
    bool has_error;                /* GATEWAY, strict: replies is the one error */
    bool has_effects;
};

/* ---- the manager ----------------------------------------------------------------------------- */

/* What this node's incarnation has with one group. */
struct txn_group {
    struct txn_exchange exchange; /* MARK, CLOSE, END */
    struct txn_manager *m;
    struct list open; /* struct txn_part of own tries, by sequence */
    uint32_t group;
    uint64_t used; /* the last sequence that it had a part in */
    uint64_t told; /* the mark that it has confirmed */
    uint64_t sent; /* the mark that is under way */
    uint64_t told_us;
    bool is_closed; /* CLOSE: it has said that nothing is prepared */
    bool is_ended;
    unsigned failures;
    struct txn_due again;
};

struct txn_manager {
    struct env *env;
    struct router *router;
    struct stats *stats;
    struct txn_options options;
    struct txn_counts counts;
    struct list txns;
    struct list deadlines; /* struct txn, soonest first: all have the same time */
    struct list tries;     /* own ones, by sequence */
    struct list recoveries;
    struct omap recovering; /* ids of them; no values */
    struct list commits;    /* struct txn_try, see TXN_COMMIT_MS */
    struct txn_due commit_due;
    struct list dues;
    size_t try_count; /* own ones */
    uint64_t sequence_last;
    uint64_t memory;
    struct env_timer timer;
    uint64_t timer_us; /* when it fires; 0: it does not */
    bool is_stopped;
    struct txn_group *groups; /* [0 … group_count] */
    bool is_closing;          /* CLOSE is on its way */
    uint32_t closed_count;
    struct txn_due recovery_due;
    struct txn_due mark_due;
    struct buf scratch;
    uint32_t *place_of_group; /* scratch [group_count + 1], zeros between calls */
};

/* txn.c */
void txn_due_set(struct txn_manager *m, struct txn_due *due, uint64_t delay_ms);
void txn_due_clear(struct txn_due *due);
/* A growing delay, at random: from half of it to all of it. */
uint64_t txn_delay_ms(struct txn_manager *m, unsigned failures, uint32_t least, uint32_t most);
void txn_exchange_init(struct txn_exchange *e, struct txn_manager *m);
void txn_exchange_deinit(struct txn_exchange *e);
/* In a stream of its own, or in `stream`; argument: borrowed until it returns. */
void txn_exchange_start(struct txn_exchange *e,
                        enum command_id command,
                        uint32_t group,
                        uint8_t resp,
                        struct bytes argument,
                        struct router_stream *stream);
/* The answer that it has, if it has one; borrowed until its next start. */
bool txn_exchange_answer(const struct txn_exchange *e, struct txn_answer *out_answer);
/* The same of a reply. */
bool txn_answer_of(struct bytes reply, struct txn_answer *out_answer);
/* The scratch buffer, empty. */
struct buf *txn_scratch(struct txn_manager *m);
/* Answers the client; replies is complete. txn may be gone after it. */
void txn_finish(struct txn *t, enum txn_outcome outcome);
/* The same with an error for the client. */
void txn_finish_error(struct txn *t, enum txn_outcome outcome, struct bytes error);
void txn_finish_text(struct txn *t, enum txn_outcome outcome, const char *text);
/* Answered, and nothing of it is under way any more? */
void txn_release(struct txn *t);
/* Begins, or begins again, by its way. */
void txn_begin(struct txn *t);
/* After a pause. */
void txn_again(struct txn *t);

/* txn_plan.c */
void plan_make(struct txn_plan *plan, struct txn_manager *m, const struct txn_request *r);
void plan_make_watch(struct txn_plan *plan,
                     struct txn_manager *m,
                     const struct txn_watch_request *r);
void plan_deinit(struct txn_plan *plan);
uint64_t plan_bytes(const struct txn_plan *plan);
/* The place of a group in it; it is there. */
uint32_t plan_place(const struct txn_plan *plan, uint32_t group);
/* Two keys of one database and name are one. Appends what tells them apart. */
void plan_key_name(struct buf *out, uint8_t database, struct bytes key);
/*
 * The replies to the commands, in their order, from those of the groups, which are changed. False:
 * they are not the replies to these commands; nothing was written.
 */
MUST_CHECK bool plan_merge(const struct txn_plan *plan, struct bytes *replies, struct buf *out);

/* txn_prepare.c */
void txn_vote(struct txn *t);
struct txn_try *txn_try_create(struct txn_manager *m, uint32_t part_count);
void txn_try_destroy(struct txn_try *try);
/* A try of another coordinator: asks, and drives what is proved. Its parts have their groups. */
void txn_try_recover(struct txn_try *try);
/* Nobody waits for it any more. True: it is certain that it has no effect. */
bool txn_try_leave(struct txn_try *try);
/* What a group may forget: all of ours that it had a part in, up to it, are over everywhere. */
uint64_t txn_mark(const struct txn_manager *m, uint32_t group);
/* Tells the participants of all that are in manager.commits. */
void txn_commit_all(struct txn_manager *m);
/* A text for `dougong transactions`. */
const char *txn_try_state(const struct txn_try *try);

/* txn_read.c */
/* First look: EXECREAD; of WATCH: VERSIONS. */
void txn_look(struct txn *t);
/* The same of GATEWAY: ROWS. */
void txn_look_rows(struct txn *t);
/* Second look, by `expected` of each. */
void txn_prove(struct txn *t);
/* All keys in one group: EXEC, EXECREAD or VERSIONS, in the stream of the client. */
void txn_look_one(struct txn *t, struct router_stream *stream);
void txn_look_deinit(struct txn_look *look);

/* txn_gateway.c */
/* The rows are there: runs the commands; then votes, or a second look. */
void txn_gateway_run(struct txn *t);
/* The second look agreed. */
void txn_gateway_answer(struct txn *t);

/* txn_recover.c */
void txn_recover_init(struct txn_manager *m);
void txn_recover_stop(struct txn_manager *m);
/* A recovery is over, or goes with the manager. */
void txn_recover_forget(struct txn_manager *m, const struct txn_id *id);

/* txn_mark.c */
void txn_mark_init(struct txn_manager *m);
void txn_mark_stop(struct txn_manager *m);
/* The mark may have moved, or a group has confirmed one. */
void txn_mark_changed(struct txn_manager *m);
void txn_mark_told(struct txn_manager *m, uint32_t group, uint64_t mark);

#endif
