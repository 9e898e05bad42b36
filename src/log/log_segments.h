/*
 * What is known of each file of the log: its batches, its size, and how far the entries of each
 * group in it go. It says when a file may be released. Rebuilt at start from the records.
 */
#ifndef LOG_LOG_SEGMENTS_H
#define LOG_LOG_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

#include "log/log_format.h"

/* One file of the log. */
struct log_segment {
    uint64_t id;
    uint64_t batch_first;
    uint64_t batch_last; /* the seal, once there is one; batch_first - 1: no batch yet */
    uint64_t bytes;      /* of the file */
    bool has_start;      /* durable GROUP records are in it, or it is the first of all */
    uint64_t *tops;      /* [group_count]: highest index of a group's entries in it; 0: none */
};

/* Oldest first, ids without gaps. */
struct log_segments {
    /* private */
    struct log_segment *items;
    size_t count;
    size_t capacity;
    uint32_t group_count;
};

void log_segments_init(struct log_segments *s, uint32_t group_count);
void log_segments_deinit(struct log_segments *s);

/* Adds one behind all others; the pointer is good until the next call that adds or drops. */
struct log_segment *log_segments_add(struct log_segments *s,
                                     const struct log_segment_header *header,
                                     uint64_t bytes);
/* NULL: there is none, or none with this id. */
struct log_segment *log_segments_newest(const struct log_segments *s);
struct log_segment *log_segments_find(const struct log_segments *s, uint64_t id);
/* Forgets those up to this id; returns how many. */
size_t log_segments_drop(struct log_segments *s, uint64_t id_last);
/* The highest index of the group's entries in those up to this id; 0: none. */
uint64_t log_segments_top(const struct log_segments *s, uint64_t id_last, uint16_t group);
uint64_t log_segments_bytes(const struct log_segments *s);

/* Raises tops[r->group] if r is an entry of a group below group_count. */
void log_tops_note(uint64_t *tops, uint32_t group_count, const struct log_record *r);

#endif
