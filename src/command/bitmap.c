/* Strings as arrays of bits. */
#include "command/command.h"

const struct command command_table_bitmap[] = {
    {.name = NULL},
};
