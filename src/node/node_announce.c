/*
 * What every node says about itself, as rows of the metadata group: where clients find it. Written
 * again at each start; read from this node's replica, so what a tool shows may be a moment old.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "node/node_parts.h"
#include "node/version.h"

#define ANNOUNCE_AGAIN_MS 1000u
#define ROW_BYTES_MAX 4096u
#define CLIENT_FIELD "client="

static void again_due(struct env_timer *timer)
{
    node_announce(container_of(timer, struct node, announcement.timer));
}

void node_announce_init(struct node *node)
{
    struct announcement *a = &node->announcement;
    a->timer.cb = again_due;
    router_stream_init(&a->stream);
    buf_init(&a->reply, ROW_BYTES_MAX);
    buf_init(&a->key, ROW_BYTES_MAX);
    buf_init(&a->value, ROW_BYTES_MAX);
}

void node_announce_deinit(struct node *node)
{
    buf_deinit(&node->announcement.reply);
    buf_deinit(&node->announcement.key);
    buf_deinit(&node->announcement.value);
}

static void write_key(uint32_t number, struct buf *out)
{
    buf_printf(out, "node:%" PRIu32, number);
}

static void on_done(struct router_request *request)
{
    struct node *node = container_of(request, struct node, announcement.request);
    struct announcement *a = &node->announcement;
    a->is_under_way = false;
    bool is_done = a->reply.size > 0 && a->reply.data[0] == '+';
    if (!is_done && node->state == NODE_STATE_RUNNING) {
        env_timer_start(node->env, &a->timer, ANNOUNCE_AGAIN_MS);
    }
}

void node_announce(struct node *node)
{
    struct announcement *a = &node->announcement;
    if (a->is_under_way || node->state != NODE_STATE_RUNNING) {
        return;
    }
    a->is_under_way = true;
    buf_clear(&a->reply, ROW_BYTES_MAX);
    buf_clear(&a->key, ROW_BYTES_MAX);
    buf_clear(&a->value, ROW_BYTES_MAX);
    write_key(node->identity.number, &a->key);
    buf_printf(&a->value,
               CLIENT_FIELD "%s version=%s incarnation=%" PRIu32,
               node->options.listen,
               DOUGONG_VERSION,
               node->identity.incarnation);
    struct bytes args[] = {bytes_of_text("set"), buf_bytes(&a->key), buf_bytes(&a->value)};
    a->request = (struct router_request){
        .command = command_by_id(COMMAND_ID_SET),
        .args = args,
        .arg_count = sizeof args / sizeof args[0],
        .resp = 2,
        .stream = &a->stream,
        .reply = &a->reply,
        .done = on_done,
    };
    router_submit_to_group(node->router, NODE_GROUP_METADATA, &a->request);
}

void node_client_address(struct node *node, uint32_t number, struct buf *out)
{
    if (number == node->identity.number) {
        buf_append_text(out, node->options.listen);
        return;
    }
    struct shard *metadata = node->groups[NODE_GROUP_METADATA].shard;
    struct buf key;
    struct buf row;
    buf_init(&key, ROW_BYTES_MAX);
    buf_init(&row, LIMIT_VALUE_BYTES);
    write_key(number, &key);
    size_t skip = strlen(CLIENT_FIELD);
    if (metadata != NULL && shard_peek(metadata, 0, buf_bytes(&key), &row) && row.size > skip &&
        memcmp(row.data, CLIENT_FIELD, skip) == 0) {
        const uint8_t *blank = memchr(row.data, ' ', row.size);
        size_t end = blank == NULL ? row.size : (size_t)(blank - row.data);
        buf_append(out, row.data + skip, end - skip);
    }
    buf_deinit(&key);
    buf_deinit(&row);
}
