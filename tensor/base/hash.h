/* Private: how words and bytes are mixed into a hash, which is a checksum too: against damage, not
 * against intent. */
#ifndef COTAN_HASH_H
#define COTAN_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t cti_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

/* Goes on from `hash` over the bytes, eight at a time; zeros complete the last word. Each step is a
 * bijection of the hash and of the word, so any change within one word changes the result; others
 * pass unnoticed with a probability of about 2^-64. */
static inline uint64_t cti_mix_bytes(uint64_t hash, const void *bytes, size_t length) {
    const unsigned char *from = bytes;
    uint64_t word;
    for (; length >= sizeof word; from += sizeof word, length -= sizeof word) {
        memcpy(&word, from, sizeof word);
        hash = cti_mix(hash, word);
    }
    if (length == 0) return hash;
    word = 0;
    memcpy(&word, from, length);
    return cti_mix(hash, word);
}

#endif
