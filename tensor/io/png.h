/* Private: images as PNG (ISO/IEC 15948), not compressed. */
#ifndef COTAN_PNG_H
#define COTAN_PNG_H

#include "tensor/io/writer.h"

/* Appends an image of 8 bits a channel; 1, 3 or 4 channels. */
void cti_write_png(cti_writer *out, const uint8_t *pixels, int64_t height, int64_t width,
                   int channels);
/* The CRC of bytes by a reversed polynomial, all ones at first and inverted at the end. */
uint32_t cti_crc(uint32_t polynomial, const void *bytes, size_t length);
#define CTI_CRC32 0xedb88320u  /* of PNG and zlib */
#define CTI_CRC32C 0x82f63b78u /* Castagnoli's */

#endif
