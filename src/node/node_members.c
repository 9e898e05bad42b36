#include "node/node_members.h"

#include "base/assert.h"

/* The newest life of the node in the configuration; 0 if it is no member. */
static uint32_t life_in(const struct engine_config *config, uint32_t node)
{
    uint32_t life = 0;
    for (unsigned i = 0; i < config->count; i++) {
        uint64_t id = config->members[i].id;
        uint32_t other = (uint32_t)(id >> 16);
        if (replica_node(id) == node && other > life) {
            life = other;
        }
    }
    return life;
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
                         const uint32_t *lives,
                         uint64_t *out_ids)
{
    ensure(count <= ENGINE_MEMBERS_MAX);
    bool differs = now->count != count;
    for (unsigned i = 0; i < count; i++) {
        uint32_t known = lives[nodes[i] - 1];
        uint32_t member = life_in(now, nodes[i]);
        out_ids[i] = replica_id_of(nodes[i], known > member ? known : member);
        differs = differs || !is_voter(now, out_ids[i]);
    }
    return differs;
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
