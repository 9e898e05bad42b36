/* What log.c and log_files.c share. */
#ifndef LOG_LOG_PARTS_H
#define LOG_LOG_PARTS_H

#include "log/log.h"

/* ---- log_files.c ----------------------------------------------------------------------------- */

void log_files_init(struct log *log);
/* Blocking, at start: makes segment 1 of a new log. */
MUST_CHECK enum status log_files_first(struct log *log);
/*
 * Worker: the prepared file becomes the segment of this header, under its real name; durable on
 * return (LOG-10).
 */
MUST_CHECK enum status log_files_publish(struct log *log, const struct log_segment_header *header);
/*
 * Makes the next segment, with room for the batch that gathers, unless that is under way or done.
 * Calls log_flush when it is there.
 */
void log_files_prepare(struct log *log);
/* True: the next segment is there and has room for the batch that gathers. */
bool log_files_is_prepared(const struct log *log);

/* ---- log.c ----------------------------------------------------------------------------------- */

/* Another job ended: true if closing is under way and took over. */
bool log_go_on_closing(struct log *log);

#endif
