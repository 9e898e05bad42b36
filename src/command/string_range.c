/* Parts of strings: APPEND, GETRANGE, SETRANGE, STRLEN. */
#include "command/command.h"

const struct command command_table_string_range[] = {
    {.name = NULL},
};
