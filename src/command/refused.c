/* Commands of Redis that do not belong here, each with a hint. */
#include "command/command.h"

const struct command command_table_refused[] = {
    {.name = NULL},
};
