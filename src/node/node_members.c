#include "node/node_members.h"

#include "base/assert.h"

/* The node's replica of the newest life in the configuration; 0 if it is no member. */
static uint64_t member_of(const struct engine_config *config, uint32_t node)
{
    uint64_t newest = 0;
    for (unsigned i = 0; i < config->count; i++) {
        uint64_t id = config->members[i].id;
        newest = replica_node(id) == node && id > newest ? id : newest;
    }
    return newest;
}

/*
 * The replica of its newest life that is known. 0: nothing is. Its earlier replica may have been
 * removed just before a leader died, and no life may be made up for it: the next leader hears it.
 */
static uint64_t newest_of(const struct engine_config *now,
                          uint32_t node,
                          const struct node_fact *fact)
{
    uint64_t member = member_of(now, node);
    uint64_t heard = fact->is_heard ? replica_id_of(node, fact->life) : 0;
    return heard > member ? heard : member;
}

static bool is_voter(const struct engine_config *config, uint64_t id)
{
    for (unsigned i = 0; i < config->count; i++) {
        if (config->members[i].id == id) {
            return config->members[i].is_voter;
        }
    }
    return false;
}

bool node_members_wished(const struct engine_config *now,
                         const uint32_t *nodes,
                         unsigned count,
                         const struct node_fact *facts,
                         uint64_t *out_ids,
                         unsigned *out_count)
{
    ensure(count <= ENGINE_MEMBERS_MAX);
    bool differs = false;
    unsigned wished = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = newest_of(now, nodes[i], &facts[nodes[i] - 1]);
        if (id == 0) {
            reached("node: a node is no member, and was not heard yet");
            continue;
        }
        out_ids[wished++] = id;
        differs = differs || !is_voter(now, id);
    }
    *out_count = wished;
    return differs || now->count != wished;
}

bool node_members_have_space(const struct engine_config *now,
                             const bool *is_full,
                             unsigned node_count)
{
    unsigned voters = 0;
    unsigned with_space = 0;
    for (unsigned i = 0; i < now->count; i++) {
        if (now->members[i].is_voter) {
            uint32_t number = replica_node(now->members[i].id);
            bool is_known = number > 0 && number <= node_count;
            voters++;
            with_space += is_known && is_full[number - 1] ? 0 : 1;
        }
    }
    return voters == 0 || with_space > voters / 2;
}
