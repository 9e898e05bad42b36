/* What the command line says about founders: read, kept in a new identity, and compared with it. */
#include <inttypes.h>

#include "base/assert.h"
#include "node/founding.h"

/* One address of the list; it ends at a comma or at the end. */
static enum status check_address(struct bytes address, struct bytes before, struct error *error)
{
    if (address.size == 0 || address.size > IDENTITY_ADDRESS_BYTES_MAX) {
        return error_set(error,
                         STATUS_INVALID,
                         "--cluster: an address has 1 to %u characters",
                         IDENTITY_ADDRESS_BYTES_MAX);
    }
    for (size_t i = 0; i < address.size; i++) {
        if (address.data[i] <= ' ' || address.data[i] > '~') {
            return error_set(error, STATUS_INVALID, "--cluster: blank or unprintable character");
        }
    }
    /* before: the list up to here, every address with its comma. */
    for (size_t at = 0; at < before.size;) {
        const uint8_t *comma = memchr(before.data + at, ',', before.size - at);
        ensure(comma != NULL);
        struct bytes other = bytes_of(before.data + at, (size_t)(comma - (before.data + at)));
        if (bytes_equal(address, other)) {
            return error_set(error,
                             STATUS_INVALID,
                             "--cluster: %.*s is there twice",
                             (int)address.size,
                             (const char *)address.data);
        }
        at += other.size + 1;
    }
    return STATUS_OK;
}

enum status founding_parse_list(const char *founders,
                                const char *own_address,
                                uint32_t *out_count,
                                uint32_t *out_number,
                                struct error *error)
{
    uint32_t count = 0;
    uint32_t number = 0;
    const char *at = founders;
    for (;;) {
        struct bytes address = bytes_of(at, strcspn(at, ","));
        enum status s = check_address(address, bytes_of(founders, (size_t)(at - founders)), error);
        if (s != STATUS_OK) {
            return s;
        }
        count++;
        if (bytes_equal_text(address, own_address)) {
            number = count;
        }
        at += address.size;
        if (*at == '\0') {
            break;
        }
        at++;
        if (count == IDENTITY_FOUNDERS_MAX) {
            return error_set(error,
                             STATUS_INVALID,
                             "--cluster: more than %u founders; more nodes join later",
                             IDENTITY_FOUNDERS_MAX);
        }
    }
    if (number == 0) {
        return error_set(error,
                         STATUS_INVALID,
                         "--cluster: this node's own peer address %s is not in the list",
                         own_address);
    }
    *out_count = count;
    *out_number = number;
    return STATUS_OK;
}

void founding_identity(struct identity *out_identity,
                       const struct founding_flags *flags,
                       const uint8_t node_id[IDENTITY_ID_BYTES],
                       const uint8_t new_cluster_id[IDENTITY_ID_BYTES])
{
    const char *founders = flags->founders != NULL ? flags->founders : "";
    size_t size = strlen(founders);
    ensure(size <= IDENTITY_LIST_BYTES_MAX);
    ensure(flags->groups > 0);
    ensure(identity_id_is_set(node_id));
    *out_identity = (struct identity){
        .number = flags->number,
        .groups = flags->groups,
    };
    memcpy(out_identity->founders, founders, size);
    uint32_t count = identity_founder_count(out_identity);
    out_identity->is_formed = count == 1;
    ensure(flags->number >= 1);
    ensure(flags->number <= count);
    ensure(count <= IDENTITY_FOUNDERS_MAX);
    memcpy(out_identity->node, node_id, IDENTITY_ID_BYTES);
    memcpy(out_identity->members[flags->number - 1], node_id, IDENTITY_ID_BYTES);
    if (out_identity->is_formed) {
        ensure(identity_id_is_set(new_cluster_id));
        memcpy(out_identity->cluster, new_cluster_id, IDENTITY_ID_BYTES);
    }
}

/* Characters of a list that fit a message twice. */
#define LIST_SHOWN 90

enum status founding_check_flags(const struct identity *identity,
                                 const struct founding_flags *flags,
                                 struct error *error)
{
    const char *founders = flags->founders != NULL ? flags->founders : "";
    if (strcmp(founders, identity->founders) != 0) {
        return error_set(error,
                         STATUS_INVALID,
                         "this directory was started with --cluster %.*s, now with %.*s",
                         LIST_SHOWN,
                         identity->founders[0] != '\0' ? identity->founders : "(none)",
                         LIST_SHOWN,
                         founders[0] != '\0' ? founders : "(none)");
    }
    if (flags->number != identity->number) {
        return error_set(error,
                         STATUS_INVALID,
                         "this directory belongs to founder %" PRIu32 " of the --cluster list, and "
                         "--peer is the address of founder %" PRIu32,
                         identity->number,
                         flags->number);
    }
    if (flags->groups != 0 && flags->groups != identity->groups) {
        return error_set(error,
                         STATUS_INVALID,
                         "this directory was started with --groups %" PRIu32 ", now with %" PRIu32
                         "; the number of groups is fixed",
                         identity->groups,
                         flags->groups);
    }
    return STATUS_OK;
}
