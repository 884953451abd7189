/* IDX files, the format of MNIST: two zero bytes, an element type, the rank, one big-endian 32-bit
 * count per dimension, then the elements row-major and big-endian (Y. LeCun, C. Cortes and
 * C. Burges, "The MNIST database of handwritten digits").
 *
 *     type  0x08 u8   0x09 i8   0x0B i16   0x0C i32   0x0D f32   0x0E f64
 *     gives      u8        f32        f32        i64        f32        f64
 *
 * Every value is kept exactly, and a tensor takes at most four times the bytes of its elements in
 * the file. A gzip stream (RFC 1952) is unpacked, also one of several members; it is known by its
 * first bytes, not its name. */
#ifndef COTAN_IDX_H
#define COTAN_IDX_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* Reads the file at `path`, no further than its first 4096 bytes when these are no IDX. The tensor
 * is a temporary of the open scope. NULL on an error: CT_ERR_NULL, CT_ERR_IO, CT_ERR_FORMAT for a
 * file that is not exactly one IDX array of rank 1 to 8, CT_ERR_MEMORY. The messages name the file
 * and the byte. */
ct_tensor *ct_idx_load(const char *path);

/* The same from `length` bytes in memory; `name` is for messages. A header is believed only when
 * the elements it promises are there to the byte: nothing is allocated for a lying one, whether
 * plain or packed, beyond the fixed state of the unpacking (under 64 KiB). */
ct_tensor *ct_idx_parse(const char *name, const uint8_t *bytes, size_t length);

CT_C_END

#endif
