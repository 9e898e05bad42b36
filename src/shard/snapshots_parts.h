/* What snapshots are made of. Inside the room shard only. */
#ifndef SHARD_SNAPSHOTS_PARTS_H
#define SHARD_SNAPSHOTS_PARTS_H

#include "shard/snapshot_message.h"
#include "shard/snapshots.h"

#define SNAPSHOTS_TICK_MS 100u

enum sending_state {
    SENDING_BASE,   /* reads how far the frozen state goes */
    SENDING_CHUNKS, /* offered: chunks go as they are pulled */
    SENDING_WAITS,  /* all are sent: the receiver makes them durable */
    SENDING_STAGED, /* the receiver has it: INSTALL was sent, and is sent again when asked for */
    SENDING_OVER,   /* nothing is offered to this receiver until until_us; a read may still run */
};

/* One state on its way from here. */
struct sending {
    struct list link; /* in snapshots.sendings; the one served last stands last */
    struct snapshots *snapshots;
    uint16_t group;
    struct replica *replica;
    uint64_t receiver; /* replica id */
    uint64_t session;
    enum sending_state state;
    struct replica_base base;
    uint32_t generation;

    struct store_snapshot *snapshot; /* NULL once nothing more is read from it */
    struct store_range range;        /* its rows: the next chunk, read ahead, if has_rows */
    bool is_reading;                 /* a worker has the range */
    bool has_rows;
    uint64_t number;   /* of the next chunk */
    bool is_pulled;    /* the receiver waits for it */
    uint64_t heard_us; /* something came from the receiver, or its turn began */
    uint64_t said_us;  /* something left for it */
    uint64_t until_us; /* STAGED, OVER: when that ends */
};

enum taking_state {
    TAKING_CHUNKS, /* waits for the next chunk */
    TAKING_WRITES, /* a worker writes one */
    TAKING_SYNCS,  /* all are written: a sync that starts after that */
    TAKING_READS,  /* reads the head rows */
    TAKING_STAGED, /* complete and durable */
    TAKING_OVER,   /* waits for its worker, to be dropped */
};

/* One state on its way to here. */
struct taking {
    struct list link; /* in snapshots.takings */
    struct snapshots *snapshots;
    uint16_t group;
    struct replica *replica;
    uint64_t sender; /* replica id */
    uint64_t session;
    enum taking_state state;
    struct replica_base base; /* as offered */
    uint32_t generation;      /* of the rows that are staged */

    uint64_t number;     /* of the next chunk */
    struct buf last_key; /* of the last row, without generation */
    bool has_written;    /* there may be rows to drop */
    bool has_base;       /* the row that says how far the state goes came, and fits */
    bool is_last;        /* the last chunk came */
    bool is_sync_started;
    struct store_write write;
    struct store_range range; /* the head rows */
    bool is_working;          /* a worker has the write or the range */
    struct omap head;         /* head rows read so far */

    enum snapshot_type unsaid; /* found no room on its way; 0: nothing */
    uint64_t heard_us;         /* something came from the sender, or its turn began */
    uint64_t said_us;          /* something left for it */
};

struct snapshots_group {
    struct replica *replica;  /* NULL: not on this node */
    struct taking *taking;    /* the one that counts; NULL: none */
    uint32_t generation_last; /* of those given to takings */
};

struct snapshots {
    struct env *env;
    struct store *store;
    struct peers *peers;
    struct snapshots_options options;
    struct snapshots_stats stats;
    struct snapshots_group *groups; /* by number */
    size_t group_count;
    struct list sendings; /* struct sending */
    struct list takings;  /* struct taking */
    struct buf message;   /* scratch */
    struct omap taken;    /* handed out by snapshots_take */

    uint64_t paid_until_us; /* what was sent so far takes until then, at the rate */
    struct env_timer tick;
    struct env_timer rate;
    bool is_ticking;
    bool is_stopped;
    bool is_full;
    /*
     * Ranges dropped at the start of the process, of generations that will be used again, are gone
     * once a first sync has ended: before, nothing is staged.
     */
    bool is_settling;
    bool is_settled;
};

/* NULL: not on this node. */
struct snapshots_group *snapshots_group(struct snapshots *s, uint16_t group);
/* Sends m, of any type but CHUNK. False: not connected, or no room now. */
bool snapshots_say(struct snapshots *s, const struct snapshot_message *m);
/* From now on the timer looks at all transfers, as long as there are any. */
void snapshots_watch(struct snapshots *s);
static inline bool snapshots_is_over(struct snapshots *s, uint64_t since_us, uint32_t ms)
{
    return env_now_us(s->env) - since_us >= (uint64_t)ms * 1000u;
}

/* ---- sending --------------------------------------------------------------------------------- */

void sending_start(struct snapshots *s, uint16_t group, struct replica *r, uint64_t receiver);
/* Again asked for while STAGED. */
void sending_ask(struct sending *x);
/* A message of its session from its receiver. */
void sending_receive(struct sending *x, const struct snapshot_message *m);
/* Sends what was pulled, as far as the rate goes. */
void snapshots_pump(struct snapshots *s);
/* Time has passed. May free it. */
void sending_tick(struct sending *x);
/* With a pause in ms before the next offer to the same receiver; may free it. */
void sending_end(struct sending *x, bool tells, uint32_t pause_ms);
/* Memory only; a read may run in a dead env. */
void sending_destroy(struct sending *x);

/* ---- taking ---------------------------------------------------------------------------------- */

/* An OFFER to the replica that is here; the message's sender was checked. */
void taking_offered(struct snapshots *s, const struct snapshot_message *m);
/* A message of its session from its sender. MALFORMED: a chunk that is none; it has ended. */
MUST_CHECK enum status taking_receive(struct taking *t,
                                      const struct snapshot_message *m,
                                      struct bytes bytes);
/* What was staged before the sync began is durable. May free nothing. */
void taking_synced(struct taking *t);
void taking_tick(struct taking *t);
void taking_end(struct taking *t, bool tells);
/* Its rows have become the group's: forgets it without dropping them. */
void taking_forget(struct taking *t);
void taking_destroy(struct taking *t);

#endif
