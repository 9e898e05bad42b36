/* Every limit that a client or peer can meet, once (design 10). Sizes in bytes. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define KIB (1024u)
#define MIB (1024u * 1024u)

#define LIMIT_VALUE_BYTES (64u * MIB)
#define LIMIT_KEY_BYTES (64u * KIB)
#define LIMIT_ARGUMENTS 1048576u
#define LIMIT_COMMAND_KEYS 65536u
/* All arguments of one command together: the largest value plus keys and options. */
#define LIMIT_COMMAND_BYTES (LIMIT_VALUE_BYTES + 16u * MIB)
#define LIMIT_INLINE_BYTES (64u * KIB)
#define LIMIT_CONNECTIONS 10000u
/* Values in the reply of one command that reads several keys; as much as one value. */
#define LIMIT_REPLY_VALUES_BYTES LIMIT_VALUE_BYTES
/* Strings that one BITOP reads, together; the same key may be named many times. */
#define LIMIT_BITOP_BYTES (8u * LIMIT_VALUE_BYTES)
/* A pattern of KEYS and SCAN: a hostile one costs its size for each byte of each key. */
#define LIMIT_PATTERN_BYTES 256u
/* Pairs of prefixes that one LCS compares: some 0.05 s. As in Redis, which wants 4 bytes for each
   and takes at most the size of a value. */
#define LIMIT_LCS_CELLS (LIMIT_VALUE_BYTES / 4u)
/* Replies held for one connection; beyond it the connection is closed. Twice the largest reply. */
#define LIMIT_OUTPUT_BYTES (128u * MIB)
/* Beyond this much unsent output no further command of the connection is taken up. */
#define LIMIT_OUTPUT_PAUSE_BYTES (1u * MIB)
/* Input, output and proposals of all connections together; more cannot be configured, so that what
   gathers behind one sync stays below the largest batch of the log. */
#define LIMIT_BUFFER_MEMORY_BYTES ((uint64_t)1024u * MIB)
/* Commands of one connection that wait for their reply; beyond it the socket is not read. */
#define LIMIT_PIPELINE_COMMANDS 16384u
/* One MULTI … EXEC: its commands, and all their arguments, which may become one entry of a log. */
#define LIMIT_MULTI_COMMANDS 65536u
#define LIMIT_MULTI_BYTES (LIMIT_COMMAND_BYTES - MIB)
/* Keys that one connection watches, and their bytes: each EXEC sends them all. */
#define LIMIT_WATCH_KEYS 1024u
#define LIMIT_WATCH_BYTES (1u * MIB)
#define LIMIT_DATABASES 16u
/* One log entry gathers proposals up to this size, unless a single command is larger. */
#define LIMIT_ENTRY_BYTES (1u * MIB)
/* Nor up to more than this in the rows that it writes: a short command may make a long string, and
   all rows of an entry are in memory at once. Nor further by a command alone than its one row. */
#define LIMIT_ENTRY_ROWS_BYTES LIMIT_VALUE_BYTES
/* Rows that one transaction writes in one group, each as often as it is written: it can be neither
   cut nor given up half way. Strings that grow count whole each time. */
#define LIMIT_TRANSACTION_ROWS_BYTES (2u * LIMIT_VALUE_BYTES + MIB)
/* Replies of one transaction in one group: the largest value fits in. */
#define LIMIT_TRANSACTION_REPLIES_BYTES (LIMIT_REPLY_VALUES_BYTES + MIB)
#define LIMIT_CLIENT_NAME_BYTES 256u
/* Input that is read and kept while a connection sleeps or CLIENT PAUSE holds it: more would not be
   run anyway, but less would hide that the client has gone. */
#define LIMIT_HELD_INPUT_BYTES (16u * KIB)
/* Longer sleeps (DEBUG SLEEP) and pauses (CLIENT PAUSE) end after this. */
#define LIMIT_SLEEP_MS (10u * 60u * 1000u)
#define LIMIT_PAUSE_MS (24u * 60u * 60u * 1000u)
/* A MONITOR that leaves more than this unread is closed. */
#define LIMIT_MONITOR_BYTES (16u * MIB)
/* What MONITOR shows of one argument, and of one command before it leaves out arguments. */
#define LIMIT_MONITOR_ARGUMENT_BYTES (64u * KIB)
#define LIMIT_MONITOR_LINE_BYTES (256u * KIB)
#define LIMIT_SLOWLOG_ENTRIES 4096u
#define LIMIT_GROUPS 1024u /* of data; the metadata group is number 0 */

#endif
