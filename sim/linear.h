/*
 * Was the history of one key possible if each operation took effect at one instant between its call
 * and its return? The search of Wing and Gong with the memory of Lowe, as in Porcupine.
 *
 * An operation with an unknown outcome takes effect at any time after its call, or never.
 * Operations of one session with a known outcome take effect in the order called (ORD-7).
 */
#ifndef SIM_LINEAR_H
#define SIM_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define LINEAR_UNKNOWN UINT64_MAX

enum linear_kind {
    LINEAR_GET,
    LINEAR_SET,
    LINEAR_SET_NX,
    LINEAR_DEL,
    LINEAR_INCR,
    LINEAR_EXISTS,
    LINEAR_EXPIRE,  /* PEXPIRE, PEXPIREAT */
    LINEAR_PERSIST, /* what it says depends on the key's expiry: no more than that it was there */
    LINEAR_GETEX,   /* a GET that gives the key an expiry */
};

/* What a key holds. Texts are known by a number; an INCR of a text is an error. */
enum linear_type {
    LINEAR_ABSENT,
    LINEAR_INTEGER,
    LINEAR_TEXT,
};

struct linear_value {
    enum linear_type type;
    int64_t number;
};

struct linear_operation {
    uint32_t session;
    enum linear_kind kind;
    uint64_t call_us;
    uint64_t return_us;           /* LINEAR_UNKNOWN: no outcome */
    struct linear_value argument; /* SET, SET_NX */
    struct linear_value value;    /* what GET or GETEX saw */
    bool is_done;                 /* DEL, EXISTS, EXPIRE: the key was there; SET_NX: it was set;
                                     PERSIST: it had an expiry */
    bool is_refused;              /* INCR: the value was no integer */
    int64_t number;               /* INCR: the result */
    uint64_t ttl_ms;              /* SET, EXPIRE, GETEX: the time to live; 0: for ever */
    bool is_absolute;             /* it was asked for as a time: the call's and ttl_ms */
};

enum linear_verdict {
    LINEAR_OK,
    LINEAR_FAILED,
    LINEAR_BUDGET, /* gave up: neither proven nor refuted */
};

struct linear_result {
    enum linear_verdict verdict;
    uint64_t steps;
};

/*
 * Operations in the order of their calls; known ones of a session also in that of their returns.
 * The key is absent at first. budget: steps of the search. Unless the verdict is OK, the history
 * around the place where the best attempt got stuck is appended to out_report (may be NULL).
 */
struct linear_result linear_check(const struct linear_operation *operations,
                                  size_t count,
                                  uint64_t budget,
                                  struct buf *out_report);

/* The state after op if it can take effect on `before` with its result. Exposed for naive twins. */
bool linear_apply(const struct linear_operation *op,
                  struct linear_value before,
                  struct linear_value *out_after);

static inline bool linear_value_equal(struct linear_value a, struct linear_value b)
{
    return a.type == b.type && a.number == b.number;
}

static inline bool linear_is_unknown(const struct linear_operation *op)
{
    return op->return_us == LINEAR_UNKNOWN;
}

/* "SET v17 -> ok", for reports. */
void linear_print(const struct linear_operation *op, struct buf *out);
/* "nil", "17" or "v17". */
void linear_print_value(struct linear_value v, struct buf *out);

#endif
