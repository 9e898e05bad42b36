/*
 * How founders become a cluster (design 5b.5, MOVE-2): every founder must be sure that all others
 * mean the same directories before anybody votes, so that a directory that was emptied never votes
 * a second time. A pure state machine: no clock, no I/O; what it wants goes through callbacks.
 *
 *     RECORDING ─all have recorded the same ids, or a formed founder says so─► FORMED
 *         └─refused, or the store failed─► STOPPED
 *
 * Rules
 * 1. A founder durably records the node id of each other one when it first hears it, and for this
 *    directory that is for ever: another id for that number is refused.
 * 2. It forms when it has recorded all ids and every other founder has said that it has recorded
 *    exactly the same. Forming is one durable step: formed, cluster id, members.
 * 3. It also forms when a formed founder names the list it has itself recorded.
 * 4. A formed founder changes nothing any more, and answers founders that are not formed.
 * 5. Nothing is recorded from a founder with another list of founders or number of groups.
 * 6. A formed founder talks to members of its list only.
 *
 * Why two clusters never live at the same time. Call a directory by its node id, and a list agreed
 * when all of its directories have recorded it; only agreed lists are formed (rule 2). A directory
 * records one complete list in its life (rule 1), so two different agreed lists L and M share no
 * directory. One of them is later at every number: suppose L[i] came after M[i], but L[k] before
 * M[k]. L[k] heard L[i], so L[i] was made before L[k] was emptied, so before M[k] was made. M[i]
 * heard M[k], so M[k] was made before M[i] was emptied, so before L[i] was made: contradiction. So
 * when the later list is formed no directory of the earlier one is left, which is what somebody
 * means who empties them all. (One directory at a time at a number's address is assumed.)
 *
 * Why rule 3 is safe: the formed founder counted this directory among those that had recorded its
 * list. So this directory has recorded it, can never form another, and adopting adds no list to
 * the world; it only spares the wait for a founder that is down. If its own record says otherwise
 * the directory is older than what it has said (restored from a copy): it is refused, for it may
 * have voted since.
 *
 * A founder emptied at any moment comes back under a new id: founders that had recorded the old one
 * refuse it, and those that had not have not said a complete list, so no list holds the old id. It
 * has not voted: nobody votes before FORMED.
 */
#ifndef NODE_FOUNDING_H
#define NODE_FOUNDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "node/identity.h"
#include "peer/peers.h"

/*
 * How often the owner calls founding_tick until the cluster is formed. Whatever got lost, also for
 * lack of space, is said again so often: by those that are not formed, and to them by the formed.
 */
#define FOUNDING_TICK_MS 200u
#define FOUNDING_TEXT_BYTES 256u
/* Ends every refusal that is final: the founder that hears it can never become a member. */
#define FOUNDING_FINAL "use --join"

/* What the command line says; a list of one founder is a cluster of one too. */
struct founding_flags {
    const char *founders; /* --cluster; NULL: a cluster of one */
    uint32_t number;      /* ours in it, 1 for a cluster of one */
    uint32_t groups;      /* 0: not given */
};

/* None may call back into this machine, except founding_is_formed. */
struct founding_callbacks {
    /*
     * Makes identity durable before it returns. NO_SPACE: it is certainly not on disk, and the one
     * before is; what was heard counts as lost. Any other failure ends this machine without another
     * callback: whether it is on disk is unknown, so the node halts.
     */
    enum status (*store)(void *owner, const struct identity *identity);
    /* Queues for a founder; losing it is fine. message is borrowed for the call. */
    void (*send)(void *owner, uint32_t number, struct bytes message);
    /* Once, when this process sees the cluster formed; not if it was formed at founding_init. */
    void (*formed)(void *owner);
    /* Once: this node must stop, it can never become a member. The text says why and what to do. */
    void (*refused)(void *owner, const char *reason);
    /* For the log; once per founder and process. */
    void (*warning)(void *owner, const char *text);
};

enum founding_state {
    FOUNDING_STATE_RECORDING,
    FOUNDING_STATE_FORMED,
    FOUNDING_STATE_STOPPED,
};

/* Caller's memory; holds none of its own. */
struct founding {
    /* private */
    struct identity *identity;
    const struct founding_callbacks *callbacks;
    void *owner;
    enum founding_state state;
    uint32_t count;
    uint8_t list_digest[IDENTITY_ID_BYTES];
    bool has_said[IDENTITY_FOUNDERS_MAX]; /* [number - 1] has recorded the list we recorded */
    bool is_warned[IDENTITY_FOUNDERS_MAX];
    char reason[FOUNDING_TEXT_BYTES];
};

/*
 * Reads --cluster: how many founders, and which one own_address is, compared as text. INVALID: too
 * many, too long, empty, given twice, with blanks, or without own_address.
 */
MUST_CHECK enum status founding_parse_list(const char *founders,
                                           const char *own_address,
                                           uint32_t *out_count,
                                           uint32_t *out_number,
                                           struct error *error);

/*
 * The identity of a new directory; the caller stores it before anything else. A cluster of one is
 * formed at once, with the random cluster_id; founders of a larger one ignore cluster_id.
 */
void founding_identity(struct identity *out_identity,
                       const struct founding_flags *flags,
                       const uint8_t node_id[IDENTITY_ID_BYTES],
                       const uint8_t cluster_id[IDENTITY_ID_BYTES]);

/* INVALID: flags are not those this directory was started with first; the text names both. */
MUST_CHECK enum status founding_check_flags(const struct identity *identity,
                                            const struct founding_flags *flags,
                                            struct error *error);

/* identity (as stored), callbacks and owner are borrowed for life; no callback is called. */
void founding_init(struct founding *f,
                   struct identity *identity,
                   const struct founding_callbacks *callbacks,
                   void *owner);

bool founding_is_formed(const struct founding *f);

/*
 * May it talk to us? False: out_reason, borrowed until the next call here. A founder that is not
 * formed yet is let in by a formed one only as a member, so it can become nothing else.
 */
bool founding_judge(struct founding *f, const struct peer_hello *hello, const char **out_reason);
/* A connection to this founder stands. */
void founding_connected(struct founding *f, uint32_t number);
/* A message of kind MESSAGE_FOUNDING. */
void founding_received(struct founding *f, uint32_t number, struct bytes message);
/*
 * This founder refused us. Only a reason that ends in FOUNDING_FINAL ends this machine: others come
 * from a founder that was started wrongly, and the right ones must not stop with it.
 */
void founding_refused(struct founding *f, uint32_t number, const char *reason);
/* Says everything again; every FOUNDING_TICK_MS until formed, harmless later. */
void founding_tick(struct founding *f);

#endif
