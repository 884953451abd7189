/* PNG: a header, and rows in stored blocks of a zlib stream.
 * It compresses nothing: images in event files are small, and zlib is not tensor's to need.
 * Invariant: what it writes depends on the pixels alone. */
#include "tensor/io/png.h"

#include "tensor/base/alloc.h"

#include <stdbool.h>

enum { MOST_STORED = 65535, GREY = 0, RGB = 2, RGBA = 6 };

uint32_t cti_crc(uint32_t polynomial, const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < length; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
    }
    return ~crc;
}

static void put_big_endian(cti_writer *out, uint32_t value) {
    unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                              (unsigned char)(value >> 8), (unsigned char)value};
    cti_write_bytes(out, bytes, 4);
}

/* A chunk: length, type, data, and a CRC of the last two. */
static void put_chunk(cti_writer *out, const char *type, const void *data, size_t length) {
    size_t begun = out->used + 4;
    put_big_endian(out, (uint32_t)length);
    cti_write_bytes(out, type, 4);
    cti_write_bytes(out, data, length);
    if (out->status != CT_OK) return;
    put_big_endian(out, cti_crc(CTI_CRC32, out->text + begun, length + 4));
}

static uint32_t adler32(const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < length; i++) {
        a = (a + at[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* RFC 1950 around stored blocks of RFC 1951. */
static void put_zlib(cti_writer *out, const char *bytes, size_t length) {
    cti_write_bytes(out, "\x78\x01", 2);
    for (size_t done = 0, n; done < length; done += n) {
        n = length - done < MOST_STORED ? length - done : MOST_STORED;
        unsigned char head[5] = {done + n == length, (unsigned char)n, (unsigned char)(n >> 8),
                                 (unsigned char)~n, (unsigned char)(~n >> 8)};
        cti_write_bytes(out, head, sizeof head);
        cti_write_bytes(out, bytes + done, n);
    }
    put_big_endian(out, adler32(bytes, length));
}

void cti_write_png(cti_writer *out, const uint8_t *pixels, int64_t height, int64_t width,
                   int channels) {
    size_t row = (size_t)width * (size_t)channels;
    cti_writer rows = {0}, stream = {0}, head = {0};
    for (int64_t y = 0; y < height; y++) {
        cti_write_bytes(&rows, "", 1); /* no filter */
        cti_write_bytes(&rows, pixels + (size_t)y * row, row);
    }
    if (rows.status == CT_OK) put_zlib(&stream, rows.text, rows.used);
    put_big_endian(&head, (uint32_t)width);
    put_big_endian(&head, (uint32_t)height);
    unsigned char rest[5] = {8, channels == 1 ? GREY : channels == 3 ? RGB : RGBA};
    cti_write_bytes(&head, rest, sizeof rest);
    cti_write_bytes(out, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(out, "IHDR", head.text, head.used);
    put_chunk(out, "IDAT", stream.text, stream.used);
    put_chunk(out, "IEND", "", 0);
    bool failed = rows.status != CT_OK || stream.status != CT_OK || head.status != CT_OK;
    if (failed) out->status = CT_ERR_MEMORY;
    cti_free(rows.text);
    cti_free(stream.text);
    cti_free(head.text);
}
