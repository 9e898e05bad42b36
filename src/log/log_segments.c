#include "log/log_segments.h"

#include "base/assert.h"
#include "base/mem.h"

void log_segments_init(struct log_segments *s, uint32_t group_count)
{
    ensure(group_count > 0);
    *s = (struct log_segments){.group_count = group_count};
}

void log_segments_deinit(struct log_segments *s)
{
    for (size_t i = 0; i < s->count; i++) {
        mem_free(s->items[i].tops);
    }
    mem_free(s->items);
    *s = (struct log_segments){0};
}

struct log_segment *log_segments_add(struct log_segments *s,
                                     const struct log_segment_header *header,
                                     uint64_t bytes)
{
    ensure(s->count == 0 || header->id == s->items[s->count - 1].id + 1);
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 16 : 2 * s->capacity;
        s->items = mem_realloc(s->items, s->capacity * sizeof s->items[0]);
    }
    struct log_segment *segment = &s->items[s->count++];
    *segment = (struct log_segment){
        .id = header->id,
        .batch_first = header->batch_first,
        .batch_last = header->batch_first - 1,
        .bytes = bytes,
        .has_start = header->id == 1,
        .tops = mem_alloc_zero(s->group_count * sizeof segment->tops[0]),
    };
    return segment;
}

struct log_segment *log_segments_newest(const struct log_segments *s)
{
    return s->count > 0 ? &s->items[s->count - 1] : NULL;
}

struct log_segment *log_segments_find(const struct log_segments *s, uint64_t id)
{
    bool is_there = s->count > 0 && id >= s->items[0].id && id - s->items[0].id < s->count;
    return is_there ? &s->items[id - s->items[0].id] : NULL;
}

size_t log_segments_drop(struct log_segments *s, uint64_t id_last)
{
    size_t dropped = 0;
    while (dropped < s->count && s->items[dropped].id <= id_last) {
        mem_free(s->items[dropped++].tops);
    }
    s->count -= dropped;
    if (dropped > 0 && s->count > 0) {
        memmove(s->items, s->items + dropped, s->count * sizeof s->items[0]);
    }
    return dropped;
}

uint64_t log_segments_top(const struct log_segments *s, uint64_t id_last, uint16_t group)
{
    ensure(group < s->group_count);
    uint64_t top = 0;
    for (size_t i = 0; i < s->count && s->items[i].id <= id_last; i++) {
        uint64_t here = s->items[i].tops[group];
        top = here > top ? here : top;
    }
    return top;
}

uint64_t log_segments_bytes(const struct log_segments *s)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->count; i++) {
        bytes += s->items[i].bytes;
    }
    return bytes;
}

void log_tops_note(uint64_t *tops, uint32_t group_count, const struct log_record *r)
{
    const struct log_kind_traits *traits = log_kind_find(r->kind);
    ensure(traits != NULL);
    if (traits->is_entry && r->group < group_count && r->index > tops[r->group]) {
        tops[r->group] = r->index;
    }
}
