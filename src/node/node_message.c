#include "node/node_message.h"

#include "base/assert.h"
#include "base/endian.h"
#include "consensus/message.h"

enum {
    FLAG_FULL = 1u
};

void node_message_encode(const struct node_message *m, uint8_t out_bytes[NODE_MESSAGE_BYTES])
{
    out_bytes[0] = MESSAGE_NODE;
    out_bytes[1] = m->is_full ? FLAG_FULL : 0;
    put_u16_le(out_bytes + 2, 0);
    put_u32_le(out_bytes + 4, m->life);
}

enum status node_message_decode(struct bytes message, struct node_message *out_message)
{
    if (message.size != NODE_MESSAGE_BYTES || message.data[0] != MESSAGE_NODE ||
        get_u16_le(message.data + 2) != 0) {
        return STATUS_MALFORMED;
    }
    *out_message = (struct node_message){
        .is_full = (message.data[1] & FLAG_FULL) != 0,
        .life = get_u32_le(message.data + 4),
    };
    return STATUS_OK;
}

void node_fact_hear(struct node_fact *f, const struct node_message *m)
{
    f->is_heard = true;
    f->is_full = m->is_full;
    /* A lower one is a copy of its directory from before: it stays what it was. */
    f->life = m->life > f->life ? m->life : f->life;
}

void node_fact_disconnect(struct node_fact *f)
{
    f->is_full = false;
}
