#include "node/founding.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/assert.h"
#include "base/endian.h"
#include "consensus/message.h"

/* Bytes of a message: docs/protocol.md, "Founders". */
enum {
    AT_KIND = 0,
    AT_IS_FORMED = 1,
    AT_COUNT = 2,
    AT_ZERO = 3,
    AT_GROUPS = 4,
    AT_LIST = 8,
    AT_CLUSTER = AT_LIST + IDENTITY_ID_BYTES,
    AT_MEMBERS = AT_CLUSTER + IDENTITY_ID_BYTES,
};
#define MESSAGE_BYTES_MAX (AT_MEMBERS + IDENTITY_FOUNDERS_MAX * IDENTITY_ID_BYTES)
#define MEMBERS_BYTES(count) ((size_t)(count)*IDENTITY_ID_BYTES)

struct message {
    bool is_formed;
    uint32_t count;
    uint32_t groups;
    const uint8_t *list_digest;
    const uint8_t *cluster;
    const uint8_t *members; /* count ids */
};

/* ---- ids ------------------------------------------------------------------------------------- */

static bool is_same_id(const uint8_t a[IDENTITY_ID_BYTES], const uint8_t b[IDENTITY_ID_BYTES])
{
    return memcmp(a, b, IDENTITY_ID_BYTES) == 0;
}

/* 128 bits of XXH3, big-endian; never zeros, which stand for no id. */
static void digest(struct bytes bytes, uint8_t out_id[IDENTITY_ID_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data, bytes.size));
    static_assert(sizeof(canonical.digest) == IDENTITY_ID_BYTES, "an id is a digest");
    memcpy(out_id, canonical.digest, IDENTITY_ID_BYTES);
    if (!identity_id_is_set(out_id)) {
        out_id[IDENTITY_ID_BYTES - 1] = 1;
    }
}

/* The same on all founders: of the members in order, the list, and the number of groups. */
static void cluster_id(const struct founding *f, uint8_t out_id[IDENTITY_ID_BYTES])
{
    struct buf all;
    uint8_t groups[4];
    put_u32_le(groups, f->identity->groups);
    buf_init(&all, MEMBERS_BYTES(f->count) + IDENTITY_LIST_BYTES_MAX + sizeof(groups));
    buf_append(&all, f->identity->members, MEMBERS_BYTES(f->count));
    buf_append_text(&all, f->identity->founders);
    buf_append(&all, groups, sizeof(groups));
    digest(buf_bytes(&all), out_id);
    buf_deinit(&all);
}

static uint8_t *member_of(struct founding *f, uint32_t number)
{
    ensure(number >= 1);
    ensure(number <= f->count);
    return f->identity->members[number - 1];
}

/* members: ids one after the other. */
static const uint8_t *id_at(const uint8_t *members, uint32_t number)
{
    return members + MEMBERS_BYTES(number - 1);
}

static bool are_all_set(const uint8_t *members, uint32_t count)
{
    for (uint32_t number = 1; number <= count; number++) {
        if (!identity_id_is_set(id_at(members, number))) {
            return false;
        }
    }
    return true;
}

