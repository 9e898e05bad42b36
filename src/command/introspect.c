/* COMMAND: what this server can do. */
#include "command/command.h"

const struct command command_table_introspect[] = {
    {.name = NULL},
};
