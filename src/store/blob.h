/* An immutable, reference-counted value. Loop thread only. */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include "base/bytes.h"

struct blob {
    uint32_t refs;
    uint32_t size;
    uint8_t data[];
};

/* One reference for the caller; the bytes are for the caller to fill before anybody else sees it.
 */
struct blob *blob_create(size_t size);
struct blob *blob_ref(struct blob *b);
/* Frees it with the last reference. NULL is fine. */
void blob_unref(struct blob *b);

static inline struct bytes blob_bytes(const struct blob *b)
{
    return bytes_of(b->data, b->size);
}

#endif
