/*
 * Tarjan's strongly connected components, without recursion; then a search in breadth within one of
 * them.
 */
#include "sim/cycles.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define NONE UINT32_MAX
#define STARTS_MAX 64u /* searches for a short cycle within one component */

void cycles_init(struct cycles *c)
{
    *c = (struct cycles){0};
}

void cycles_deinit(struct cycles *c)
{
    mem_free(c->edges);
    *c = (struct cycles){0};
}

void cycles_add(struct cycles *c, const struct cycles_edge *edge)
{
    if (c->edge_count == c->edge_capacity) {
        c->edge_capacity = c->edge_capacity > 0 ? 2 * c->edge_capacity : 256;
        c->edges = mem_realloc(c->edges, c->edge_capacity * sizeof c->edges[0]);
    }
    c->edges[c->edge_count++] = *edge;
}

/* ---- the graph by nodes ---------------------------------------------------------------------- */

struct graph {
    uint32_t node_count;
    struct cycles_edge *edges; /* by `from`, in the order added */
    size_t *first;             /* [node_count + 1]: of the edges of a node */
    uint32_t *number;          /* in the order visited; NONE: not yet */
    uint32_t *low;
    uint32_t *component; /* NONE: not known yet */
    size_t *next;        /* edge to follow */
    uint32_t *path;      /* of the visit */
    uint32_t *open;      /* visited, their component not known yet */
    uint32_t path_count;
    uint32_t open_count;
    uint32_t visited;
    uint32_t component_count;
    uint32_t found; /* a component of more than one node, or NONE */
};

static uint32_t *create_numbers(uint32_t count)
{
    uint32_t *numbers = mem_alloc((size_t)(count + 1) * sizeof numbers[0]);
    memset(numbers, 0xff, (size_t)(count + 1) * sizeof numbers[0]);
    return numbers;
}

static void graph_init(struct graph *g, const struct cycles *c, uint32_t node_count, unsigned kinds)
{
    *g = (struct graph){.node_count = node_count, .found = NONE};
    g->edges = mem_alloc_zero((c->edge_count + 1) * sizeof g->edges[0]);
    g->first = mem_alloc_zero(((size_t)node_count + 2) * sizeof g->first[0]);
    g->next = mem_alloc_zero(((size_t)node_count + 1) * sizeof g->next[0]);
    for (size_t i = 0; i < c->edge_count; i++) {
        const struct cycles_edge *e = &c->edges[i];
        ensure(e->from < node_count && e->to < node_count);
        g->first[e->from + 1] += (kinds >> e->kind & 1) != 0 ? 1 : 0;
    }
    for (uint32_t n = 0; n < node_count; n++) {
        g->first[n + 1] += g->first[n];
        g->next[n] = g->first[n];
    }
    for (size_t i = 0; i < c->edge_count; i++) {
        const struct cycles_edge *e = &c->edges[i];
        if ((kinds >> e->kind & 1) != 0) {
            g->edges[g->next[e->from]++] = *e;
        }
    }
    memcpy(g->next, g->first, (size_t)node_count * sizeof g->next[0]);
    g->number = create_numbers(node_count);
    g->low = create_numbers(node_count);
    g->component = create_numbers(node_count);
    g->path = create_numbers(node_count);
    g->open = create_numbers(node_count);
}

static void graph_deinit(struct graph *g)
{
    mem_free(g->edges);
    mem_free(g->first);
    mem_free(g->next);
    mem_free(g->number);
    mem_free(g->low);
    mem_free(g->component);
    mem_free(g->path);
    mem_free(g->open);
}

/* ---- components ------------------------------------------------------------------------------ */

static void enter(struct graph *g, uint32_t node)
{
    g->number[node] = g->low[node] = g->visited++;
    g->path[g->path_count++] = node;
    g->open[g->open_count++] = node;
}

static void keep_lower(struct graph *g, uint32_t node, uint32_t number)
{
    g->low[node] = number < g->low[node] ? number : g->low[node];
}

/* All edges of the node at the path's end are followed. */
static void leave(struct graph *g)
{
    uint32_t node = g->path[--g->path_count];
    if (g->path_count > 0) {
        keep_lower(g, g->path[g->path_count - 1], g->low[node]);
    }
    if (g->low[node] != g->number[node]) {
        return;
    }
    uint32_t size = 0;
    uint32_t member = NONE;
    do {
        member = g->open[--g->open_count];
        g->component[member] = g->component_count;
        size++;
    } while (member != node);
    g->found = size > 1 && g->found == NONE ? g->component_count : g->found;
    g->component_count++;
}

static void visit(struct graph *g, uint32_t start)
{
    enter(g, start);
    while (g->path_count > 0) {
        uint32_t node = g->path[g->path_count - 1];
        if (g->next[node] == g->first[node + 1]) {
            leave(g);
            continue;
        }
        uint32_t to = g->edges[g->next[node]++].to;
        if (g->number[to] == NONE) {
            enter(g, to);
        } else if (g->component[to] == NONE) {
            keep_lower(g, node, g->number[to]);
        }
    }
}

/* ---- a short cycle --------------------------------------------------------------------------- */

/* The edge by which each node of the component was reached from start, into `came`; and the one
 * that closes a shortest cycle. */
static size_t search(struct graph *g, uint32_t start, size_t *came)
{
    uint32_t *queue = g->path;
    uint32_t head = 0;
    uint32_t tail = 0;
    memset(came, 0xff, (size_t)g->node_count * sizeof came[0]);
    queue[tail++] = start;
    while (head < tail) {
        uint32_t node = queue[head++];
        for (size_t i = g->first[node]; i < g->first[node + 1]; i++) {
            uint32_t to = g->edges[i].to;
            if (to == start) {
                return i;
            }
            if (g->component[to] == g->found && came[to] == SIZE_MAX) {
                came[to] = i;
                queue[tail++] = to;
            }
        }
    }
    unreachable("a component has a cycle through each of its nodes");
}

static void keep_cycle(const struct graph *g,
                       uint32_t start,
                       size_t last,
                       const size_t *came,
                       struct cycles_edge **inout_edges,
                       size_t *inout_count)
{
    size_t count = 1;
    for (uint32_t n = g->edges[last].from; n != start; n = g->edges[came[n]].from) {
        count++;
    }
    if (*inout_edges != NULL && count >= *inout_count) {
        return;
    }
    mem_free(*inout_edges);
    *inout_edges = mem_alloc(count * sizeof(*inout_edges)[0]);
    *inout_count = count;
    size_t at = last;
    for (size_t i = count; i-- > 0;) {
        (*inout_edges)[i] = g->edges[at];
        at = came[g->edges[at].from];
    }
}

bool cycles_find(struct cycles *c,
                 uint32_t node_count,
                 unsigned kinds,
                 struct cycles_edge **out_edges,
                 size_t *out_count)
{
    struct graph g;
    graph_init(&g, c, node_count, kinds);
    *out_edges = NULL;
    *out_count = 0;
    for (uint32_t n = 0; n < node_count && g.found == NONE; n++) {
        if (g.number[n] == NONE) {
            visit(&g, n);
        }
    }
    if (g.found != NONE) {
        size_t *came = mem_alloc(((size_t)node_count + 1) * sizeof came[0]);
        unsigned starts = 0;
        for (uint32_t n = 0; n < node_count && starts < STARTS_MAX; n++) {
            if (g.component[n] == g.found) {
                keep_cycle(&g, n, search(&g, n, came), came, out_edges, out_count);
                starts++;
            }
        }
        mem_free(came);
    }
    graph_deinit(&g);
    return *out_edges != NULL;
}
