/* CONFIG: settings by name. */
#include "command/command.h"

const struct command command_table_config[] = {
    {.name = NULL},
};
