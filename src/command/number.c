/* INCR and its relatives, on integers and floats. */
#include "command/command.h"

const struct command command_table_number[] = {
    {.name = NULL},
};
