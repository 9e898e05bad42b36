/*
 * Reading the log at start: which bytes are the log, which are a torn tail that may be cut, and
 * which are damage that must stop the node (LOG-4 to LOG-11 of the protocol rules).
 */
#ifndef LOG_LOG_RECOVERY_H
#define LOG_LOG_RECOVERY_H

#include "base/status.h"
#include "env/env.h"
#include "log/log_segments.h"

/*
 * Called for every record in log order, each durable by then; payload is borrowed for the call. Not
 * OK stops recovery.
 */
typedef enum status (*log_replay_fn)(void *ctx,
                                     const struct log_record *record,
                                     struct bytes payload,
                                     struct error *error);

/* Where appending goes on. */
struct log_tail {
    bool is_empty; /* no segment yet */
    struct log_segment_header segment;
    uint64_t offset;
    uint64_t batch_next;
    uint64_t cut_bytes; /* torn bytes that were overwritten with zeros */
};

/*
 * Replays the log in dir. On STATUS_OK all of it is synced and its newest batch written once more
 * (LOG-8), the tail is clean (LOG-9) and unfinished files are removed. STATUS_CORRUPT: damage; the
 * error names the file and what to do. The log begins with any segment: older ones were released.
 * Adds what there is to segments, which is empty; failed: some of it.
 */
MUST_CHECK enum status log_recover(struct env *env,
                                   const char *dir,
                                   const uint8_t node_id[LOG_NODE_ID_BYTES],
                                   log_replay_fn replay,
                                   void *replay_ctx,
                                   struct log_tail *out_tail,
                                   struct log_segments *segments,
                                   struct error *error);

#define LOG_PATH_BYTES 512u
#define LOG_NEW_SUFFIX ".new" /* a segment that is not part of the log yet */

void log_segment_path(char out_path[LOG_PATH_BYTES],
                      const char *dir,
                      uint64_t id,
                      const char *suffix);

#endif
