/* Values that clients set: known by a number, and every byte of them can be checked. */
#ifndef SIM_VALUES_H
#define SIM_VALUES_H

#include "sim/linear.h"

#define VALUE_BYTES_MAX (32u * 1024u)

/* As text: "17", or "v17." and some letters. */
void value_print(struct linear_value v, struct buf *out);
/* False if it is none of ours. */
bool value_parse(struct bytes text, struct linear_value *out_value);

/* Parts of a command in RESP. */
void resp_put_bulk(struct buf *out, struct bytes bytes);
void resp_put_text(struct buf *out, const char *text);
void resp_put_value(struct buf *out, struct linear_value v);

#endif
