#include "base/mem.h"

#include <stdlib.h>

#include "base/assert.h"

static void *check(void *memory, size_t size)
{
    if (memory == NULL && size > 0) {
        assert_fail("out of memory", __FILE__, __LINE__, __func__);
    }
    return memory;
}

void *mem_alloc(size_t size)
{
    size_t at_least = size > 0 ? size : 1;
    return check(malloc(at_least), at_least);
}

void *mem_alloc_zero(size_t size)
{
    size_t at_least = size > 0 ? size : 1;
    return check(calloc(1, at_least), at_least);
}

void *mem_realloc(void *memory, size_t size)
{
    size_t at_least = size > 0 ? size : 1;
    return check(realloc(memory, at_least), at_least);
}

void mem_free(void *memory)
{
    free(memory);
}
