/* Rows of the random primitives.
 * The reference has its own Philox4x32-10, written from the paper's description (Salmon et al.,
 * SC 2011), and computes in f64.
 * Invariant: an element of the result depends on the key and on its index alone. */
#include "tests/autograd/ops/primitive_table.h"

#include <math.h>

static void shape_random(test_random *r, op_case *c) {
    c->shapes[0] = CT_SHAPE(2);
    c->dtypes[0] = CT_I64;
    c->out = c->target = sample_shape(r, 0, c->large ? 3 : 4, c->large ? 30000 : 60, c->large);
}

static bool fill_key(test_random *r, const op_case *c, int i, array *base) {
    (void)c, (void)i;
    for (int64_t k = 0; k < base->numel; k++) base->v[k] = (double)random_between(r, 0, 1 << 30);
    return true;
}

static void philox_round(uint32_t c[4], const uint32_t k[2]) {
    uint64_t p0 = (uint64_t)c[0] * 3528531795u, p1 = (uint64_t)c[2] * 3449720151u;
    uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                        (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};
    for (int i = 0; i < 4; i++) c[i] = next[i];
}

/* Four words from block number `block` of the stream. */
static void philox(const array *key, int64_t block, uint32_t c[4]) {
    uint64_t seed = (uint64_t)key->v[0], stream = (uint64_t)key->v[1];
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    c[0] = (uint32_t)block;
    c[1] = (uint32_t)((uint64_t)block >> 32);
    c[2] = (uint32_t)stream;
    c[3] = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        philox_round(c, k);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
}

static double uniform(const op_case *c, uint32_t word) {
    return c->dtype == CT_F32 ? (word >> 8) * 0x1p-24 : word * 0x1p-32;
}

static void reference_uniform(const op_case *c, const array x[], array *y) {
    for (int64_t i = 0; i < y->numel; i++) {
        uint32_t words[4];
        philox(&x[0], i / 4, words);
        y->v[i] = uniform(c, words[i % 4]);
    }
}

static void reference_normal(const op_case *c, const array x[], array *y) {
    for (int64_t i = 0; i < y->numel; i++) {
        uint32_t words[4];
        philox(&x[0], i / 4, words);
        double radius = sqrt(-2 * log(1 - uniform(c, words[i % 4 / 2 * 2])));
        double angle = 2 * 3.14159265358979323846 * uniform(c, words[i % 4 / 2 * 2 + 1]);
        y->v[i] = radius * (i % 2 ? sin(angle) : cos(angle));
    }
}

static ct_tensor *build_uniform(ct_tensor *const x[], const op_case *c) {
    return ct_random_uniform(x[0], c->dtype, c->target);
}

static ct_tensor *build_normal(ct_tensor *const x[], const op_case *c) {
    return ct_random_normal(x[0], c->dtype, c->target);
}

/* clang-format off */
const primitive_row random_rows[] = {
    {.op = "random_uniform", .n_inputs = 1, .dtypes = FLOATS, .shape = shape_random,
     .fill = fill_key, .build = build_uniform, .reference = reference_uniform},
    {.op = "random_normal", .n_inputs = 1, .dtypes = FLOATS, .shape = shape_random,
     .slack = 4e-6, .fill = fill_key, .build = build_normal, .reference = reference_normal},
};
/* clang-format on */
const int n_random_rows = sizeof random_rows / sizeof *random_rows;
