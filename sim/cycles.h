/*
 * Cycles in a graph of "this took effect before that". Nodes are numbers from 0 on. Time and memory
 * are linear in nodes and edges, as long as there is no cycle.
 */
#ifndef SIM_CYCLES_H
#define SIM_CYCLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cycles_kind {
    CYCLES_WW,   /* wrote what the next one wrote over */
    CYCLES_WR,   /* wrote what the next one read */
    CYCLES_RW,   /* read what the next one wrote over */
    CYCLES_TIME, /* was over before the next one began */
    CYCLES_KIND_COUNT,
};

struct cycles_edge {
    uint32_t from;
    uint32_t to;
    enum cycles_kind kind;
    uint32_t key; /* whatever the caller wants to know of it */
};

struct cycles {
    struct cycles_edge *edges;
    size_t edge_count;
    size_t edge_capacity;
};

void cycles_init(struct cycles *c);
void cycles_deinit(struct cycles *c);
void cycles_add(struct cycles *c, const struct cycles_edge *edge);
/*
 * One of the shortest cycles, or nearly so, of edges that have one of these kinds (bits); its edges
 * in order. False: there is none. *out_edges is the caller's: mem_free it.
 */
bool cycles_find(struct cycles *c,
                 uint32_t node_count,
                 unsigned kinds,
                 struct cycles_edge **out_edges,
                 size_t *out_count);

#endif
