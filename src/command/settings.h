/*
 * Settings that CONFIG SET changes while the node runs: of this node alone, not on disk. Plain
 * data; whoever needs one reads it each time.
 */
#ifndef COMMAND_SETTINGS_H
#define COMMAND_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct settings {
    int64_t slowlog_slower_than_us; /* below 0: nothing is noted; 0: everything */
    uint64_t slowlog_max_len;
    uint64_t latency_threshold_ms; /* 0: no latency is monitored */
    uint64_t client_timeout_s;     /* idle connections are closed; 0: never */
    uint64_t max_clients;          /* at most LIMIT_CONNECTIONS */
    bool is_expiring; /* keys that are due are deleted unasked (DEBUG SET-ACTIVE-EXPIRE) */
};

#define SETTINGS_DEFAULT                                                                           \
    {                                                                                              \
        .slowlog_slower_than_us = 10000, .slowlog_max_len = 128, .max_clients = LIMIT_CONNECTIONS, \
        .is_expiring = true,                                                                       \
    }

#endif
