/* The name that a client gives its connection (CLIENT SETNAME, HELLO … SETNAME). */
#ifndef COMMAND_CLIENT_NAME_H
#define COMMAND_CLIENT_NAME_H

#include "command/command.h"

/* How much of a word that we do not know an error shows. */
#define OPTION_BYTES_SHOWN 128u

/* What Redis allows in names: printable, no blanks. Else the error, about `what`, is the reply. */
bool client_text_check(struct command_call *call, struct bytes text, const char *what);
/* False: refused, the error is the reply. */
bool client_name_set(struct command_call *call, struct bytes name);

#endif
