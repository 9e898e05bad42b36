/*
 * Sends and takes the states of groups: a leader streams the rows of a frozen state of its store to
 * a replica that lacks entries which are gone, in checksummed chunks; the receiver writes them into
 * a staging generation, makes them durable, and says so; then the leader's INSTALL makes that
 * generation the state (LOG-15). One object per node, for all groups.
 *
 * The receiver pulls chunk by chunk, so a slow one is never flooded; the sender keeps to a rate.
 * Whatever goes wrong ends the transfer: nothing of it is used, and the next one starts over.
 *
 *   sender                  receiver
 *   OFFER base         -->  drops an older staging (or REFUSED)
 *                      <--  PULL 0
 *   CHUNK 0, rows      -->  writes them
 *                      <--  PULL 1
 *   CHUNK n, last      -->  writes them; a sync that starts after that; reads the head rows
 *                      <--  STAGED
 *   INSTALL (Raft)     -->
 *
 * Whoever owes the next step says ALIVE while it takes its time; either may say ENDED. An INSTALL
 * may be lost: asked again, the sender repeats the OFFER, which a receiver that still has the state
 * answers with STAGED, and another one with anything else.
 */
#ifndef SHARD_SNAPSHOTS_H
#define SHARD_SNAPSHOTS_H

#include "consensus/replica.h"
#include "env/env.h"
#include "peer/peers.h"
#include "store/store.h"

#define SNAPSHOT_CHUNK_BYTES (192u * 1024u) /* rows of one chunk, and one row more */
#define SNAPSHOTS_SENT_MAX 4u               /* at once; more wait for their turn */
#define SNAPSHOTS_TAKEN_MAX 4u
#define SNAPSHOT_SILENCE_MS 10000u /* nothing from the other side for so long ends it */
#define SNAPSHOT_ALIVE_MS 2000u    /* whoever owes the next step says so this often */
#define SNAPSHOT_PAUSE_MS 1000u    /* after a failure nothing is offered to that replica so long */
#define SNAPSHOT_AGAIN_MS 1000u    /* INSTALL is sent at most this often */
#define SNAPSHOT_STAGED_MS 60000u  /* a staged state that nobody installs is dropped */
#define SNAPSHOT_RATE_DEFAULT (64u * 1024u * 1024u)

struct snapshots;

struct snapshots_options {
    uint64_t rate;        /* bytes sent a second, of all together; 0: the default */
    uint64_t chunk_bytes; /* rows of one chunk; at most SNAPSHOT_CHUNK_BYTES, 0: just that */
};

struct snapshots_stats {
    uint64_t sent;       /* whole ones, staged by the receiver */
    uint64_t taken;      /* whole ones, staged */
    uint64_t sent_bytes; /* of chunks */
    uint64_t taken_bytes;
    uint64_t failed;  /* begun, here or from here, and ended before they were staged */
    uint32_t sending; /* now */
    uint32_t taking;
};

/* Memory only; borrows all pointers, options is copied. */
struct snapshots *snapshots_create(struct env *env,
                                   struct store *store,
                                   struct peers *peers,
                                   const struct snapshots_options *options);
/*
 * Memory only, before the store's end; after snapshots_stop when no job of it runs, or when env is
 * dead. NULL is fine.
 */
void snapshots_destroy(struct snapshots *s);
/*
 * No transfer goes on or begins from here on; jobs that run end by themselves. What is staged stays
 * so, for an INSTALL that is in the log already.
 */
void snapshots_stop(struct snapshots *s);
/* Jobs of it run. */
bool snapshots_is_busy(const struct snapshots *s);

/* A group that is on this node; at creation. */
void snapshots_add(struct snapshots *s, uint16_t group, struct replica *r);

/* The disk is full: nothing is taken, what is being taken ends. */
void snapshots_set_full(struct snapshots *s, bool is_full);

/*
 * Leader: that replica needs the state; nothing happens if it is on its way already. May be called
 * from within replica_events.wants_install: gives the replica no event.
 */
void snapshots_offer(struct snapshots *s, uint16_t group, uint64_t replica_id);
/* A MESSAGE_SNAPSHOT. MALFORMED: not one; nothing of it was used. */
MUST_CHECK enum status snapshots_received(struct snapshots *s, uint32_t node, struct bytes message);
void snapshots_disconnected(struct snapshots *s, uint32_t node);
/* From the store, for what is being made durable. */
void snapshots_fold_starts(struct snapshots *s, bool is_sync);
void snapshots_synced(struct snapshots *s);

/* The staged state of the group, if it is exactly this one: its generation. */
bool snapshots_is_staged(const struct snapshots *s,
                         uint16_t group,
                         uint64_t index,
                         uint64_t term,
                         uint32_t *out_generation);
/*
 * The staged generation has become the group's state: its head rows, for the shard to load; valid
 * until the next call. NULL: it is not the staged one.
 */
const struct omap *snapshots_take(struct snapshots *s, uint16_t group, uint32_t generation);

const struct snapshots_stats *snapshots_stats(const struct snapshots *s);

#endif
