/* Private: hashing of words and bytes, also as a checksum against damage (not against intent). */
#ifndef COTAN_HASH_H
#define COTAN_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t cti_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

/* Continues `hash` over the bytes, eight at a time; the last word is padded with zeros. cti_mix is
 * a bijection in either argument, so a change within one word always changes the result; other
 * changes collide with a probability of about 2^-64. */
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

/* A text with its end; NULL is one too. */
static inline uint64_t cti_mix_text(uint64_t hash, const char *text) {
    size_t length = text ? strlen(text) : 0;
    return cti_mix_bytes(cti_mix(hash, text ? length + 1 : 0), text, length);
}

#endif
