/* Which replicas a group should have, by what its nodes say of themselves. Pure. */
#ifndef NODE_NODE_MEMBERS_H
#define NODE_NODE_MEMBERS_H

#include "consensus/replica.h"
#include "node/node_message.h"

/*
 * One replica on each of the nodes, of the newest life that is known: the higher of what
 * facts[node - 1] heard and of what the configuration has. A node that was not heard yet stays what
 * it is: a member, or none. out_ids has room for count. True: the configuration differs.
 */
bool node_members_wished(const struct engine_config *now,
                         const uint32_t *nodes,
                         unsigned count,
                         const struct node_fact *facts,
                         uint64_t *out_ids,
                         unsigned *out_count);
/* More than half of the voters have space; is_full[node - 1] of node_count. No voters: true. */
bool node_members_have_space(const struct engine_config *now,
                             const bool *is_full,
                             unsigned node_count);

#endif
