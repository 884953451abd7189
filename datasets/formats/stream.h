/* Private: the bytes of a file, read in order, unpacked when they are a gzip stream.
 *
 * A gzip stream is one member or several, one after another (RFC 1952, 2.2): what they hold is put
 * together. Zeros may stand between and behind them, as tapes leave them; anything else behind is
 * an error, where gzip warns. */
#ifndef COTAN_STREAM_H
#define COTAN_STREAM_H

#include "tensor/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZLIB_CONST
#include <zlib.h>

typedef struct {
    const char *name;     /* for messages */
    const uint8_t *bytes; /* the file */
    size_t length, taken; /* its bytes, and how many were used so far */
    bool packed, ended;   /* `ended`: of the gzip stream */
    bool cut;             /* more of the file is elsewhere: the end of these bytes is no error */
    z_stream inflater;
} cti_stream;

/* Starts at the first byte, for a format that does not begin with 1f 8b. Close it, whatever happens
 * later. */
ct_status cti_stream_open(cti_stream *stream, const char *name, const uint8_t *bytes,
                          size_t length);
/* Copies the next `wanted` bytes; *got is less only at the end. NULL for `out` skips them. */
ct_status cti_stream_read(cti_stream *stream, uint8_t *out, size_t wanted, size_t *got);
/* Checks that nothing follows; `at` is the number of bytes read so far, for the message. */
ct_status cti_stream_finish(cti_stream *stream, size_t at);
void cti_stream_close(cti_stream *stream);

#endif
