/* `dougong status`, `nodes`, `groups`, `transactions` and `locate KEY`: what one node says about
 * its cluster. */
#ifndef MAIN_QUERY_H
#define MAIN_QUERY_H

#include <stdbool.h>

struct query {
    const char *verb;
    const char *subcommand; /* of DOUGONG */
    bool needs_key;
};

/* args: what follows the verb. Returns the exit status. */
int query_run(const struct query *query, int arg_count, char **args);

#endif
