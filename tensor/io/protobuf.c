/* Protocol buffers, writing: fields of messages into a text that grows.
 * It knows no message; whoever writes one knows its fields.
 * Invariant: what lies between begin and end is one field of the message around it. */
#include "tensor/io/protobuf.h"

#include <string.h>

enum { VARINT = 0, EIGHT_BYTES = 1, LENGTH = 2, FOUR_BYTES = 5 };
enum { LENGTH_BYTES = 5 };

static void put_varint(cti_writer *out, uint64_t value) {
    unsigned char bytes[10];
    size_t n = 0;
    for (; value >= 128; value >>= 7) bytes[n++] = (unsigned char)(value | 128);
    bytes[n++] = (unsigned char)value;
    cti_write_bytes(out, bytes, n);
}

static void put_key(cti_writer *out, int field, int wire) {
    put_varint(out, (uint64_t)field << 3 | (uint64_t)wire);
}

void cti_write_little_endian(cti_writer *out, uint64_t value, int size) {
    unsigned char bytes[8];
    for (int i = 0; i < size; i++) bytes[i] = (unsigned char)(value >> 8 * i);
    cti_write_bytes(out, bytes, (size_t)size);
}

void cti_proto_integer(cti_writer *out, int field, int64_t value) {
    put_key(out, field, VARINT);
    put_varint(out, (uint64_t)value);
}

void cti_proto_double(cti_writer *out, int field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, EIGHT_BYTES);
    cti_write_little_endian(out, bits, 8);
}

void cti_proto_float(cti_writer *out, int field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, FOUR_BYTES);
    cti_write_little_endian(out, bits, 4);
}

void cti_proto_bytes(cti_writer *out, int field, const void *bytes, size_t length) {
    put_key(out, field, LENGTH);
    put_varint(out, length);
    cti_write_bytes(out, bytes, length);
}

void cti_proto_text(cti_writer *out, int field, const char *text) {
    cti_proto_bytes(out, field, text, strlen(text));
}

size_t cti_proto_begin(cti_writer *out, int field) {
    put_key(out, field, LENGTH);
    cti_write_little_endian(out, 0, LENGTH_BYTES);
    return out->used;
}

/* A varint may be longer than it has to be. */
void cti_proto_end(cti_writer *out, size_t begun) {
    if (out->status != CT_OK) return;
    uint64_t length = out->used - begun;
    unsigned char *bytes = (unsigned char *)out->text + begun - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++) {
        bytes[i] = (unsigned char)((length >> 7 * i & 127) | (i + 1 < LENGTH_BYTES ? 128 : 0));
    }
}
