/* A file in memory as a stream of bytes, through zlib when it is packed.
 * It knows no format; how many bytes there should be is the caller's question.
 * Invariant: memory does not depend on what the stream claims; it unpacks only what is asked for,
 * into the caller's buffer or a fixed window. */
#include "datasets/formats/stream.h"

#include "tensor/base/alloc.h"

#include <string.h>

#define WINDOW 16384
/* zlib counts in 32 bits. */
#define MOST ((size_t)1 << 30)

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static voidpf inflater_alloc(voidpf user, uInt count, uInt size) {
    (void)user;
    return cti_alloc(count, size);
}

static void inflater_free(voidpf user, voidpf block) {
    (void)user;
    cti_free(block);
}

/* The bytes of the file that zlib has used. */
static size_t used(const cti_stream *stream) { return stream->taken - stream->inflater.avail_in; }

static ct_status inflater_failed(const cti_stream *stream, int code) {
    /* The allocator has recorded it. */
    if (code == Z_MEM_ERROR) return CT_ERR_MEMORY;
    if (code == Z_BUF_ERROR) {
        return ct_fail(CT_ERR_FORMAT, "%s: gzip: the stream is cut off at byte %zu", stream->name,
                       used(stream));
    }
    const char *reason = stream->inflater.msg;
    return ct_fail(CT_ERR_FORMAT, "%s: gzip: %s at byte %zu", stream->name,
                   reason ? reason : zError(code), used(stream));
}

ct_status cti_stream_open(cti_stream *stream, const char *name, const uint8_t *bytes,
                          size_t length) {
    *stream = (cti_stream){
        .name = name,
        .bytes = bytes,
        .length = length,
        .packed = length >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b,
        .inflater = {.zalloc = inflater_alloc, .zfree = inflater_free},
    };
    if (!stream->packed) return CT_OK;
    /* 15: the largest window; 16 more: a gzip header and trailer, nothing else. */
    int code = inflateInit2(&stream->inflater, 15 + 16);
    return code == Z_OK ? CT_OK : inflater_failed(stream, code);
}

/* At the end of a member: goes on with the next one, if there is one. */
static ct_status next_member(cti_stream *stream) {
    const uint8_t *bytes = stream->bytes;
    size_t at = used(stream), length = stream->length;
    while (at < length && bytes[at] == 0) at++;
    bool another = length - at >= 2 && bytes[at] == 0x1f && bytes[at + 1] == 0x8b;
    stream->ended = !another;
    /* What stays is then reported as it was found, zeros and all. */
    if (!another && at < length) return CT_OK;
    stream->taken = at;
    stream->inflater.avail_in = 0;
    int code = another ? inflateReset(&stream->inflater) : Z_OK;
    return code == Z_OK ? CT_OK : inflater_failed(stream, code);
}

/* At most WINDOW bytes when they are skipped. */
static ct_status unpack(cti_stream *stream, uint8_t *out, size_t wanted, size_t *got) {
    uint8_t window[WINDOW];
    z_stream *inflater = &stream->inflater;
    if (inflater->avail_in == 0) {
        size_t more = smaller(stream->length - stream->taken, MOST);
        inflater->next_in = stream->bytes + stream->taken;
        inflater->avail_in = (uInt)more;
        stream->taken += more;
    }
    uInt room = (uInt)smaller(wanted, out ? MOST : WINDOW);
    inflater->next_out = out ? out : window;
    inflater->avail_out = room;
    int code = inflate(inflater, Z_NO_FLUSH);
    *got = room - inflater->avail_out;
    if (code == Z_STREAM_END) return next_member(stream);
    stream->ended = code == Z_BUF_ERROR && stream->cut;
    return code == Z_OK || stream->ended ? CT_OK : inflater_failed(stream, code);
}

ct_status cti_stream_read(cti_stream *stream, uint8_t *out, size_t wanted, size_t *got) {
    *got = 0;
    if (!stream->packed) {
        *got = smaller(wanted, stream->length - stream->taken);
        if (out && *got) memcpy(out, stream->bytes + stream->taken, *got);
        stream->taken += *got;
        return CT_OK;
    }
    while (*got < wanted && !stream->ended) {
        size_t piece = 0;
        ct_status status = unpack(stream, out ? out + *got : NULL, wanted - *got, &piece);
        *got += piece;
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

ct_status cti_stream_finish(cti_stream *stream, size_t at) {
    if (stream->packed) {
        /* One byte too many makes zlib come to the end, where it compares length and checksum. */
        uint8_t extra;
        size_t got;
        ct_status status = cti_stream_read(stream, &extra, 1, &got);
        if (status != CT_OK) return status;
        if (got) return ct_fail(CT_ERR_FORMAT, "%s: extra bytes at %zu", stream->name, at);
    }
    size_t rest = stream->length - (stream->packed ? used(stream) : stream->taken);
    if (rest == 0) return CT_OK;
    const char *plural = rest == 1 ? "" : "s";
    if (!stream->packed) {
        return ct_fail(CT_ERR_FORMAT, "%s: %zu extra byte%s at %zu", stream->name, rest, plural,
                       at);
    }
    return ct_fail(CT_ERR_FORMAT, "%s: gzip: %zu byte%s after the end of the stream at byte %zu",
                   stream->name, rest, plural, used(stream));
}

void cti_stream_close(cti_stream *stream) {
    if (stream->packed) inflateEnd(&stream->inflater);
}
