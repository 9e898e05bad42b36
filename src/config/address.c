#include "config/address.h"

/* Where the last colon stands; address.size if there is none. */
static size_t last_colon(struct bytes address)
{
    for (size_t at = address.size; at > 0; at--) {
        if (address.data[at - 1] == ':') {
            return at - 1;
        }
    }
    return address.size;
}

bool address_split(struct bytes address, struct bytes *out_host, uint16_t *out_port)
{
    size_t colon = last_colon(address);
    if (address.size >= ADDRESS_BYTES || colon == address.size || colon == 0) {
        return false;
    }
    int64_t port = 0;
    struct bytes digits = bytes_of(address.data + colon + 1, address.size - colon - 1);
    if (!bytes_to_i64(digits, &port) || port < 1 || port > UINT16_MAX) {
        return false;
    }
    bool is_bracketed = address.data[0] == '[';
    if (is_bracketed != (address.data[colon - 1] == ']')) {
        return false;
    }
    size_t edge = is_bracketed ? 1 : 0;
    if (colon <= 2 * edge) {
        return false;
    }
    struct bytes host = bytes_of(address.data + edge, colon - 2 * edge);
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        /* A bare colon is an IPv6 address whose brackets were forgotten, or two addresses. */
        if (c <= ' ' || c == 0x7f || c == ',' || c == '[' || c == ']' ||
            (c == ':' && !is_bracketed)) {
            return false;
        }
    }
    *out_host = host;
    *out_port = (uint16_t)port;
    return true;
}

bool address_host_is_loopback(struct bytes host)
{
    return (host.size > 4 && bytes_equal_text(bytes_of(host.data, 4), "127.")) ||
           bytes_equal_text(host, "::1") || bytes_equal_text(host, "localhost");
}

bool address_host_is_any(struct bytes host)
{
    return bytes_equal_text(host, "0.0.0.0") || bytes_equal_text(host, "::") ||
           bytes_equal_text(host, "*");
}
