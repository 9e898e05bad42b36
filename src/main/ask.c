#include "main/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "config/address.h"
#include "protocol/resp_reply.h"
#include "protocol/resp_writer.h"

#define READ_BYTES 65536u
#define REQUEST_BYTES_MAX ((size_t)1024 * 1024)
#define REFUSAL_BYTES 120 /* of an error reply that is shown */

struct call {
    const char *address;
    int fd;
    uint64_t end_ms;
};

uint64_t ask_now_ms(void)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    ensure(failed == 0);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static enum status fail(const struct call *c, const char *why, struct error *error)
{
    return error_set(error, STATUS_IO, "%s: %s", c->address, why);
}

/* False: not within the time. What is wrong with the socket shows at its next use. */
static bool wait_for(const struct call *c, short events)
{
    for (;;) {
        uint64_t now_ms = ask_now_ms();
        if (now_ms >= c->end_ms) {
            return false;
        }
        struct pollfd p = {.fd = c->fd, .events = events};
        int ready = poll(&p, 1, (int)(c->end_ms - now_ms));
        if (ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            return false;
        }
    }
}

/* Connects to one of the addresses a name has. Returns 0 or an errno. */
static int connect_to(struct call *c, const struct addrinfo *where)
{
    c->fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return errno;
    }
    int problem = 0;
    if (connect(c->fd, where->ai_addr, where->ai_addrlen) != 0) {
        problem = errno;
        socklen_t size = sizeof problem;
        if (problem == EINPROGRESS && !wait_for(c, POLLOUT)) {
            problem = ETIMEDOUT;
        } else if (problem == EINPROGRESS) {
            int failed = getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
            problem = failed != 0 ? errno : problem;
        }
    }
    if (problem != 0) {
        (void)close(c->fd);
        c->fd = -1;
    }
    return problem;
}

static enum status open_call(struct call *c, struct error *error)
{
    struct bytes host = {0};
    uint16_t port = 0;
    if (!address_split(bytes_of_text(c->address), &host, &port)) {
        return error_set(error, STATUS_MALFORMED, "%s: write it as HOST:PORT", c->address);
    }
    char host_text[ADDRESS_BYTES];
    char port_text[8];
    (void)snprintf(host_text, sizeof host_text, "%.*s", (int)host.size, (const char *)host.data);
    (void)snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host_text, port_text, &wanted, &found);
    if (failed != 0) {
        return fail(c, gai_strerror(failed), error);
    }
    int problem = ENOENT;
    for (const struct addrinfo *a = found; a != NULL && problem != 0; a = a->ai_next) {
        problem = connect_to(c, a);
    }
    freeaddrinfo(found);
    return problem == 0 ? STATUS_OK : fail(c, strerror(problem), error);
}

static enum status send_all(const struct call *c, struct bytes bytes, struct error *error)
{
    for (size_t sent = 0; sent < bytes.size;) {
        ssize_t size = send(c->fd, bytes.data + sent, bytes.size - sent, MSG_NOSIGNAL);
        if (size > 0) {
            sent += (size_t)size;
        } else if (errno != EAGAIN && errno != EINTR) {
            return fail(c, strerror(errno), error);
        } else if (!wait_for(c, POLLOUT)) {
            return fail(c, "it does not read", error);
        }
    }
    return STATUS_OK;
}

/* OK: to HELLO a map was the answer, and *out_reply is the next reply, within input. */
static enum status take_replies(const struct call *c,
                                struct bytes input,
                                struct bytes *out_reply,
                                struct error *error)
{
    size_t hello_size = 0;
    size_t size = 0;
    struct resp_value hello = {0};
    struct bytes first = input;
    enum status s = resp_reply_size(input, &hello_size);
    if (s == STATUS_OK && resp_value_read(&first, &hello) == STATUS_OK &&
        hello.type != RESP_TYPE_MAP) {
        int shown = hello.text.size < REFUSAL_BYTES ? (int)hello.text.size : REFUSAL_BYTES;
        return error_set(error,
                         STATUS_MALFORMED,
                         "%s: it does not speak RESP3 (%.*s); is it a dougong node?",
                         c->address,
                         shown,
                         shown > 0 ? (const char *)hello.text.data : "");
    }
    struct bytes rest = bytes_of(input.data + hello_size, input.size - hello_size);
    if (s == STATUS_OK) {
        s = resp_reply_size(rest, &size);
    }
    if (s == STATUS_MALFORMED) {
        return error_set(error,
                         STATUS_MALFORMED,
                         "%s: what it says is no Redis protocol; is that the port for clients?",
                         c->address);
    }
    if (s == STATUS_OK) {
        *out_reply = bytes_of(rest.data, size);
    }
    return s;
}

static enum status receive(const struct call *c, struct buf *input, struct error *error)
{
    for (;;) {
        if (buf_room(input) < READ_BYTES) {
            return error_set(error, STATUS_MALFORMED, "%s: the reply has no end", c->address);
        }
        ssize_t size = recv(c->fd, buf_reserve(input, READ_BYTES), READ_BYTES, 0);
        if (size == 0) {
            return fail(c, "it closed the connection", error);
        }
        if (size < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(c, strerror(errno), error);
        }
        if (size < 0) {
            if (!wait_for(c, POLLIN)) {
                return fail(c, "no answer in time", error);
            }
            continue;
        }
        buf_extend(input, (size_t)size);
        struct bytes reply = {0};
        enum status s = take_replies(c, buf_bytes(input), &reply, error);
        if (s == STATUS_OK) {
            size_t before = (size_t)(reply.data - input->data);
            buf_drop_front(input, before);
            input->size = reply.size;
        }
        if (s != STATUS_NEED) {
            return s;
        }
    }
}

static void write_request(struct buf *out, const struct bytes *words, size_t word_count)
{
    resp_write_array(out, 2);
    resp_write_bulk_text(out, "HELLO");
    resp_write_bulk_text(out, "3");
    resp_write_array(out, word_count);
    for (size_t i = 0; i < word_count; i++) {
        resp_write_bulk(out, words[i]);
    }
}

enum status ask_node(const char *address,
                     const struct bytes *words,
                     size_t word_count,
                     unsigned timeout_ms,
                     struct buf *out_reply,
                     struct error *error)
{
    struct call c = {.address = address, .fd = -1, .end_ms = ask_now_ms() + timeout_ms};
    enum status s = open_call(&c, error);
    if (s != STATUS_OK) {
        return s;
    }
    struct buf request;
    buf_init(&request, REQUEST_BYTES_MAX);
    write_request(&request, words, word_count);
    out_reply->size = 0;
    s = send_all(&c, buf_bytes(&request), error);
    if (s == STATUS_OK) {
        s = receive(&c, out_reply, error);
    }
    buf_deinit(&request);
    (void)close(c.fd);
    return s;
}
