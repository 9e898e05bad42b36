/* libraft's memory comes from base/mem, which never fails: its out-of-memory paths are not tested.
 */
#include <stdalign.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"
#include "consensus/engine_parts.h"

static uint64_t block_count;

static void *heap_malloc(void *data, size_t size)
{
    ensure(data == NULL);
    block_count++;
    return mem_alloc(size);
}

static void heap_free(void *data, void *memory)
{
    ensure(data == NULL);
    block_count -= memory != NULL;
    mem_free(memory);
}

static void *heap_calloc(void *data, size_t count, size_t size)
{
    ensure(data == NULL);
    ensure(size == 0 || count <= SIZE_MAX / size);
    block_count++;
    return mem_alloc_zero(count * size);
}

static void *heap_realloc(void *data, void *memory, size_t size)
{
    ensure(data == NULL);
    block_count += memory == NULL;
    return mem_realloc(memory, size);
}

static void *heap_aligned_alloc(void *data, size_t alignment, size_t size)
{
    ensure(data == NULL);
    ensure(alignment <= alignof(max_align_t));
    block_count++;
    return mem_alloc(size);
}

static void heap_aligned_free(void *data, size_t alignment, void *memory)
{
    ensure(alignment <= alignof(max_align_t));
    heap_free(data, memory);
}

void engine_heap_use(void)
{
    static struct raft_heap heap = {
        .data = NULL,
        .malloc = heap_malloc,
        .free = heap_free,
        .calloc = heap_calloc,
        .realloc = heap_realloc,
        .aligned_alloc = heap_aligned_alloc,
        .aligned_free = heap_aligned_free,
    };
    raft_heap_set(&heap);
}

uint64_t engine_heap_blocks(void)
{
    return block_count;
}
