/* What an engine is made of, and how its words become libraft's. Inside engine*.c and tests only.
 */
#ifndef CONSENSUS_ENGINE_PARTS_H
#define CONSENSUS_ENGINE_PARTS_H

#include <raft.h>

#include "consensus/engine.h"

#define ENGINE_ADDRESS_BYTES 24u
/* Terms and indices of peers above this are nonsense: sums of them never wrap. */
#define ENGINE_NUMBER_MAX (UINT64_MAX >> 2)

struct engine {
    struct raft raft;
    struct raft_update update; /* libraft keeps a pointer to that of the last step */
    struct engine_events events;
    void *owner;
    uint64_t id;
    uint32_t max_inflight;
    uint64_t now_ms;
    bool is_started;
    bool is_halted; /* a step failed: what libraft holds now is not consistent */
    /* As last told to the owner. */
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    enum engine_role role;
    uint64_t leads_since_ms; /* since role became leader */
    uint64_t raft_commit;    /* libraft's own: ahead of commit during an install */
    uint64_t last_index;     /* of the owner's log */
    /* During a step: the entries that it may append, and the first one's index. */
    const struct engine_entry *offered;
    uint32_t offered_count;
    uint64_t offered_index;
    uint64_t dropped_count;
};

/* engine_step.c */
/* Every event begins so. */
void engine_begin(struct engine *e, uint64_t now_ms);
/* The entries that the next step may append, borrowed until it is told. */
void engine_offer(struct engine *e,
                  const struct engine_entry *entries,
                  uint32_t count,
                  uint64_t index);
/* One event, now. Returns libraft's code; e->update is not told yet. */
MUST_CHECK int engine_step(struct engine *e, struct raft_event *event);
/* Tells the owner what the step brought; rv is that of engine_step: CORRUPT unless 0. */
MUST_CHECK enum status engine_tell(struct engine *e, int rv);
/* Whether the last step brought this RAFT_UPDATE_. */
bool engine_has(const struct engine *e, unsigned flag);

/* engine_heap.c: libraft allocates through base/mem. */
void engine_heap_use(void);
/* Blocks that libraft holds now, of all engines of the process. */
uint64_t engine_heap_blocks(void);

/* engine_config.c */
/* 1 to ENGINE_MEMBERS_MAX members, ids set and different, a voter among them. */
bool engine_config_is_valid(const struct engine_config *config);
/* Whether `to` differs from `from` in one member, all others in the same order. */
bool engine_config_is_one_change(const struct engine_config *from, const struct engine_config *to);
/* out: to be closed by raft_configuration_close or given away. */
void engine_config_to_raft(const struct engine_config *config, struct raft_configuration *out);
void engine_config_from_raft(const struct raft_configuration *config,
                             uint64_t index,
                             struct engine_config *out);
/*
 * Fills out[count]. Returns the one block that holds the payloads of all CHANGE entries in
 * libraft's encoding, to be freed by raft_free; never NULL. Payloads must decode.
 */
void *engine_entries_to_raft(const struct engine_entry *entries,
                             size_t count,
                             struct raft_entry *out);

/* engine_message.c */
/* The decimal id: libraft wants addresses and nobody reads them. */
void engine_address(uint64_t id, char out[ENGINE_ADDRESS_BYTES]);
/* Whether a correct peer could have sent m. Looks at m alone. */
bool engine_message_is_sane(const struct engine_message *m);
/* All but append.entries and install.config, which are the caller's. */
void engine_message_to_raft(const struct engine_message *m,
                            const char *address,
                            struct raft_message *out);
void engine_message_from_raft(const struct raft_message *m, struct engine_message *out);

#endif
