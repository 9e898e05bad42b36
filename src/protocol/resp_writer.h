/*
 * Appends replies to a buffer. version is the RESP version of the connection, 2 or 3; where the two
 * differ it is an argument, and aggregates that RESP2 lacks become arrays. The caller has tested
 * buf_room(): running out of it breaks a promise of base/bytes.h.
 */
#ifndef PROTOCOL_RESP_WRITER_H
#define PROTOCOL_RESP_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Longer error texts are cut, so that no reply line outgrows what readers accept. */
#define RESP_ERROR_TEXT_BYTES_MAX 4096u
/* What a reply takes beyond its payload, at most: type, count, "txt:", two line ends. */
#define RESP_FRAME_BYTES_MAX 32u

/* "+OK": text comes from the program and has neither CR nor LF. */
void resp_write_simple(struct buf *out, const char *text);
/* "-ERR ...": text begins with its prefix ("ERR", "WRONGTYPE"); CR and LF in it become blanks. */
void resp_write_error(struct buf *out, const char *text);
void resp_write_errorf(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void resp_write_integer(struct buf *out, int64_t value);
void resp_write_bulk(struct buf *out, struct bytes bytes);
void resp_write_bulk_text(struct buf *out, const char *text);

/* RESP2 knows two kinds of null: "$-1" and "*-1"; RESP3 one: "_". */
void resp_write_null(struct buf *out, int version);
void resp_write_null_array(struct buf *out, int version);

/* Headers: the caller then writes count values (pairs: twice as many, key and value in turn). */
void resp_write_array(struct buf *out, size_t count);
void resp_write_map(struct buf *out, int version, size_t pairs);
void resp_write_set(struct buf *out, int version, size_t count);
void resp_write_push(struct buf *out, int version, size_t count);

/* RESP2: a bulk. "%.17g", or inf, -inf, nan (never "-nan": all nodes must write the same bytes). */
void resp_write_double(struct buf *out, int version, double value);
/* RESP2: the integer 0 or 1. */
void resp_write_bool(struct buf *out, int version, bool value);
/* RESP2: a bulk. format has three letters: "txt" or "mkd". */
void resp_write_verbatim(struct buf *out, int version, const char *format, struct bytes bytes);

#endif
