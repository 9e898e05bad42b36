/* CLIENT and MONITOR: connections of this node. */
#include "command/command.h"

const struct command command_table_client[] = {
    {.name = NULL},
};
