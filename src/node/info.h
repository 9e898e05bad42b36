/* The text of INFO. */
#ifndef NODE_INFO_H
#define NODE_INFO_H

#include "node/node_parts.h"

/* Appends one section, or "default", "all", "everything"; nothing for an unknown name. */
void info_write(struct node *node, struct bytes section, struct buf *out);

#endif
