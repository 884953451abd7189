/* Generators of keys, and permutations. Uniform and normal numbers are not made here: they are ops
 * of a key. Invariant: keys and permutations are functions of the seed and the stream number, and a
 * failed call does not use up a stream. */
#include "tensor/random.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

__extension__ typedef unsigned __int128 wide;

struct ct_generator {
    uint64_t seed, stream;
};

ct_generator *ct_generator_new(uint64_t seed) {
    CTI_CALLED;
    ct_generator *generator = cti_alloc(1, sizeof *generator);
    if (generator) generator->seed = seed;
    return generator;
}

void ct_generator_free(ct_generator *generator) { cti_free(generator); }

ct_tensor *ct_generator_draw(ct_generator *generator) {
    CTI_CALLED;
    if (!generator) return cti_null_in("ct_generator_draw: 'generator' is NULL");
    int64_t key[2] = {(int64_t)generator->seed, (int64_t)generator->stream};
    ct_tensor *leaf = ct_from(CT_I64, CT_SHAPE(2), key);
    if (leaf) generator->stream++;
    return leaf;
}

ct_status ct_generator_state(const ct_generator *generator, uint64_t *seed, uint64_t *stream) {
    if (!generator) return cti_null("ct_generator_state: 'generator' is NULL");
    if (!seed || !stream)
        return cti_null("ct_generator_state: '%s' is NULL", seed ? "stream" : "seed");
    *seed = generator->seed;
    *stream = generator->stream;
    return CT_OK;
}

ct_status ct_generator_restore(ct_generator *generator, uint64_t seed, uint64_t stream) {
    if (!generator) return cti_null("ct_generator_restore: 'generator' is NULL");
    generator->seed = seed;
    generator->stream = stream;
    return CT_OK;
}

ct_tensor *ct_random_permutation(ct_generator *generator, int64_t n) {
    CTI_CALLED;
    if (!generator) return cti_null_in("ct_random_permutation: 'generator' is NULL");
    if (n < 0) {
        return ct_fail_null(CT_ERR_RANGE, "ct_random_permutation: n must be >= 0, got %lld",
                            (long long)n);
    }
    ct_tensor *leaf = cti_leaf_new("ct_random_permutation", CT_I64, CT_SHAPE(n));
    if (!leaf) return NULL;
    ct_shuffle(leaf->buffer->data, n, generator->seed, generator->stream);
    generator->stream++;
    return leaf;
}

/* The words of one stream, 64 bits at a time. */
typedef struct {
    uint64_t seed, stream, block;
    uint64_t words[2];
    int left;
} stream_reader;

static uint64_t next_word(stream_reader *reader) {
    if (reader->left == 0) {
        uint32_t out[4];
        ct_philox(out, reader->block++, reader->stream, reader->seed);
        reader->words[0] = (uint64_t)out[2] << 32 | out[3];
        reader->words[1] = (uint64_t)out[0] << 32 | out[1];
        reader->left = 2;
    }
    return reader->words[--reader->left];
}

/* Uniform on 0..bound-1: the high half of word * bound. Products whose low half is less than
 * 2^64 mod bound are rejected, without which some results would be likelier (Lemire). */
static uint64_t bounded(stream_reader *reader, uint64_t bound) {
    uint64_t refused = (UINT64_MAX - bound + 1) % bound;
    wide product;
    do product = (wide)next_word(reader) * bound;
    while ((uint64_t)product < refused);
    return (uint64_t)(product >> 64);
}

void ct_shuffle(int64_t *items, int64_t n, uint64_t seed, uint64_t stream) {
    stream_reader reader = {.seed = seed, .stream = stream};
    for (int64_t i = 0; i < n; i++) items[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)bounded(&reader, (uint64_t)i + 1);
        int64_t swapped = items[i];
        items[i] = items[j];
        items[j] = swapped;
    }
}
