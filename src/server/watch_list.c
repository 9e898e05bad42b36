#include "server/watch_list.h"

#include "base/assert.h"

struct watch_row {
    uint64_t version;
    size_t offset; /* of the key */
    uint32_t size;
    uint32_t database;
};

void watch_list_init(struct watch_list *w)
{
    *w = (struct watch_list){0};
    buf_init(&w->keys, LIMIT_WATCH_BYTES);
    buf_init(&w->rows, LIMIT_WATCH_KEYS * sizeof(struct watch_row));
}

void watch_list_deinit(struct watch_list *w)
{
    buf_deinit(&w->keys);
    buf_deinit(&w->rows);
}

void watch_list_clear(struct watch_list *w)
{
    w->count = 0;
    buf_clear(&w->keys, 0);
    buf_clear(&w->rows, 0);
}

uint64_t watch_list_memory(const struct watch_list *w)
{
    return w->keys.capacity + w->rows.capacity;
}

size_t watch_list_bytes(const struct watch_list *w)
{
    return w->keys.size;
}

static struct watch_row row_at(const struct watch_list *w, size_t i)
{
    struct watch_row row;
    memcpy(&row, w->rows.data + i * sizeof row, sizeof row);
    return row;
}

static bool has(const struct watch_list *w, const struct txn_key *key)
{
    for (size_t i = 0; i < w->count; i++) {
        struct watch_row row = row_at(w, i);
        if (row.database == key->database &&
            bytes_equal(bytes_of(w->keys.data + row.offset, row.size), key->key)) {
            return true;
        }
    }
    return false;
}

void watch_list_add(struct watch_list *w, const struct txn_key *key, uint64_t version)
{
    if (has(w, key)) {
        reached("server: watched a second time");
        return;
    }
    struct watch_row row = {
        .version = version,
        .offset = w->keys.size,
        .size = (uint32_t)key->key.size,
        .database = key->database,
    };
    buf_append_bytes(&w->keys, key->key);
    buf_append(&w->rows, &row, sizeof row);
    w->count++;
}

void watch_list_compares(const struct watch_list *w, struct txn_compare *out)
{
    for (size_t i = 0; i < w->count; i++) {
        struct watch_row row = row_at(w, i);
        out[i] = (struct txn_compare){
            .database = (uint8_t)row.database,
            .is_watched = true,
            .version = row.version,
            .key = bytes_of(w->keys.data + row.offset, row.size),
        };
    }
}
