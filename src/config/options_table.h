/* One row an option, one table a verb. Inside the room config only. */
#ifndef CONFIG_OPTIONS_TABLE_H
#define CONFIG_OPTIONS_TABLE_H

#include <stddef.h>

#include "config/options.h"

enum option_type {
    OPTION_TEXT,   /* const char * */
    OPTION_BYTES,  /* uint64_t; a number with an optional kb, mb or gb */
    OPTION_NUMBER, /* uint32_t from min to max */
    OPTION_FLAG,   /* bool; takes no value */
};

struct option {
    const char *name;
    const char *value; /* how --help calls it */
    enum option_type type;
    uint32_t min; /* NUMBER */
    uint32_t max;
    const char *fallback; /* the default, as it would be typed; NULL: none, or told in help */
    size_t offset;
    const char *help;
};

/* Each ends with a row whose name is NULL. */
extern const struct option options_server_table[];
extern const struct option options_rebuild_table[];
extern const struct option options_local_table[];
extern const struct option options_query_table[];

#endif
