/* Engines for tests: each kind can be opened at a place, crash there, and be opened again. */
#ifndef UNIT_STORE_ENGINES_H
#define UNIT_STORE_ENGINES_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/prng.h"
#include "harness.h"
#include "store/engine.h"

#define PLACE_PATH_BYTES 512u

enum engine_kind {
    ENGINE_MEM,      /* always at hand */
    ENGINE_MEM_MISS, /* half of all look-ups say NEED */
    ENGINE_ROCKS,
    ENGINE_KINDS,
};

struct place {
    enum engine_kind kind;
    struct store_medium *medium;
    char dir[PLACE_PATH_BYTES]; /* of RocksDB; what crashed before lies beside it */
    char base[PLACE_PATH_BYTES / 2];
    unsigned crashes;
    uint64_t cache_bytes;
};

static inline void place_name(struct place *p)
{
    (void)snprintf(p->dir, sizeof p->dir, "%s/%u", p->base, p->crashes);
}

static inline void place_init(struct place *p, enum engine_kind kind)
{
    *p = (struct place){.kind = kind, .medium = store_medium_create(), .cache_bytes = 4u << 20};
    (void)snprintf(p->base, sizeof p->base, "/tmp/dougong-store-XXXXXX");
    CHECK(mkdtemp(p->base) != NULL);
    place_name(p);
}

/* Calls fn for each file of the directory. */
static inline void dir_each(const char *dir,
                            void (*fn)(const char *path, const char *name, void *ctx),
                            void *ctx)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return;
    }
    char path[PLACE_PATH_BYTES * 2];
    for (const struct dirent *entry = readdir(d); entry != NULL; entry = readdir(d)) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
            fn(path, entry->d_name, ctx);
        }
    }
    (void)closedir(d);
}

static inline void file_unlink(const char *path, const char *name, void *ctx)
{
    (void)name;
    (void)ctx;
    (void)unlink(path);
}

static inline void dir_remove(const char *dir)
{
    dir_each(dir, file_unlink, NULL);
    (void)rmdir(dir);
}

static inline void place_deinit(struct place *p)
{
    store_medium_destroy(p->medium);
    for (unsigned i = 0; i <= p->crashes; i++) {
        char dir[PLACE_PATH_BYTES];
        (void)snprintf(dir, sizeof dir, "%s/%u", p->base, i);
        dir_remove(dir);
    }
    (void)rmdir(p->base);
}

static inline enum status place_try_open(struct place *p, struct store_engine **out_engine)
{
    if (p->kind == ENGINE_ROCKS) {
        struct store_rocks_options options = {.dir = p->dir, .cache_bytes = p->cache_bytes};
        struct error error;
        return store_engine_rocks_create(&options, out_engine, &error);
    }
    *out_engine = store_engine_mem_create(p->medium);
    if (p->kind == ENGINE_MEM_MISS) {
        store_engine_mem_miss(*out_engine, 5, 500);
    }
    return STATUS_OK;
}

static inline struct store_engine *place_open(struct place *p)
{
    struct store_engine *engine = NULL;
    CHECK_EQ(place_try_open(p, &engine), STATUS_OK);
    return engine;
}

static inline void file_copy(const char *from, const char *name, const char *to_dir)
{
    char to[PLACE_PATH_BYTES * 2];
    static char block[1u << 16];
    (void)snprintf(to, sizeof to, "%s/%s", to_dir, name);
    FILE *in = fopen(from, "rb");
    if (in == NULL) {
        return; /* RocksDB has just removed it */
    }
    FILE *out = fopen(to, "wb");
    CHECK(out != NULL);
    for (size_t n = fread(block, 1, sizeof block, in); n > 0;
         n = fread(block, 1, sizeof block, in)) {
        CHECK_EQ(fwrite(block, 1, n, out), n);
    }
    (void)fclose(in);
    CHECK_EQ(fclose(out), 0);
}

static inline void table_copy(const char *from, const char *name, void *ctx)
{
    if (strstr(name, ".sst") != NULL) {
        file_copy(from, name, ctx);
    }
}

static inline void other_copy(const char *from, const char *name, void *ctx)
{
    if (strstr(name, ".sst") == NULL) {
        file_copy(from, name, ctx);
    }
}

/*
 * The process dies now: call it before the engine is destroyed. What RocksDB had in its files is
 * what counts at the next open; of a medium a random prefix of the batches.
 */
static inline void place_crash(struct place *p)
{
    if (p->kind == ENGINE_ROCKS) {
        char from[PLACE_PATH_BYTES];
        (void)snprintf(from, sizeof from, "%s", p->dir);
        p->crashes++;
        place_name(p);
        CHECK_EQ(mkdir(p->dir, 0755), 0);
        /* Its threads go on: what the manifest names is there before it or right after it. */
        dir_each(from, table_copy, p->dir);
        dir_each(from, other_copy, p->dir);
        dir_each(from, table_copy, p->dir);
    }
}

/* After the engine was destroyed. */
static inline void place_crashed(struct place *p, struct prng *prng)
{
    size_t keep = prng_below(prng, store_medium_pending(p->medium) + 1);
    store_medium_crash(p->medium, keep);
}

#endif
