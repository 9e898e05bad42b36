/* BITFIELD: integers of any width inside a string. */
#include "command/command.h"

const struct command command_table_bitfield[] = {
    {.name = NULL},
};
