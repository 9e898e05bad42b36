/* What a shard is made of. Inside the room shard only. */
#ifndef SHARD_SHARD_PARTS_H
#define SHARD_SHARD_PARTS_H

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
};

/* Rows that a read lacks, on their way from the disk. */
struct read_fetch {
    struct store_fetch fetch;
    struct list link; /* in shard.fetches */
    struct shard *shard;
    struct shard_request *request; /* NULL: it was answered meanwhile, or nobody ever waited */
    bool is_expiry;                /* of the expiry index: shard_expiry_fetched is called */
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
    uint64_t operations; /* operation counter (ORD-3) */
    struct dup *dup;
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

    struct buf row_key; /* scratch */

    struct view_local apply_view;
    struct view_local read_view;
    struct buf scratch_reply; /* of commands nobody here waits for */
    struct bytes *args;       /* of the command that runs */
    size_t args_capacity;
};

/* Decodes one command into s->args and *out_command, checking it as the gateway should have. */
MUST_CHECK enum status shard_read_command(struct shard *s,
                                          struct entry_reader *reader,
                                          struct entry_command *out_command,
                                          const struct command **out_row);
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

/* shard_state.c: replica_events.restore and is_staged */
MUST_CHECK enum status shard_restore(void *owner,
                                     uint32_t generation,
                                     struct replica_base *out_base,
                                     struct error *error);

#endif
