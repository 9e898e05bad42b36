/* Options of `dougong server`, in one table: parsing, defaults and --help come from it. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct options {
    const char *data;
    const char *listen;
    uint64_t buffer_memory; /* bytes; 0: an eighth of the machine's memory */
    bool insecure;
};

/* args: what follows `dougong server`. The strings are borrowed. INVALID: the error says why. */
MUST_CHECK enum status options_parse(int arg_count,
                                     char **args,
                                     struct options *out_options,
                                     struct error *error);
/* One paragraph a row, for --help. */
void options_help(struct buf *out);

#endif
