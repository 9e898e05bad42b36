/*
 * What coordinators say to the groups of a transaction (docs/decisions/0016). Each has one
 * argument, written and read by shard/txn_message.h; the shard runs them, so there is no handler,
 * and finds the keys in the argument, so there is no key spec.
 */
#include "command/command.h"

#define TRANSACT(text, number, flag, what)                                                         \
    {                                                                                              \
        .name = text, .id = number, .semantics = 1, .arity_min = 2, .arity_max = 2,                \
        .flags = (flag) | COMMAND_INTERNAL, .policy = COMMAND_ONE_SHARD, .group = "transactions",  \
        .since = "1.0.0", .summary = what, .acl = "@transaction",                                  \
    }

const struct command command_table_transact[] = {
    TRANSACT("exec1", COMMAND_ID_EXEC, COMMAND_WRITE, "Run a transaction of one group"),
    TRANSACT("execread",
             COMMAND_ID_EXECREAD,
             COMMAND_READ,
             "Run the reads of a transaction, with the versions of what they read"),
    TRANSACT("versions", COMMAND_ID_VERSIONS, COMMAND_READ, "Tell the versions of keys"),
    TRANSACT("rows", COMMAND_ID_ROWS, COMMAND_READ, "Tell keys as they are, with versions"),
    TRANSACT("txnprepare", COMMAND_ID_TXNPREPARE, COMMAND_WRITE, "Vote on a transaction"),
    TRANSACT("txncheck", COMMAND_ID_TXNCHECK, COMMAND_WRITE, "Tell the vote; no, if there is none"),
    TRANSACT("txncommit", COMMAND_ID_TXNCOMMIT, COMMAND_WRITE, "Do what was prepared"),
    TRANSACT("txnabort", COMMAND_ID_TXNABORT, COMMAND_WRITE, "Forget what was prepared"),
    TRANSACT("txnmark", COMMAND_ID_TXNMARK, COMMAND_WRITE, "Drop records that are over everywhere"),
    TRANSACT("txnclose", COMMAND_ID_TXNCLOSE, COMMAND_WRITE, "Give no first yes to the dead"),
    TRANSACT("txnend", COMMAND_ID_TXNEND, COMMAND_WRITE, "Forget dead incarnations"),
    {.name = NULL},
};
