/* Private: protocol buffers, as far as writing needs them (protobuf.dev, "Encoding"). */
#ifndef COTAN_PROTOBUF_H
#define COTAN_PROTOBUF_H

#include "tensor/io/writer.h"

void cti_proto_integer(cti_writer *out, int field, int64_t value); /* int64, enum, bool */
void cti_proto_double(cti_writer *out, int field, double value);
void cti_proto_float(cti_writer *out, int field, float value);
void cti_proto_bytes(cti_writer *out, int field, const void *bytes, size_t length);
void cti_proto_text(cti_writer *out, int field, const char *text); /* UTF-8 */
/* A message within a message, or packed numbers: what is written between the two. Its length is
 * known at the end only; it has a fixed room of five bytes, below 2^35. */
size_t cti_proto_begin(cti_writer *out, int field);
void cti_proto_end(cti_writer *out, size_t begun);
/* `size` bytes of a number, the least significant first. */
void cti_write_little_endian(cti_writer *out, uint64_t value, int size);

#endif
