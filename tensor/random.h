/* Random numbers without hidden state: Philox4x32-10, a bijection of a 128-bit counter under a
 * 64-bit key (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A generator only hands out keys: the i64 leaf {seed, stream}. Block number b of that
 * stream is ct_philox(out, b, stream, seed); so each number is a function of the key and its
 * place, and does not depend on threads, on order or on how often it is computed.
 *
 * A generator counts its streams up from 0. Streams with the top bit set are never reached that
 * way; batches take them, so that the order of an epoch and the weights of a model with the same
 * seed have nothing in common. */
#ifndef COTAN_RANDOM_H
#define COTAN_RANDOM_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* One block: four words, each uniform on 0..2^32-1. The counter's words 0..3 and the key's words
 * 0..1 are the arguments' halves, low half first. */
static inline void ct_philox(uint32_t out[4], uint64_t counter_lo, uint64_t counter_hi,
                             uint64_t key) {
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = UINT64_C(0xD2511F53) * c0, p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* A seed and the number of the next stream. It belongs to one thread. */
typedef struct ct_generator ct_generator;

/* A generator at stream 0; the caller frees it. NULL when out of memory. */
ct_generator *ct_generator_new(uint64_t seed);
void ct_generator_free(ct_generator *generator); /* takes NULL */

/* The key of the next stream, an i64 [2] leaf {seed, stream}, each the 64 bits of the unsigned
 * number. On an error NULL, and the stream is not used up. */
ct_tensor *ct_generator_draw(ct_generator *generator);

/* The whole state, to save it and to set it again. Errors: CT_ERR_NULL. */
ct_status ct_generator_state(const ct_generator *generator, uint64_t *seed, uint64_t *stream);
ct_status ct_generator_restore(ct_generator *generator, uint64_t seed, uint64_t stream);

/* An i64 [n] leaf with each of 0..n-1 once, all n! orders equally likely; uses up one stream.
 * Errors: CT_ERR_RANGE for n < 0, CT_ERR_MEMORY; then the stream is not used up. */
ct_tensor *ct_random_permutation(ct_generator *generator, int64_t n);

/* Writes a permutation of 0..n-1, a function of (n, seed, stream) alone: Fisher and Yates's
 * shuffle with Lemire's unbiased bounded draws (ACM TOMACS 29(1), 2019). */
void ct_shuffle(int64_t *items, int64_t n, uint64_t seed, uint64_t stream);

CT_C_END

#endif
