/* Private: a checksum against damage, not against intent. */
#ifndef COTAN_CHECKSUM_H
#define COTAN_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Goes on from `sum` (0 at first) over the bytes, eight at a time. Each step is a bijection of the
 * sum and of the word, so any change within one word changes the result; others pass unnoticed
 * with a probability of about 2^-64. */
static inline uint64_t cti_checksum(uint64_t sum, const void *bytes, size_t length) {
    const unsigned char *from = bytes;
    for (size_t taken; length > 0; from += taken, length -= taken) {
        uint64_t word = 0;
        taken = length < sizeof word ? length : sizeof word;
        memcpy(&word, from, taken);
        sum = (sum ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        sum ^= sum >> 29;
    }
    return sum;
}

#endif
