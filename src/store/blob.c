#include "store/blob.h"

#include "base/assert.h"
#include "base/mem.h"

struct blob *blob_create(size_t size)
{
    ensure(size <= UINT32_MAX);
    struct blob *b = mem_alloc(sizeof *b + size);
    b->refs = 1;
    b->size = (uint32_t)size;
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    ensure(b->refs > 0);
    b->refs++;
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL) {
        return;
    }
    ensure(b->refs > 0);
    if (--b->refs == 0) {
        mem_free(b);
    }
}
