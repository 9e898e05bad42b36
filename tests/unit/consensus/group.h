/*
 * A Raft group in one process, for tests: engines, each with a log, a disk that keeps a prefix of
 * what was written when it crashes, and packets that go where and when the test says. After every
 * step the group looks at what Raft promises; the first broken promise is kept in `failure`.
 */
#ifndef UNIT_CONSENSUS_GROUP_H
#define UNIT_CONSENSUS_GROUP_H

#include "consensus/engine.h"

#define GROUP_MEMBERS_MAX 8u
#define GROUP_PAYLOAD_BYTES 160u
#define GROUP_NEVER UINT64_MAX

struct group_entry {
    uint64_t term;
    enum engine_entry_kind kind;
    size_t size;
    uint8_t payload[GROUP_PAYLOAD_BYTES];
};

struct group_snapshot {
    uint64_t index; /* 0: none */
    uint64_t term;
    struct engine_config config;
};

/* A member's state in memory or on disk. entries[0] is at snapshot.index+1 or before. */
struct group_image {
    uint64_t term;
    uint64_t vote;
    struct group_snapshot snapshot;
    uint64_t first;
    struct group_entry *entries;
    size_t count;
    size_t capacity;
};

enum group_record_kind {
    GROUP_HARD_STATE,
    GROUP_ENTRIES,
    GROUP_SNAPSHOT,
    GROUP_INSTALL,
};

struct group_record {
    enum group_record_kind kind;
    uint64_t term;
    uint64_t vote;
    uint64_t index;
    struct group_entry *entries;
    uint32_t count;
    uint64_t end; /* reported when durable: lowered when entries below it are overwritten */
    struct group_snapshot snapshot;
};

struct group_member {
    struct group *group;
    uint64_t id;
    struct engine *engine; /* NULL: down */
    struct group_image memory;
    struct group_image disk;
    struct group_record *records; /* written, not durable */
    size_t record_count;
    size_t record_capacity;
    uint64_t records_done; /* ever */
    uint64_t hard_number;  /* the newest HARD_STATE's number among all records ever */
    size_t sync_count;     /* records in the sync under way; 0: none */
    uint64_t sync_due_ms;
    uint64_t durable; /* of the current log's content */
    uint64_t commit;
    uint64_t applied;
    struct engine_config applied_config;
    bool is_installing;
    uint64_t install_due_ms; /* when its state is fetched; GROUP_NEVER: the record is written */
    struct group_snapshot install;
    uint64_t leader_barrier;
};

struct group_packet {
    uint64_t from;
    uint64_t to;
    struct engine_message message;
    struct group_entry *entries; /* message.append.count */
    uint64_t due_ms;
    uint64_t order;
    uint64_t after_record; /* waits until so many records of `from` are durable */
};

/* What is known to be committed, by index - 1. */
struct group_committed {
    struct group_entry entry;
    uint64_t term; /* lowest term in which a member said so; 0: nobody did */
};

struct group {
    uint64_t now_ms;
    struct group_member members[GROUP_MEMBERS_MAX]; /* ids 1 … count; more may join */
    unsigned count;
    struct group_packet *packets;
    size_t packet_count;
    size_t packet_capacity;
    uint64_t packet_order;
    bool cut[GROUP_MEMBERS_MAX + 1][GROUP_MEMBERS_MAX + 1]; /* from, to */
    uint64_t *leaders;                                      /* by term */
    size_t leader_capacity;
    struct group_committed *committed;
    uint64_t committed_count;
    size_t committed_capacity;
    char failure[200]; /* empty: none */
    struct engine_options options;
    uint32_t trailing;
    bool installs_newest; /* an INSTALL brings what is applied, not the engine's own snapshot */
    /* When a packet leaves: how long it travels; GROUP_NEVER: lost. NULL: 1 ms. */
    uint64_t (*delay)(struct group *g, const struct group_packet *p);
    void *context;
    /* Counters of what happened, so that a test can see that it did. */
    uint64_t step_count;
    uint64_t elected_count;
    uint64_t install_count;
    uint64_t overwritten_count;
};

/* count members with engines, of which the first `voters` vote and the rest of `members` stand by;
 * others wait to be added. All are started. */
void group_init(struct group *g,
                const struct engine_options *options,
                unsigned count,
                unsigned members,
                unsigned voters);
void group_deinit(struct group *g);
struct group_member *group_at(struct group *g, uint64_t id);

/* Starts a member that is down from its disk. */
void group_start(struct group *g, uint64_t id);
/* Ends a member; the first `kept` records that were not synced reached the disk, the rest not. */
void group_crash(struct group *g, uint64_t id, size_t kept);

/* Makes all that the member has written durable and tells it; messages that waited leave. */
void group_sync(struct group *g, uint64_t id);
/* For a sync of its own time: group_sync_begin takes what is written, group_sync_end completes. */
void group_sync_begin(struct group *g, uint64_t id);
void group_sync_end(struct group *g, uint64_t id);
/* The state that an install asked for is there: writes its record. */
void group_fetch(struct group *g, uint64_t id);
/* A local snapshot of what is applied, if it is more than the last one: writes its record. */
void group_snapshot(struct group *g, uint64_t id);

/* Delivers packet i, or drops it if the link is cut or the member down. */
void group_deliver(struct group *g, size_t i);
void group_drop(struct group *g, size_t i);
/* Delivers what is now under way from one member to another, oldest first; 0: any. */
void group_deliver_link(struct group *g, uint64_t from, uint64_t to);
void group_drop_link(struct group *g, uint64_t from, uint64_t to);
/* Syncs and delivers until nothing is left to do, without letting time pass. */
void group_settle(struct group *g);
/* Lets time pass to the member's next timeout and ticks it; the others do not tick. */
void group_timeout(struct group *g, uint64_t id);
/* Cuts the member off from all others, or connects it. */
void group_isolate(struct group *g, uint64_t id, bool is_cut);
/* A hand-made message to a member. */
enum status group_inject(struct group *g, uint64_t to, const struct engine_message *m);

/* Proposes one command (a number). */
enum status group_propose(struct group *g, uint64_t id, uint64_t command);
/* Proposes the configuration in force with one member's role changed, added or removed. */
enum group_role {
    GROUP_OUT,
    GROUP_STANDBY,
    GROUP_VOTER,
};
enum status group_change(struct group *g, uint64_t id, uint64_t subject, enum group_role role);
enum status group_transfer(struct group *g, uint64_t id, uint64_t target);

/* 0: the member has no such entry. */
uint64_t group_term_of(const struct group_image *image, uint64_t index);
uint64_t group_last(const struct group_image *image);
/* The member that leads in the highest term; 0: none. */
uint64_t group_leader(const struct group *g);
bool group_has_voter(const struct engine_config *config, uint64_t id);

/* Looks at everything; called by the functions above after each step. */
void group_check(struct group *g, struct group_member *m);
void group_fail(struct group *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
