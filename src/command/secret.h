/* Which arguments are passwords: what shows commands (MONITOR, SLOWLOG) never shows those. */
#ifndef COMMAND_SECRET_H
#define COMMAND_SECRET_H

#include "command/command.h"

#define COMMAND_SECRET_SHOWN "(redacted)"

bool command_arg_is_secret(const struct command *command,
                           const struct bytes *args,
                           size_t arg_count,
                           size_t arg);

#endif
