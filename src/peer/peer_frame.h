/*
 * Bytes between nodes (docs/protocol.md): greetings, which begin a connection and say who speaks,
 * and frames, which carry everything afterwards. Pure: bytes in, bytes out.
 */
#ifndef PEER_PEER_FRAME_H
#define PEER_PEER_FRAME_H

#include "base/bytes.h"
#include "base/status.h"
#include "peer/peers.h"

#define PEER_VERSION_MIN 1u
#define PEER_VERSION_MAX 1u

#define PEER_NONCE_BYTES 16u
/* What every greeting begins with. */
#define PEER_GREETING_HEADER_BYTES 24u
#define PEER_HELLO_BYTES 128u
/* A newer node may say more; what is behind PEER_HELLO_BYTES is left unread. */
#define PEER_GREETING_BYTES_MAX 1024u
#define PEER_REASON_BYTES_MAX 200u

#define PEER_FRAME_HEADER_BYTES 16u
#define PEER_PAYLOAD_BYTES_MAX (PEER_FRAME_BYTES_MAX - PEER_FRAME_HEADER_BYTES)

/* ---- greetings ------------------------------------------------------------------------------- */

enum peer_greeting {
    PEER_GREETING_HELLO = 1,
    PEER_GREETING_REFUSED = 2,
};

/* A whole hello; peers see only `about`. */
struct peer_intro {
    struct peer_hello about;
    uint32_t target; /* number of the node spoken to */
    uint32_t count;  /* nodes, as its writer knows */
    uint16_t version_min;
    uint16_t version_max;
    uint64_t features; /* bits; what both sides have may be used */
    uint8_t nonce[PEER_NONCE_BYTES];
    bool is_same_machine; /* decoded only: byte order and floating point are as here */
};

/*
 * Size and kind of the greeting that begins with these bytes. NEED: more of them are needed, at
 * most PEER_GREETING_HEADER_BYTES. MALFORMED: not a greeting, already from the first wrong byte.
 */
MUST_CHECK enum status peer_greeting_decode(struct bytes bytes,
                                            size_t *out_size,
                                            enum peer_greeting *out_kind);

void peer_hello_encode(const struct peer_intro *intro, uint8_t out[PEER_HELLO_BYTES]);
/*
 * bytes is a whole greeting of this kind. MALFORMED: damaged. UNSUPPORTED: no version in common;
 * only the versions are set then, as nothing else is known to mean the same.
 */
MUST_CHECK enum status peer_hello_decode(struct bytes bytes, struct peer_intro *out_intro);

/* Appends; the reason is cut to PEER_REASON_BYTES_MAX. */
void peer_refused_encode(const char *reason, struct buf *out);
/* The reason as printable ASCII. */
MUST_CHECK enum status peer_refused_decode(struct bytes bytes,
                                           char out_reason[PEER_REASON_BYTES_MAX + 1]);

/* ---- frames ---------------------------------------------------------------------------------- */

enum peer_direction {
    PEER_FROM_DIALLER,
    PEER_FROM_ACCEPTER,
};

/* Frames without payload: that both are there. Follows the classes of messages. */
#define PEER_FRAME_CONTROL ((unsigned)PEER_CLASS_COUNT)

struct peer_frame {
    uint32_t size; /* of the payload */
    uint8_t kind;  /* enum peer_class, or PEER_FRAME_CONTROL */
    bool is_last;  /* of its message */
    uint32_t payload_crc;
};

/* Both sides' nonces in 64 bits: no two connections have the same, but for chance. */
uint64_t peer_session_key(const uint8_t dialler[PEER_NONCE_BYTES],
                          const uint8_t accepter[PEER_NONCE_BYTES]);
/*
 * What the CRCs of this frame begin with. Different for any two frames of one direction that are
 * less than 2^32 apart, so a repeated or left-out one is always seen.
 */
uint32_t peer_frame_seed(uint64_t key, enum peer_direction direction, uint64_t frame_number);

/* size is 0 for control frames and only for them. */
void peer_frame_encode(uint32_t seed,
                       unsigned kind,
                       bool is_last,
                       struct bytes payload,
                       uint8_t out_header[PEER_FRAME_HEADER_BYTES]);
/* CORRUPT: a checksum is wrong. MALFORMED: intact, but not allowed. Nothing is believed before. */
MUST_CHECK enum status peer_frame_decode(uint32_t seed,
                                         const uint8_t header[PEER_FRAME_HEADER_BYTES],
                                         struct peer_frame *out_frame);
MUST_CHECK enum status peer_frame_check(uint32_t seed,
                                        const struct peer_frame *frame,
                                        const uint8_t *payload);

#endif
