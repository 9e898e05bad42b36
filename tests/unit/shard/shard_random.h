/* Random commands and events for a shard_world. */
#ifndef SHARD_SHARD_RANDOM_H
#define SHARD_SHARD_RANDOM_H

#include <stdio.h>

#include "base/prng.h"
#include "shard_databases.h"

#define RANDOM_TEXT_BYTES 128u

/* @ is one key, + another one, # a number. */
static inline void random_command(struct prng *p, char out_text[RANDOM_TEXT_BYTES])
{
    static const char *const forms[] = {
        "set @ #",
        "set @ # px 150",
        "set @ # px 20",
        "set @ x nx keepttl get",
        "del @ +",
        "incr @",
        "incr @",
        "get @",
        "get @",
        "getex @ px 1#",
        "pexpire @ #",
        "persist @",
        "copy @ + db 1 replace",
        "move @ 1",
    };
    unsigned key = (unsigned)prng_below(p, 6);
    unsigned number = (unsigned)prng_below(p, 200);
    const char *form = forms[prng_below(p, sizeof forms / sizeof forms[0])];
    if (prng_chance(p, 20)) {
        form = prng_chance(p, 300) ? "FLUSHALL" : "FLUSHDB";
        (void)snprintf(out_text, RANDOM_TEXT_BYTES, "%s", form);
        return;
    }
    for (size_t at = 0; *form != '\0'; form++) {
        char *out = out_text + at;
        size_t room = RANDOM_TEXT_BYTES - at;
        int size = *form == '@'   ? snprintf(out, room, "k%u", key)
                   : *form == '+' ? snprintf(out, room, "k%u", (key + 1) % 6)
                   : *form == '#' ? snprintf(out, room, "%u", number)
                                  : snprintf(out, room, "%c", *form);
        at += (size_t)size;
    }
}

#define RANDOM_ASKS 12u

/* Whatever may happen between two commands. */
static inline void random_event(struct shard_world *w, struct prng *p)
{
    if (prng_chance(p, 300)) {
        world_turn(w);
    }
    if (prng_chance(p, 300)) {
        uint64_t open = w->replica.index_last - w->replica.index_applied;
        world_apply(w, w->replica.index_applied + prng_below(p, open + 1));
    }
    if (prng_chance(p, 200)) {
        world_confirm(w);
    }
    if (prng_chance(p, 300)) {
        fake_env_advance(&w->env, prng_below(p, 100));
    }
    if (prng_chance(p, 50)) {
        w->env.wall_ms -= prng_below(p, 300);
    }
    if (prng_chance(p, 50)) {
        w->replica.is_full = !w->replica.is_full;
    }
    if (prng_chance(p, 50)) {
        w->is_expiring = !w->is_expiring;
    }
    if (prng_chance(p, 30)) {
        world_lose(w);
        if (prng_chance(p, 500) && w->replica.index_last > w->replica.index_commit) {
            world_truncate(w, w->replica.index_commit + 1);
        }
        world_win(w);
    }
}

/* A burst of commands, some of them retries of the burst's own. Returns how many were answered. */
static inline unsigned random_burst(struct shard_world *w, struct prng *p)
{
    struct ask asks[RANDOM_ASKS];
    char text[RANDOM_TEXT_BYTES];
    unsigned answered = 0;
    for (unsigned i = 0; i < RANDOM_ASKS; i++) {
        random_command(p, text);
        struct request_id id = {0};
        if (i > 0 && prng_chance(p, 200)) {
            id = asks[prng_below(p, i)].id;
        }
        w->mark = w->sequence > 40 && prng_chance(p, 300) ? w->sequence - 40 : w->mark;
        ask_again(w, &asks[i], text, id);
        random_event(w, p);
    }
    w->replica.is_full = false;
    world_settle(w);
    for (unsigned i = 0; i < RANDOM_ASKS; i++) {
        CHECK(asks[i].is_done);
        CHECK_EQ(asks[i].verdict == SHARD_DONE, asks[i].reply.size > 0);
        answered += asks[i].verdict == SHARD_DONE ? 1 : 0;
        buf_deinit(&asks[i].reply);
    }
    check_databases(w);
    return answered;
}

#endif
