/* The text of INFO. */
#ifndef NODE_INFO_H
#define NODE_INFO_H

#include "node/node_parts.h"

/*
 * Appends the named sections, each once, in a fixed order; "default" (also if none is named), "all"
 * and "everything" stand for several. Unknown names add nothing.
 */
void info_write(struct node *node, const struct bytes *names, size_t count, struct buf *out);

#endif
