/*
 * Replies of a node as people and as programs read them. reply: one complete RESP3 reply.
 * MALFORMED: it is not, or has a shape that cannot be shown; out then holds a part.
 */
#ifndef MAIN_SHOW_H
#define MAIN_SHOW_H

#include "base/bytes.h"
#include "base/status.h"
#include "protocol/resp_reply.h"

/*
 * One JSON value and a newline. Text that is UTF-8 stays; control characters and bytes that are
 * not UTF-8 become \u00XX. Infinite numbers are null. Keys of maps are always strings.
 */
MUST_CHECK enum status show_json(struct bytes reply, struct buf *out);

/*
 * An array of maps: a header with the names of the fields, then one line for each map. One map: a
 * line for each field. Values are scalars or arrays of scalars. Null and "" are "-", control
 * characters and bytes that are not UTF-8 become \xXX.
 */
MUST_CHECK enum status show_table(struct bytes reply, struct buf *out);

/* A scalar of the map that is the reply. NOT_FOUND: no such field, or the reply is no map. */
MUST_CHECK enum status show_field(struct bytes reply, const char *name, struct resp_value *out);

#endif
