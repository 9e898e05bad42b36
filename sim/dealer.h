/* One client of transactions: its connection, its deal, and the replies it waits for. */
#ifndef SIM_DEALER_H
#define SIM_DEALER_H

#include "sim/client.h"
#include "sim/deals.h"

#define DEALER_ITEMS_MAX 64u
#define DEALER_WATCHED_MAX 4u
#define DEALER_NO_DEAL UINT32_MAX
#define DEALER_TAG_BYTES 7u /* "00002a;" */
#define DEALER_NAME_BYTES 24

enum deal_kind {
    DEAL_SINGLE, /* APPEND or GET */
    DEAL_MGET,
    DEAL_MULTI,
    DEAL_READS,  /* MULTI that only reads */
    DEAL_WATCH,  /* WATCH, GET, then MULTI */
    DEAL_STRICT, /* MULTI STRICT, in half of the cases with an error */
    DEAL_FAULTY, /* MULTI with an error among its commands */
    DEAL_DISCARD,
    DEAL_TOUCH,      /* WATCH, the same key is written, MULTI */
    DEAL_EXPIRE,     /* WATCH, the key expires, MULTI */
    DEAL_TRANSFER,   /* WATCH, GET, MULTI SET SET or MSET */
    DEAL_COUNT,      /* MULTI DECRBY INCRBY */
    DEAL_SUM,        /* all accounts */
    DEAL_FIND,       /* all places; then the token is moved */
    DEAL_TRIO_WRITE, /* MSET, MSETNX, DEL */
    DEAL_TRIO_READ,
    DEAL_KIND_COUNT,
    DEAL_FINAL = DEAL_KIND_COUNT, /* reads everything */
};

enum item_kind {
    ITEM_OK,
    ITEM_QUEUED,
    ITEM_EXEC,
    ITEM_APPEND,
    ITEM_GET,
    ITEM_MGET,
    ITEM_NO_INTEGER, /* the error of a command on a text */
    ITEM_INTEGER,
    ITEM_BRIEF, /* GET of a key that expires */
    ITEM_ACCOUNT,
    ITEM_ACCOUNTS,
    ITEM_PLACES,
    ITEM_MOVED, /* RENAME: OK or "no such key"; RENAMENX: 1, 0 or that */
    ITEM_TRIO,
    ITEM_TRIO_COUNT, /* EXISTS or DEL */
};

/* A reply that is awaited, or a part of it. */
struct item {
    enum item_kind kind;
    uint32_t deal; /* of the history, whose fate it tells; DEALER_NO_DEAL: none */
    size_t step;   /* of the history: the first of `count` */
    unsigned count;
    bool is_write;
};

struct items {
    struct item items[DEALER_ITEMS_MAX];
    size_t first;
    size_t count;
};

struct dealer {
    struct deals *deals;
    unsigned index;
    bool is_final;
    struct prng prng;
    struct sim_conn *conn;
    unsigned node;
    struct buf input;
    uint64_t life;  /* of the connection: older timers are stale */
    uint64_t batch; /* grows with each: its timeout is stale after the replies */
    uint64_t sent_us;
    uint64_t sent_boot; /* of the node: a later one does not know of it */
    bool is_active;
    bool is_connected;
    /* The deal: */
    enum deal_kind kind;
    unsigned round;
    uint64_t began_us; /* its first round was sent */
    struct items direct;
    struct items inside;                  /* the reply of EXEC */
    bool has_trouble;                     /* an error in this round: no next one */
    bool must_fail;                       /* EXEC must answer an error */
    bool must_change;                     /* EXEC must answer nil */
    bool may_change;                      /* it may */
    uint32_t watched[DEALER_WATCHED_MAX]; /* lists */
    int64_t lengths[DEALER_WATCHED_MAX];  /* of them, as read */
    unsigned watched_count;
    unsigned accounts[2];
    int64_t balances[2];
    unsigned told_count; /* of lengths or balances */
    int64_t place;       /* of the token, as found; -1: nowhere */
    uint32_t final_next; /* key of the history to read next */
    uint32_t groups[DEALS_GROUPS_MAX];
    unsigned group_count;
};

void dealer_act_later(struct dealer *c, uint64_t us);
/* deal_ask.c: the first or next round of the deal, to out; nothing: the deal is over. */
void deal_ask(struct dealer *c, struct buf *out);
/* For so long the client waits before the next round. */
uint64_t deal_pause_us(struct dealer *c);
/* deal_reply.c: takes all whole replies out of the input. */
void deal_take_replies(struct dealer *c);

#endif
