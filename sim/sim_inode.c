#include "sim/sim_inode.h"

#include <string.h>

#include "base/mem.h"

#define FILE_BYTES_MAX ((size_t)1 << 30)

struct sim_write {
    struct list link;
    uint64_t offset;
    size_t size;
    uint8_t data[];
};

static struct sim_write *write_of(struct list *link)
{
    return container_of(link, struct sim_write, link);
}

/* ---- contents -------------------------------------------------------------------------------- */

static void buf_grow_zero(struct buf *b, size_t size)
{
    if (size > b->size) {
        size_t more = size - b->size;
        memset(buf_reserve(b, more), 0, more);
        buf_extend(b, more);
    }
}

static void buf_write(struct buf *b, uint64_t offset, const void *data, size_t size)
{
    buf_grow_zero(b, (size_t)offset + size);
    if (size > 0) {
        memcpy(b->data + offset, data, size);
    }
}

void sim_inode_drop_writes(struct sim_inode *inode)
{
    for (struct list *l = list_take_first(&inode->writes); l != NULL;
         l = list_take_first(&inode->writes)) {
        mem_free(write_of(l));
    }
}

void sim_inode_write(struct sim_inode *inode, uint64_t offset, struct bytes bytes)
{
    struct sim_write *write = mem_alloc(sizeof *write + bytes.size);
    *write = (struct sim_write){.offset = offset, .size = bytes.size};
    if (bytes.size > 0) {
        memcpy(write->data, bytes.data, bytes.size);
    }
    list_append(&inode->writes, &write->link);
    buf_write(&inode->now, offset, bytes.data, bytes.size);
    inode->newest[0] = inode->newest[1];
    inode->newest[1] = offset;
}

uint64_t sim_inode_proven(const struct sim_inode *inode)
{
    uint64_t end = inode->newest[0] < inode->newest[1] ? inode->newest[0] : inode->newest[1];
    return end < inode->now.size ? end : inode->now.size;
}

void sim_inode_sync(struct sim_inode *inode)
{
    list_each(l, &inode->writes) {
        const struct sim_write *write = write_of(l);
        buf_write(&inode->durable, write->offset, write->data, write->size);
    }
    sim_inode_drop_writes(inode);
}

void sim_inode_destroy(struct sim_inode *inode)
{
    sim_inode_drop_writes(inode);
    list_remove(&inode->link);
    buf_deinit(&inode->now);
    buf_deinit(&inode->durable);
    mem_free(inode);
}

struct sim_inode *sim_inode_create(struct list *inodes)
{
    struct sim_inode *inode = mem_alloc_zero(sizeof *inode);
    buf_init(&inode->now, FILE_BYTES_MAX);
    buf_init(&inode->durable, FILE_BYTES_MAX);
    list_init(&inode->writes);
    list_append(inodes, &inode->link);
    return inode;
}

/* ---- crash ------------------------------------------------------------------------------------
 */

enum sim_crash_mood sim_crash_mood_pick(struct prng *p)
{
    uint64_t x = prng_below(p, 10);
    return x < 2 ? SIM_CRASH_MOOD_KEEP_ALL : x < 4 ? SIM_CRASH_MOOD_LOSE_ALL : SIM_CRASH_MOOD_MIXED;
}

/* Some sectors of the write: a prefix, or any. */
static void keep_torn(struct sim_inode *inode, const struct sim_write *write, struct prng *p)
{
    bool is_prefix = prng_chance(p, 500);
    uint64_t sectors =
        (write->offset + write->size) / SIM_SECTOR_BYTES - write->offset / SIM_SECTOR_BYTES + 1;
    uint64_t prefix = prng_below(p, sectors + 1);
    size_t at = 0;
    for (uint64_t i = 0; at < write->size; i++) {
        size_t room = SIM_SECTOR_BYTES - (size_t)((write->offset + at) % SIM_SECTOR_BYTES);
        size_t size = write->size - at < room ? write->size - at : room;
        if (is_prefix ? i < prefix : prng_chance(p, 500)) {
            buf_write(&inode->durable, write->offset + at, write->data + at, size);
        }
        at += size;
    }
}

void sim_inode_crash(struct sim_inode *inode, enum sim_crash_mood mood, struct prng *p)
{
    size_t size_now = inode->now.size;
    list_each(l, &inode->writes) {
        const struct sim_write *write = write_of(l);
        uint64_t x = prng_below(p, 3);
        if (mood == SIM_CRASH_MOOD_KEEP_ALL || (mood == SIM_CRASH_MOOD_MIXED && x == 0)) {
            buf_write(&inode->durable, write->offset, write->data, write->size);
        } else if (mood == SIM_CRASH_MOOD_MIXED && x == 1) {
            keep_torn(inode, write, p);
        }
    }
    sim_inode_drop_writes(inode);
    /* The size is metadata and may be ahead of the data: then zeros stand there. */
    if (size_now > inode->durable.size && mood != SIM_CRASH_MOOD_LOSE_ALL && prng_chance(p, 500)) {
        buf_grow_zero(&inode->durable, prng_between(p, inode->durable.size, size_now));
    }
    buf_clear(&inode->now, SIZE_MAX);
    buf_append_bytes(&inode->now, buf_bytes(&inode->durable));
}
