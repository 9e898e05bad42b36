/* What a shard is made of. Inside the room shard only. */
#ifndef SHARD_SHARD_PARTS_H
#define SHARD_SHARD_PARTS_H

#include "data/view_overlay.h"
#include "shard/participant.h"
#include "shard/shard.h"

/* About ten times a second the leader looks for keys that are due: so often in ms, */
#define SHARD_EXPIRY_TICK_MS 100u
/* and ends at most so many keys of one database, about so many bytes of keys, with one entry. */
#define SHARD_EXPIRY_KEYS 1000u
#define SHARD_EXPIRY_BYTES (256u * KIB)

/* One log entry on its way: gathering, full, or proposed and not applied yet. */
struct proposal {
    struct list link;    /* in shard.gathered or shard.proposed */
    uint64_t number;     /* of this shard's proposals; grows */
    uint64_t index;      /* once proposed */
    uint32_t count;      /* commands */
    uint64_t rows_bytes; /* of rows that they may write, beyond their own size */
    uint64_t since_us;
    struct buf bytes;   /* until proposed */
    struct list writes; /* struct shard_request, in entry order */
    /* Of the PREPAREs in it: keys they may lock, as shard_hold.c names them. */
    uint32_t prepare_count;
    struct buf lock_names;
};

/* Rows that a read lacks, on their way from the disk. */
struct read_fetch {
    struct store_fetch fetch;
    struct list link; /* in shard.fetches */
    struct shard *shard;
    struct shard_request *request; /* NULL: it was answered meanwhile, or nobody ever waited */
    bool is_expiry;                /* of the expiry index: shard_expiry_fetched is called */
};

/* Arguments of one command; they borrow from where it stands. */
struct shard_args {
    struct bytes *list; /* [0] is the name */
    size_t capacity;
};

/* What waits because of key locks, and why something might have to (shard_hold.c). */
struct hold {
    struct list writes; /* struct shard_request, first come first */
    struct list reads;  /* the same */
    struct omap names;  /* keys and chains of the writes */
    struct omap chains; /* of the reads */
    uint32_t write_count;
    uint32_t read_count;
    uint64_t write_bytes;
    /* Keys that PREPAREs in proposals not applied yet may lock: name → number of the last one. */
    struct omap tail;
    uint32_t tail_count; /* such PREPAREs */
    bool is_inheriting;  /* what an earlier leader proposed is not applied yet */
    bool is_needed;      /* something is or may be locked, or waits: look at keys */
    bool has_changed;    /* some lock may have gone: look at what waits */
    struct buf name;     /* scratch */
};

struct shard {
    struct env *env;
    struct store *store;
    struct stats *stats;
    struct replica *replica;
    struct shard_options options;

    struct list gathered; /* struct proposal; the last one is still filling */
    struct list proposed; /* the same, by index */
    struct list reads;    /* struct shard_request, in order of arrival */
    uint64_t gathered_bytes;
    uint64_t reply_bytes; /* of reads, in this turn */
    uint64_t proposal_last;
    uint64_t proposal_applied; /* all up to it are applied, or lost */

    /* State of the group, the same on all replicas at the same index. */
    uint64_t time_ms;    /* group time (ORD-4) */
    uint64_t stamp_ms;   /* of the entry that applies: its leader's clock; not state */
    uint64_t operations; /* operation counter (ORD-3) */
    /*
     * What the counter was at the last deletion of a key of each bucket, or later. Not state: where
     * another replica knows less, readers look again (TXN-14).
     */
    uint64_t deleted_at[VIEW_LOCAL_BUCKETS];
    struct dup *dup;
    struct participant *participant;
    uint64_t participant_empty_bytes; /* that it takes without any transaction */
    struct database databases[LIMIT_DATABASES];

    /* Its rows. */
    uint32_t generation;
    bool is_restored;     /* the generation came from restore(), not from a fresh start */
    uint64_t saved_index; /* as the row of kind GROUP says; 0: there is none */
    uint64_t fold_index;  /* applied when the fold under way began; 0: nothing to tell */
    uint64_t sync_index;  /* the same of the sync */

    /* Rows that are not at hand. */
    struct store_fetch apply_fetch; /* of the next entry's keys */
    bool is_apply_fetching;
    uint64_t missed_index; /* of the entry that last met a row that was not at hand */
    struct list fetches;   /* struct read_fetch */

    /* Active expiry. */
    struct env_timer resume_timer; /* apply waits for the store to have room */
    struct env_timer expiry_timer;
    bool is_expiry_watched; /* the timer runs: this node leads and some key has an expiry */
    bool is_expiry_fetching;
    bool is_stopped;
    uint8_t expiry_database;  /* the first one at the next look */
    uint64_t expiry_proposal; /* number of the last one: no other before it applied */

    /* Transactions. */
    struct hold hold;
    uint64_t vote_last;          /* number of the last yes that applied here; from 1 on */
    struct omap prepared_since;  /* id → when its vote applied here, its number; none: restored */
    uint64_t led_since_us;       /* when leadership was won */
    struct view_overlay overlay; /* on apply_view */
    struct shard_args body_args;
    struct buf answer; /* scratch */

    struct buf row_key; /* scratch */

    struct view_local apply_view;
    struct view_local read_view;
    struct buf scratch_reply; /* of commands nobody here waits for */
    struct shard_args args;   /* of the command that runs */
};

/* Decodes one command into s->args and *out_command, checking it as the gateway should have. */
MUST_CHECK enum status shard_read_command(struct shard *s,
                                          struct entry_reader *reader,
                                          struct entry_command *out_command,
                                          const struct command **out_row);
