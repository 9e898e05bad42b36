/* What a command uses its keys for (COMMAND INFO, GETKEYS, GETKEYSANDFLAGS). */
#ifndef COMMAND_GETKEYS_H
#define COMMAND_GETKEYS_H

#include "command/command.h"

/* Flags of the first key, and of those behind it. False: there are no others for those. */
bool getkeys_access(const char *access, struct bytes *out_first, struct bytes *out_rest);

/* Words, as a set of simple strings. */
void getkeys_write_words(struct command_call *call, struct bytes words);

/* COMMAND GETKEYS, and with flags COMMAND GETKEYSANDFLAGS: the keys of the command in args[2…]. */
enum command_result getkeys_run(struct command_call *call);

#endif
