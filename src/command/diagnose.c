/* SLOWLOG, LATENCY, DEBUG: where time goes. */
#include "command/command.h"

const struct command command_table_diagnose[] = {
    {.name = NULL},
};