/* All arguments of the command that the reader is at, checked as its gateway should have. */
MUST_CHECK enum status shard_read_args(struct shard_args *args,
                                       struct entry_reader *reader,
                                       const struct command *row,
                                       const struct entry_command *c);
/* Group time does not go back (ORD-4). */
void shard_advance_time(struct shard *s, uint64_t stamp_ms);
/* Has the log decide that the keys' time has come; returns the number of that proposal. */
uint64_t shard_gather_expiry(struct shard *s,
                             uint8_t database,
                             const struct bytes *keys,
                             size_t count);
bool shard_is_out_of_space(const struct shard *s);
/* replica_events.apply */
MUST_CHECK enum status shard_apply(void *owner, uint64_t index, struct bytes entry);

/* shard.c */
void shard_run_reads(struct shard *s);
/* A write that nothing holds back: into the next entry. A PREPARE is in s->args. */
void shard_gather_write(struct shard *s,
                        struct shard_request *r,
                        const struct command *row,
                        const struct entry_command *c);
/* Halts: rows cannot be read, or are none. */
void shard_halt_damaged(struct shard *s, enum status status);

static inline struct keyspace shard_space(const struct shard *s, uint8_t database)
{
    return (struct keyspace){
        .group = s->options.group,
        .generation = s->generation,
        .database = database,
        .epoch = s->databases[database].epoch,
    };
}

/* shard_fetch.c */
/*
 * OK: what the entry's commands read is at hand until the end of this turn. NEED: it is being read,
 * then replica_resume is called. IO, CORRUPT: while nothing is served yet.
 */
MUST_CHECK enum status shard_probe_entry(struct shard *s, uint64_t index, struct bytes entry);
/* Has rows read that the read lacks, if any; its view says what a range lacks; NULL: not run yet.
 */
void shard_fetch_read(struct shard *s, struct shard_request *r, const struct view_local *view);
/* The request is going: what is being read for it is for nobody. */
void shard_forget_fetch(struct shard_request *r);
/* Has the first row of the expiry index from there on read; then shard_expiry_fetched. */
void shard_fetch_expiry(struct shard *s, struct bytes from);
/* Has one row read for nobody: so that it is at hand the next time. */
void shard_fetch_row(struct shard *s, struct bytes row_key);
/* Memory only. */
void shard_fetch_deinit(struct shard *s);

/* shard_expiry.c */
/* Active expiry goes on from here, if there is a reason: some key has an expiry, or this node leads
 * now. */
void shard_watch_expiry(struct shard *s);
void shard_expiry_fetched(struct shard *s);

/* shard_keys.c */
/* False: no more. */
typedef bool (*shard_key_fn)(void *ctx, uint8_t database, struct bytes key, bool is_written);
/*
 * Calls fn for each key that the command in s->args names, until fn says false; then false. A key
 * may come several times. Those of TXNCOMMIT are what was prepared.
 */
bool shard_each_key(struct shard *s,
                    const struct command *row,
                    const struct entry_command *c,
                    shard_key_fn fn,
                    void *ctx);

/* shard_grow.c */
/*
 * Of the rows that a write may make beyond its own size, about: by them entries are filled. s->args
 * are then those of the write, or as they were.
 */
uint64_t shard_rows_bytes(struct shard *s, struct bytes write);

/* shard_exec.c: a read of the internal ones, whose argument was checked */
enum command_result shard_exec_read(struct shard *s,
                                    const struct command *row,
                                    uint64_t now_ms,
                                    struct buf *reply);

/* shard_txn.c */
/*
 * Applies an internal command of transactions, in s->args and checked, and appends its reply. Else:
 * the replica has been halted, or a row cannot be read.
 */
MUST_CHECK enum status shard_txn_apply(struct shard *s,
                                       const struct command *row,
                                       uint64_t seed,
                                       struct buf *reply);
/* A write other than of transactions finds a key locked (TXN-3): it must have no effect. */
bool shard_txn_blocks(struct shard *s, const struct command *row, const struct entry_command *c);

/* Number of the oldest yes without an outcome; 0: a restored one; UINT64_MAX: there is none. */
uint64_t shard_txn_oldest_vote(const struct shard *s);

/* shard_hold.c */
void shard_hold_init(struct shard *s);
/* Memory only. */
void shard_hold_deinit(struct shard *s);
/* True: the write, whose command is in s->args, waits here; or it was refused. */
bool shard_hold_write(struct shard *s,
                      struct shard_request *r,
                      const struct command *row,
                      const struct entry_command *c);
/* True: the read, in s->args, is taken from s->reads and waits for a lock; or it was refused. */
bool shard_hold_read(struct shard *s,
                     struct shard_request *r,
                     const struct command *row,
                     const struct entry_command *c,
                     bool is_locked);
/*
 * A PREPARE, in s->args, is going into the proposal. False: others wait for a key of it, so it must
 * vote no (TXN-16).
 */
MUST_CHECK bool shard_hold_expect(struct shard *s,
                                  struct proposal *p,
                                  const struct command *row,
                                  const struct entry_command *c);
/* The proposal applied, or is lost: its PREPAREs are not to come any more. */
void shard_hold_settle(struct shard *s, struct proposal *p);
/* Locks have changed, or leadership. */
void shard_hold_update(struct shard *s);
/* Has go on what waits for nothing any more. */
void shard_hold_release(struct shard *s);
/* Leadership has changed. */
void shard_hold_refuse(struct shard *s);
void shard_hold_inherit(struct shard *s);

/* shard_state.c: replica_events.restore and is_staged */
MUST_CHECK enum status shard_restore(void *owner,
                                     uint32_t generation,
                                     struct replica_base *out_base,
                                     struct error *error);

#endif