static bool is_complete(const struct founding *f)
{
    return are_all_set(f->identity->members[0], f->count);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Only what is durable is ever said: the identity changes in keep() alone. */
static void send_to(struct founding *f, uint32_t number)
{
    const struct identity *identity = f->identity;
    uint8_t message[MESSAGE_BYTES_MAX] = {0};
    message[AT_KIND] = MESSAGE_FOUNDING;
    message[AT_IS_FORMED] = identity->is_formed ? 1 : 0;
    message[AT_COUNT] = (uint8_t)f->count;
    put_u32_le(message + AT_GROUPS, identity->groups);
    memcpy(message + AT_LIST, f->list_digest, IDENTITY_ID_BYTES);
    memcpy(message + AT_CLUSTER, identity->cluster, IDENTITY_ID_BYTES);
    memcpy(message + AT_MEMBERS, identity->members, MEMBERS_BYTES(f->count));
    f->callbacks->send(f->owner, number, bytes_of(message, AT_MEMBERS + MEMBERS_BYTES(f->count)));
}

static void send_to_all(struct founding *f)
{
    for (uint32_t number = 1; number <= f->count; number++) {
        if (number != f->identity->number) {
            send_to(f, number);
        }
    }
}

static bool decode(struct bytes bytes, uint32_t sender, struct message *out)
{
    if (bytes.size < AT_MEMBERS || bytes.data[AT_KIND] != MESSAGE_FOUNDING ||
        bytes.data[AT_IS_FORMED] > 1 || bytes.data[AT_ZERO] != 0) {
        return false;
    }
    *out = (struct message){
        .is_formed = bytes.data[AT_IS_FORMED] == 1,
        .count = bytes.data[AT_COUNT],
        .groups = get_u32_le(bytes.data + AT_GROUPS),
        .list_digest = bytes.data + AT_LIST,
        .cluster = bytes.data + AT_CLUSTER,
        .members = bytes.data + AT_MEMBERS,
    };
    if (out->count > IDENTITY_FOUNDERS_MAX ||
        bytes.size != AT_MEMBERS + MEMBERS_BYTES(out->count) ||
        identity_id_is_set(out->cluster) != out->is_formed ||
        (out->is_formed && !are_all_set(out->members, out->count))) {
        return false;
    }
    /* In a list of another length the sender's number means nothing to us. */
    return sender > out->count || identity_id_is_set(id_at(out->members, sender));
}

/* ---- outcomes -------------------------------------------------------------------------------- */

/* Fills reason; always NULL-terminated. */
__attribute__((format(printf, 2, 3))) static void say(struct founding *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(f->reason, sizeof(f->reason), format, args);
    va_end(args);
}

static void stop(struct founding *f)
{
    ensure(f->state == FOUNDING_STATE_RECORDING);
    f->state = FOUNDING_STATE_STOPPED;
    f->callbacks->refused(f->owner, f->reason);
}

static void warn(struct founding *f, uint32_t number)
{
    if (!f->is_warned[number - 1]) {
        f->is_warned[number - 1] = true;
        f->callbacks->warning(f->owner, f->reason);
    }
}

/* The only place where the identity changes. False: it has not; or this node is about to halt. */
static bool keep(struct founding *f, const struct identity *next)
{
    ensure(f->state == FOUNDING_STATE_RECORDING);
    ensure(!f->identity->is_formed);
    enum status s = f->callbacks->store(f->owner, next);
    if (s == STATUS_NO_SPACE) {
        reached("founding: no space to write down what was heard");
        return false;
    }
    if (s != STATUS_OK) {
        f->state = FOUNDING_STATE_STOPPED;
        say(f, "DIR/node could not be written");
        return false;
    }
    *f->identity = *next;
    return true;
}

static void form(struct founding *f)
{
    ensure(is_complete(f));
    struct identity next = *f->identity;
    next.is_formed = true;
    cluster_id(f, next.cluster);
    if (!keep(f, &next)) {
        return;
    }
    f->state = FOUNDING_STATE_FORMED;
    send_to_all(f);
    f->callbacks->formed(f->owner);
}

/* ---- hearing --------------------------------------------------------------------------------- */

/* Rule 5. False: reason is set. */
static bool is_same_list(struct founding *f, uint32_t number, const struct message *m)
{
    if (m->groups != f->identity->groups) {
        say(f,
            "founder %" PRIu32 " has --groups %" PRIu32 ", this one %" PRIu32
            "; all founders need the same",
            number,
            m->groups,
            f->identity->groups);
        return false;
    }
    if (m->count != f->count || !is_same_id(m->list_digest, f->list_digest)) {
        say(f,
            "founder %" PRIu32 " has another --cluster list than this one; all founders need the "
            "same text",
            number);
        return false;
    }
    return true;
}

/* Rule 3. */
static void hear_formed(struct founding *f, uint32_t number, const struct message *m)
{
    const struct identity *own = f->identity;
    uint8_t id[IDENTITY_ID_BYTES];
    if (!is_same_list(f, number, m)) {
        stop(f);
        return;
    }
    if (!is_same_id(id_at(m->members, own->number), own->node)) {
        say(f,
            "founder %" PRIu32 " says that the cluster is formed, and this directory is not part "
            "of it: empty it and use --join",
            number);
        stop(f);
        return;
    }
    cluster_id(f, id);
    if (memcmp(m->members, own->members, MEMBERS_BYTES(f->count)) != 0 ||
        !is_same_id(m->cluster, id)) {
        say(f,
            "founder %" PRIu32 " formed the cluster with what this directory no longer knows: it "
            "was restored from an older copy; empty it and use --join",
            number);
        stop(f);
        return;
    }
    form(f);
}

/* Rule 1. False: nothing more is to be done with this message. */
static bool record(struct founding *f, uint32_t number, const uint8_t id[IDENTITY_ID_BYTES])
{
    for (uint32_t other = 1; other <= f->count; other++) {
        if (other != number && is_same_id(id, member_of(f, other))) {
            say(f,
                "founders %" PRIu32 " and %" PRIu32 " have the same identity: one directory is a "
                "copy of the other; empty it",
                other,
                number);
            warn(f, number);
            return false;
        }
    }
    struct identity next = *f->identity;
    memcpy(next.members[number - 1], id, IDENTITY_ID_BYTES);
    if (!keep(f, &next)) {
        return false;
    }
    send_to_all(f);
    return true;
}

static bool is_contradiction(struct founding *f, const struct message *m, uint32_t number)
{
    const uint8_t *theirs = id_at(m->members, number);
    const uint8_t *ours = member_of(f, number);
    return identity_id_is_set(theirs) && identity_id_is_set(ours) && !is_same_id(theirs, ours);
}

/* A number that both have heard with different ids, ours first; 0: none. They can never agree. */
static uint32_t find_contradiction(struct founding *f, const struct message *m)
{
    if (is_contradiction(f, m, f->identity->number)) {
        return f->identity->number;
    }
    for (uint32_t number = 1; number <= f->count; number++) {
        if (is_contradiction(f, m, number)) {
            return number;
        }
    }
    return 0;
}

#define START_OVER                                                                                 \
    "was emptied; if no founder has formed the cluster yet, empty the directories of all "         \
    "founders, else " FOUNDING_FINAL

/* Rules 1 and 2. */
static void hear_new(struct founding *f, uint32_t number, const struct message *m)
{
    if (!is_same_list(f, number, m)) {
        warn(f, number);
        return;
    }
    const uint8_t *id = id_at(m->members, number);
    if (!identity_id_is_set(member_of(f, number)) && !record(f, number, id)) {
        return;
    }
    if (!is_same_id(id, member_of(f, number))) {
        reached("founding: late word of an emptied founder");
        return;
    }
    uint32_t contradiction = find_contradiction(f, m);
    if (contradiction != 0) {
        say(f,
            "founder %" PRIu32 " has heard founder %" PRIu32 " with another identity: its "
            "directory " START_OVER,
            number,
            contradiction);
        if (contradiction == f->identity->number) {
            stop(f);
        } else {
            warn(f, number);
        }
        return;
    }
    if (!is_complete(f) || !are_all_set(m->members, f->count)) {
        return;
    }
    f->has_said[number - 1] = true;
    for (uint32_t i = 0; i < f->count; i++) {
        if (!f->has_said[i]) {
            return;
        }
    }
    form(f);
}

/* Rule 4. */
static void answer(struct founding *f, uint32_t number, const struct message *m)
{
    if (!is_same_list(f, number, m)) {
        warn(f, number);
    }
    if (!m->is_formed) {
        send_to(f, number);
    }
}

void founding_received(struct founding *f, uint32_t number, struct bytes bytes)
{
    struct message m;
    if (f->state == FOUNDING_STATE_STOPPED || number == 0 || number > f->count ||
        number == f->identity->number) {
        return;
    }
    if (!decode(bytes, number, &m)) {
        say(f, "founder %" PRIu32 " sent a founding message that is not one", number);
        warn(f, number);
    } else if (f->state == FOUNDING_STATE_FORMED) {
        answer(f, number, &m);
    } else if (m.is_formed) {
        hear_formed(f, number, &m);
    } else {
        hear_new(f, number, &m);
    }
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Rule 6. */
static bool judge_formed(struct founding *f, const struct peer_hello *hello)
{
    bool is_member = is_same_id(hello->node_id, member_of(f, hello->number));
    if (!identity_id_is_set(hello->cluster_id)) {
        /* A member that crashed before it formed: it may ask, and can only form this cluster. */
        if (!is_member) {
            say(f, "the cluster is formed; this directory is new: " FOUNDING_FINAL);
        }
        return is_member;
    }
    if (!is_same_id(hello->cluster_id, f->identity->cluster)) {
        say(f, "this is another cluster: the cluster ids differ");
        return false;
    }
    if (!is_member) {
        say(f,
            "founder %" PRIu32 " of this cluster has another identity than this directory",
            hello->number);
    }
    return is_member;
}

bool founding_judge(struct founding *f, const struct peer_hello *hello, const char **out_reason)
{
    bool is_good = false;
    if (f->state == FOUNDING_STATE_STOPPED) {
        *out_reason = "this founder is stopping";
        return false;
    }
    *out_reason = f->reason;
    if (hello->number == 0 || hello->number > f->count || hello->number == f->identity->number) {
        say(f,
            "number %" PRIu32 " is not another founder of %" PRIu32 "; all founders need the same "
            "--cluster list",
            hello->number,
            f->count);
    } else if (!identity_id_is_set(hello->node_id)) {
        say(f, "founder %" PRIu32 " has no identity", hello->number);
    } else if (f->state == FOUNDING_STATE_FORMED) {
        is_good = judge_formed(f, hello);
    } else if (identity_id_is_set(member_of(f, hello->number)) &&
               !is_same_id(hello->node_id, member_of(f, hello->number))) {
        say(f,
            "founder %" PRIu32 " was heard with another identity before: its directory " START_OVER,
            hello->number);
    } else {
        is_good = true;
    }
    return is_good;
}

static bool is_final(const char *reason)
{
    size_t size = strlen(reason);
    size_t end = sizeof(FOUNDING_FINAL) - 1;
    return size >= end && strcmp(reason + size - end, FOUNDING_FINAL) == 0;
}

void founding_refused(struct founding *f, uint32_t number, const char *reason)
{
    if (f->state != FOUNDING_STATE_RECORDING) {
        return;
    }
    say(f, "founder %" PRIu32 " refuses this node: %s", number, reason);
    if (is_final(reason)) {
        stop(f);
    } else {
        warn(f, number);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

void founding_init(struct founding *f,
                   struct identity *identity,
                   const struct founding_callbacks *callbacks,
                   void *owner)
{
    *f = (struct founding){
        .identity = identity,
        .callbacks = callbacks,
        .owner = owner,
        .state = identity->is_formed ? FOUNDING_STATE_FORMED : FOUNDING_STATE_RECORDING,
        .count = identity_founder_count(identity),
    };
    ensure(f->count <= IDENTITY_FOUNDERS_MAX);
    ensure(is_same_id(member_of(f, identity->number), identity->node));
    if (identity->is_formed) {
        ensure(identity_id_is_set(identity->cluster));
    }
    digest(bytes_of_text(identity->founders), f->list_digest);
    f->has_said[identity->number - 1] = true;
}

bool founding_is_formed(const struct founding *f)
{
    return f->state == FOUNDING_STATE_FORMED;
}

void founding_connected(struct founding *f, uint32_t number)
{
    if (f->state == FOUNDING_STATE_RECORDING) {
        send_to(f, number);
    }
}

void founding_tick(struct founding *f)
{
    if (f->state == FOUNDING_STATE_RECORDING) {
        send_to_all(f);
    }
}
