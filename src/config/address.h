/* "HOST:PORT", IPv6 hosts in brackets. Only the shape is judged here, not whether the host is. */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* With the terminating zero: a name of 253 bytes, brackets, a port. */
#define ADDRESS_BYTES 272u

/* False: no such shape, or longer than ADDRESS_BYTES. The host is borrowed, without brackets. */
bool address_split(struct bytes address, struct bytes *out_host, uint16_t *out_port);

/* A host that only this machine reaches: 127.x, ::1, localhost. */
bool address_host_is_loopback(struct bytes host);
/* A host that means "every address of mine": to listen on, not to call. */
bool address_host_is_any(struct bytes host);

#endif
