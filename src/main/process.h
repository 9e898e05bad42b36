/* This process, as INFO shows it. */
#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

#include "node/node.h"

/* What the system does not tell stays 0 or empty. */
void process_describe(struct node_process *out);

#endif
