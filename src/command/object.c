/* What a key is inside: OBJECT, MEMORY USAGE. */
#include "command/command.h"

const struct command command_table_object[] = {
    {.name = NULL},
};
