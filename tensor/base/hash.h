/* Private: how words are mixed into a hash. */
#ifndef COTAN_HASH_H
#define COTAN_HASH_H

#include <stdint.h>

static inline uint64_t cti_mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

#endif
