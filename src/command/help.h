/* HELP of commands with subcommands. */
#ifndef COMMAND_HELP_H
#define COMMAND_HELP_H

#include "command/command.h"

/*
 * The whole reply, as Redis frames it: a title with the container's name, the lines (the last one
 * is followed by NULL), and the two about HELP itself.
 */
enum command_result command_help(struct command_call *call, const char *const *lines);

#endif
