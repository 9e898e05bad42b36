#include "main/memory.h"

#include <malloc.h>
#include <unistd.h>

#include "base/limits.h"

/* One part in this many of the machine's memory. */
#define SHARE 8u
#define CACHE_BYTES_MIN (64u * MIB)
/* Blocks from this size on go back to the system when they are freed. */
#define HEAP_LARGE_BYTES ((int)(256u * KIB))
/* Heaps beside each other: one for the loop, one for workers and RocksDB. */
#define HEAP_ARENAS 2
/* What is free at the end of the heap stays up to this, for the next burst. */
#define HEAP_FREE_BYTES ((int)(16u * MIB))

uint64_t memory_of_buffers(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / SHARE : 0;
}

uint64_t memory_of_cache(uint32_t nodes)
{
    uint64_t share = memory_of_buffers() / nodes;
    return share > CACHE_BYTES_MIN ? share : CACHE_BYTES_MIN;
}

/*
 * Left alone, glibc takes the largest block that was ever freed (up to 32 MiB) for the bound
 * between heap and system; rows of a MiB then lie between small blocks, and what they leave behind
 * cannot be given back: ten times the memory that is in use. And it merges its fast bins within
 * some free(): milliseconds on the loop.
 */
void memory_set_heap(void)
{
    (void)mallopt(M_MXFAST, 0);
    (void)mallopt(M_MMAP_THRESHOLD, HEAP_LARGE_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_FREE_BYTES);
    (void)mallopt(M_ARENA_MAX, HEAP_ARENAS);
}
